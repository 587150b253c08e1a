package limits

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/grafana/regexp"
)

// Validate names every field that has an impossible value, by its key in Loki's configuration.
func (l *Limits) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			add("%s: %q is not allowed, only %s", key, value, strings.Join(allowed, ", "))
		}
	}

	errs = append(errs, negatives("", reflect.ValueOf(l).Elem())...)
	oneOf("ingestion_rate_strategy", l.IngestionRateStrategy, RateGlobal, RateLocal)
	oneOf("deletion_mode", l.DeletionMode, DeletionDisabled, DeletionFilterOnly, DeletionFilterAndDelete)
	if l.S3SSEType != "" {
		oneOf("s3_sse_type", l.S3SSEType, "SSE-KMS", "SSE-S3")
	}
	if c := l.BlockIngestionStatusCode; c < 100 || c > 599 {
		add("block_ingestion_status_code: %d is no HTTP status code (100 to 599)", c)
	}
	if l.MaxQueryCapacity > 1 {
		add("max_query_capacity: %v is not between 0 and 1", l.MaxQueryCapacity)
	}
	if id := l.MaxLineSizeTruncateIdentifier; l.MaxLineSizeTruncate && l.MaxLineSize > 0 && len(id) >= l.MaxLineSize {
		add("max_line_size_truncate_identifier: its %d bytes leave no room in max_line_size (%d bytes)", len(id), l.MaxLineSize)
	}
	for i, r := range l.RetentionStream {
		if r.Selector == "" {
			add("retention_stream[%d].selector: it is empty", i)
		}
		if r.Period < day {
			add("retention_stream[%d].period: %s is less than 24h", i, r.Period)
		}
	}
	if l.RetentionPeriod > 0 && l.RetentionPeriod < day {
		add("retention_period: %s is less than 24h (0 keeps everything)", l.RetentionPeriod)
	}
	for i, q := range l.BlockedQueries {
		if q.Regex {
			if _, err := regexp.Compile(q.Pattern); err != nil {
				add("blocked_queries[%d].pattern: %w", i, err)
			}
		}
	}
	if _, err := l.OTLPConfig.Compile(); err != nil {
		add("otlp_config.%w", err)
	}
	return errors.Join(errs...)
}

var durationType = reflect.TypeFor[time.Duration]()

// negatives reports the numbers below zero: none of the limits gives them a meaning, except priorities.
func negatives(prefix string, v reflect.Value) []error {
	var errs []error
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("loki"), ",")
		if key == "" || key == "-" {
			continue
		}
		key = prefix + key
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
			errs = append(errs, negatives(key+".", f)...)
		case f.Type() == durationType && f.Int() < 0:
			errs = append(errs, fmt.Errorf("%s: %s is negative", key, time.Duration(f.Int())))
		case f.CanInt() && f.Int() < 0:
			errs = append(errs, fmt.Errorf("%s: %d is negative", key, f.Int()))
		case f.CanFloat() && !(f.Float() >= 0):
			errs = append(errs, fmt.Errorf("%s: %v is negative", key, f.Float()))
		}
	}
	return errs
}
