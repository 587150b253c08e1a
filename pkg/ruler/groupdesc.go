package ruler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"logstore/pkg/rules"
)

// Field numbers of the messages in FORMAT.md.
const (
	groupName, groupNamespace, groupInterval, groupRules, groupTenant = 1, 2, 3, 4, 6
	groupLimit, groupOffset, groupLabels                              = 10, 11, 12

	ruleExpr, ruleRecord, ruleAlert, ruleFor, ruleLabels, ruleAnnotations, ruleKeepFiring = 1, 2, 3, 4, 5, 6, 13
)

var errNoGroup = errors.New("not a rule group")

// encodeGroup returns the object of a group.
func encodeGroup(tenant, namespace string, g *rules.Group) []byte {
	b := appendString(nil, groupName, g.Name)
	b = appendString(b, groupNamespace, namespace)
	b = appendDuration(b, groupInterval, time.Duration(g.Interval))
	for i := range g.Rules {
		b = appendBytes(b, groupRules, encodeRule(&g.Rules[i]))
	}
	b = appendString(b, groupTenant, tenant)
	if g.Limit != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, groupLimit, protowire.VarintType), uint64(g.Limit))
	}
	if g.QueryOffset != nil {
		b = appendDuration(b, groupOffset, time.Duration(*g.QueryOffset))
	}
	return appendLabels(b, groupLabels, g.Labels)
}

func encodeRule(r *rules.Rule) []byte {
	b := appendString(nil, ruleExpr, r.Expr)
	b = appendString(b, ruleRecord, r.Record)
	b = appendString(b, ruleAlert, r.Alert)
	b = appendDuration(b, ruleFor, time.Duration(r.For))
	b = appendLabels(b, ruleLabels, r.Labels)
	b = appendLabels(b, ruleAnnotations, r.Annotations)
	if r.KeepFiringFor != 0 {
		b = appendDuration(b, ruleKeepFiring, time.Duration(r.KeepFiringFor))
	}
	return b
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendDuration(b []byte, field protowire.Number, d time.Duration) []byte {
	var m []byte
	if s := int64(d / time.Second); s != 0 {
		m = protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.VarintType), uint64(s))
	}
	if ns := int64(d % time.Second); ns != 0 {
		m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), uint64(ns))
	}
	return appendBytes(b, field, m)
}

func appendLabels(b []byte, field protowire.Number, set map[string]string) []byte {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		b = appendBytes(b, field, appendString(appendString(nil, 1, name), 2, set[name]))
	}
	return b
}

// decodeGroup reads the object of a group. It checks the form, not what the rules say.
func decodeGroup(b []byte) (rules.Group, error) {
	var g rules.Group
	err := eachField(b, func(f field) (err error) {
		switch f.number {
		case groupName:
			g.Name, err = f.text()
		case groupInterval:
			err = f.duration(&g.Interval)
		case groupRules:
			var r rules.Rule
			if r, err = decodeRule(f.bytes); err == nil && f.kind == protowire.BytesType {
				g.Rules = append(g.Rules, r)
			}
		case groupLimit:
			g.Limit = int(f.varint)
		case groupOffset:
			g.QueryOffset = new(rules.Duration)
			err = f.duration(g.QueryOffset)
		case groupLabels:
			err = f.label(&g.Labels)
		}
		return err
	})
	if err == nil && g.Name == "" {
		err = errNoGroup
	}
	return g, err
}

func decodeRule(b []byte) (rules.Rule, error) {
	var r rules.Rule
	err := eachField(b, func(f field) (err error) {
		switch f.number {
		case ruleExpr:
			r.Expr, err = f.text()
		case ruleRecord:
			r.Record, err = f.text()
		case ruleAlert:
			r.Alert, err = f.text()
		case ruleFor:
			err = f.duration(&r.For)
		case ruleLabels:
			err = f.label(&r.Labels)
		case ruleAnnotations:
			err = f.label(&r.Annotations)
		case ruleKeepFiring:
			err = f.duration(&r.KeepFiringFor)
		}
		return err
	})
	return r, err
}

// field is one field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte // of the kind BytesType
	varint uint64 // of the kind VarintType
}

// eachField calls fn for each field of a message.
func eachField(b []byte, fn func(field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errNoGroup, protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errNoGroup, protowire.ParseError(n))
		}
		b = b[n:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) text() (string, error) {
	if f.kind != protowire.BytesType || !utf8.Valid(f.bytes) {
		return "", fmt.Errorf("%w: field %d holds no text", errNoGroup, f.number)
	}
	return string(f.bytes), nil
}

func (f field) duration(d *rules.Duration) error {
	return eachField(f.bytes, func(part field) error {
		switch part.number {
		case 1:
			*d += rules.Duration(time.Duration(int64(part.varint)) * time.Second)
		case 2:
			*d += rules.Duration(int64(part.varint))
		}
		return nil
	})
}

func (f field) label(set *map[string]string) error {
	var name, value string
	err := eachField(f.bytes, func(part field) (err error) {
		switch part.number {
		case 1:
			name, err = part.text()
		case 2:
			value, err = part.text()
		}
		return err
	})
	if err == nil {
		if *set == nil {
			*set = map[string]string{}
		}
		(*set)[name] = value
	}
	return err
}
