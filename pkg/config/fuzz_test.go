package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"logstore/pkg/limits"
)

// FuzzLoad wants every text to be either loaded or refused with errors that have a place, and what is loaded to be
// written without its secrets.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yml", "testdata/loki/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		expanded, err := expandEnv(string(text), lokiEnv)
		if err != nil {
			return
		}
		s := &Setup{File: "loki.yaml"}
		if _, err := s.decode([]byte(expanded)); err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), "loki.yaml") {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		s.Config.Storage.AWS.SecretAccessKey = "hush"
		var out strings.Builder
		if err := s.Config.WriteYAML(&out, ModeDiff); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "hush") && !strings.Contains(expanded, "hush") {
			t.Fatal("a secret is shown")
		}
	})
}

func FuzzOverrides(f *testing.F) {
	f.Add([]byte("overrides: {a: {max_line_size: 1KB, otlp_config: {log_attributes: [{action: drop, regex: x}]}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tenants := map[string]limits.Limits{}
		if _, err := readOverrides("o.yaml", text, limits.DefaultLimits(), tenants); err != nil {
			return
		}
		for name, l := range tenants {
			if err := l.Validate(); err != nil {
				t.Fatalf("tenant %s: %v", name, err)
			}
		}
	})
}
