package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// stats adds up the statistics of answers. A nil one adds nothing.
type stats struct {
	answers  int
	sums     map[string]float64
	warnings []string
}

// add takes an answer's numbers, by their path in the answer. Rates cannot be added and are left out.
func (s *stats) add(r *client.Result) {
	if s == nil {
		return
	}
	if s.sums == nil {
		s.sums = map[string]float64{}
	}
	s.answers++
	for _, w := range r.Warnings {
		if !slices.Contains(s.warnings, w) {
			s.warnings = append(s.warnings, w)
		}
	}
	var tree map[string]any
	if json.Unmarshal(r.Stats, &tree) == nil {
		s.walk("", tree)
	}
}

func (s *stats) walk(path string, tree map[string]any) {
	for name, v := range tree {
		switch v := v.(type) {
		case map[string]any:
			s.walk(path+name+".", v)
		case float64:
			if !strings.HasSuffix(name, "PerSecond") {
				s.sums[path+name] += v
			}
		}
	}
}

// note writes warnings, and the sums if they are wanted, to the standard error.
func (s *stats) note(io *command.IO, sums bool) {
	for _, w := range s.warnings {
		io.Notef("Warning: %s", w)
	}
	if !sums {
		return
	}
	io.Notef("%-60s %d", "requests", s.answers)
	for _, name := range slices.Sorted(maps.Keys(s.sums)) {
		if v := s.sums[name]; v != 0 {
			io.Notef("%-60s %s", name, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
}

// merge adds the sums of another.
func (s *stats) merge(other *stats) {
	if s.sums == nil {
		s.sums = map[string]float64{}
	}
	s.answers += other.answers
	for name, v := range other.sums {
		s.sums[name] += v
	}
	for _, w := range other.warnings {
		if !slices.Contains(s.warnings, w) {
			s.warnings = append(s.warnings, w)
		}
	}
}
