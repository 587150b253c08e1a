package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"logstore/pkg/limits"
)

// field is a key of a block: a field of a struct with its tag read.
type field struct {
	name   string
	index  []int
	bytes  bool // an integer that is a size
	date   bool // a time that is a day
	list   bool // a list that may be written as one string
	secret bool // never shown
	url    bool // may hold a user and a password
	allow  []string
}

var fieldCache sync.Map // reflect.Type to []field

// fieldsOf returns the keys of a struct in their order, those of embedded structs among them.
func fieldsOf(t reflect.Type) []field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("loki")
		if sf.Anonymous && !tagged {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fields = append(fields, f)
			}
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" || name == "-" {
			continue
		}
		f := field{name: name, index: []int{i}}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "bytes":
				f.bytes = true
			case "date":
				f.date = true
			case "list":
				f.list = true
			case "secret":
				f.secret = true
			case "url":
				f.url = true
			case "":
			default:
				panic(fmt.Sprintf("BUG: unknown option %q of %s.%s", option, t, sf.Name))
			}
		}
		if allow, ok := sf.Tag.Lookup("allow"); ok {
			f.allow = strings.Split(allow, "|")
		}
		fields = append(fields, f)
	}
	fieldCache.Store(t, fields)
	return fields
}

func fieldOf(t reflect.Type, name string) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

// isBlock tells whether a type has keys of its own.
func isBlock(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != timeType
}

// setScalar sets a field from text: a scalar of the file, or a flag. The error says what is allowed.
func setScalar(v reflect.Value, f field, text string) error {
	switch {
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := setScalar(p.Elem(), f, text); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case v.Type() == durationType:
		d, err := parseDuration(text)
		v.SetInt(int64(d))
		return err
	case v.Type() == timeType:
		parse := parseTime
		if f.date {
			parse = parseDay
		}
		t, err := parse(text)
		v.Set(reflect.ValueOf(t))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		if err := checkAllowed(f.allow, text); err != nil {
			return err
		}
		v.SetString(text)
	case reflect.Bool:
		b, err := parseBool(text)
		v.SetBool(b)
		return err
	case reflect.Float64:
		n, err := parseFloat(text)
		v.SetFloat(n)
		return err
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return setInteger(v, f, text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for _, item := range parseList(text) {
			v.Set(reflect.Append(v, reflect.ValueOf(item)))
		}
	default:
		panic(fmt.Sprintf("BUG: no text for %s", v.Type()))
	}
	return nil
}

func setInteger(v reflect.Value, f field, text string) error {
	parse := parseInt
	if f.bytes {
		parse = parseSize
	}
	n, err := parse(text)
	if err != nil {
		return err
	}
	if err := checkBits(n, v.Type().Bits(), v.CanUint()); err != nil {
		return err
	}
	if v.CanUint() {
		v.SetUint(uint64(n))
	} else {
		v.SetInt(n)
	}
	return nil
}

func checkAllowed(allow []string, text string) error {
	if len(allow) == 0 {
		return nil
	}
	var named []string
	for _, a := range allow {
		if a == text {
			return nil
		}
		if a != "" {
			named = append(named, a)
		}
	}
	return fmt.Errorf("one of %s", strings.Join(named, ", "))
}

// scalarText is the reverse of setScalar. Secrets are not hidden here.
func scalarText(v reflect.Value, f field) string {
	switch {
	case v.Type() == durationType:
		return limits.FormatDuration(time.Duration(v.Int()))
	case v.Type() == timeType:
		t := v.Interface().(time.Time)
		if f.date {
			return t.Format(time.DateOnly)
		}
		if t.IsZero() {
			return "0"
		}
		return t.Format(time.RFC3339Nano)
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = v.Index(i).String()
		}
		return strings.Join(items, ",")
	}
	if f.bytes {
		return limits.FormatBytes(v.Int())
	}
	return strconv.FormatInt(v.Int(), 10)
}
