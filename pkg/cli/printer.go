package cli

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// Modes of output.
const (
	modeDefault = "default"
	modeRaw     = "raw"
	modeJSONL   = "jsonl"
	modeTable   = "table"
	modeExport  = "export"
)

// layouts are the names of time formats.
var layouts = map[string]string{
	"ansic": time.ANSIC, "rfc822": time.RFC822, "rfc822z": time.RFC822Z, "rfc850": time.RFC850, "rfc1123": time.RFC1123, "rfc1123z": time.RFC1123Z,
	"rfc3339": time.RFC3339, "rfc3339nano": time.RFC3339Nano, "unixdate": time.UnixDate, "datetime": time.DateTime,
}

// outputFlags say how results are written.
type outputFlags struct {
	mode, zone, layout      string
	noLabels, includeCommon bool
	include, exclude        []string
	width                   int
	colored                 bool
}

func (o *outputFlags) register(set *flag.FlagSet) {
	*o = outputFlags{}
	set.StringVar(&o.mode, "output", modeDefault, "`MODE` of output: default, raw (only lines), jsonl (a JSON object for each line or series),\nexport (jsonl with structured metadata apart from labels: what push reads), table (metric results in columns)")
	set.StringVar(&o.mode, "o", modeDefault, "short for -output: a `MODE`")
	set.StringVar(&o.zone, "timezone", "Local", "`ZONE` of the times in the output: Local, UTC or a name such as Europe/Berlin")
	set.StringVar(&o.zone, "z", "Local", "short for -timezone: a `ZONE`")
	set.StringVar(&o.layout, "output-timestamp-format", "rfc3339", "`FORMAT` of the times in the default output: "+strings.Join(slices.Sorted(maps.Keys(layouts)), ", "))
	set.BoolVar(&o.noLabels, "no-labels", false, "write no labels")
	set.Func("include-label", "write only this `LABEL`; may be repeated", func(s string) error { o.include = append(o.include, s); return nil })
	set.Func("exclude-label", "do not write this `LABEL`; may be repeated", func(s string) error { o.exclude = append(o.exclude, s); return nil })
	set.BoolVar(&o.includeCommon, "include-common-labels", false, "write labels that all lines have in common with each line, too")
	set.IntVar(&o.width, "labels-length", 0, "fill the labels up to so many `CHARACTERS`; 0: up to the longest of a page")
	set.BoolVar(&o.colored, "colored-output", false, "give the labels of each stream a colour")
}

// printer makes one that writes to the standard output of io.
func (o *outputFlags) printer(io *command.IO, quiet bool) (*printer, error) {
	p := &printer{outputFlags: *o, io: io, out: bufio.NewWriterSize(io.Stdout, 64<<10), quiet: quiet}
	switch o.mode {
	case modeDefault, modeRaw, modeJSONL, modeTable, modeExport:
	default:
		return nil, command.Usagef("-output: there is no mode %q, only default, raw, jsonl, export and table", o.mode)
	}
	var err error
	if p.location, err = time.LoadLocation(o.zone); err != nil {
		return nil, command.Usagef("-timezone: there is no zone %q", o.zone)
	}
	ok := false
	if p.timeLayout, ok = layouts[o.layout]; !ok {
		return nil, command.Usagef("-output-timestamp-format: there is no format %q", o.layout)
	}
	return p, nil
}

// printer writes entries. It is not safe for concurrent use.
type printer struct {
	outputFlags
	io         *command.IO
	out        *bufio.Writer
	quiet      bool
	location   *time.Location
	timeLayout string

	// common are the labels that all entries of the first page have; nil before it.
	common map[string]string
	// texts holds the labels of the current page as text, by the map's address.
	texts map[uintptr]string
	count int
}

// page writes entries in their order.
func (p *printer) page(entries []client.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	p.count += len(entries)
	switch p.mode {
	case modeRaw:
		for _, e := range entries {
			p.line(e.Line)
		}
	case modeJSONL, modeExport:
		return p.jsonl(entries)
	default:
		p.text(entries)
	}
	return p.out.Flush()
}

func (p *printer) line(s string) {
	_, _ = p.out.WriteString(s) // Flush returns the error
	_ = p.out.WriteByte('\n')
}

// jsonEntry is what jsonl and export write, and what push reads.
type jsonEntry struct {
	Labels    map[string]string `json:"labels"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Line      string            `json:"line"`
	Timestamp string            `json:"timestamp"`
}

func (p *printer) jsonl(entries []client.Entry) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		one := jsonEntry{Labels: p.shown(e.Labels), Metadata: e.Metadata, Line: e.Line, Timestamp: time.Unix(0, e.Timestamp).In(p.location).Format(time.RFC3339Nano)}
		if err := enc.Encode(one); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

func (p *printer) text(entries []client.Entry) {
	if p.common == nil {
		p.findCommon(entries)
	}
	p.texts = map[uintptr]string{}
	width := p.width
	if !p.noLabels {
		for _, e := range entries {
			text := p.labels(e.Labels)
			if p.width == 0 {
				width = max(width, len(text))
			}
		}
	}
	for _, e := range entries {
		_, _ = p.out.WriteString(time.Unix(0, e.Timestamp).In(p.location).Format(p.timeLayout))
		if !p.noLabels {
			text := p.labels(e.Labels)
			pad := max(0, width-len(text))
			if p.colored {
				text = colour(text) + text + "\x1b[0m"
			}
			_, _ = p.out.WriteString(" " + text + strings.Repeat(" ", pad))
		}
		_ = p.out.WriteByte(' ')
		p.line(e.Line)
	}
}

// findCommon finds the labels that all entries have, and says which they are.
func (p *printer) findCommon(entries []client.Entry) {
	p.common = map[string]string{}
	if p.noLabels || p.includeCommon {
		return
	}
	common := maps.Clone(entries[0].Labels)
	for _, e := range entries[1:] {
		maps.DeleteFunc(common, func(name, value string) bool {
			v, ok := e.Labels[name]
			return !ok || v != value
		})
	}
	if common != nil {
		p.common = common
	}
	if len(p.common) > 0 && !p.quiet {
		p.io.Notef("Common labels: %s", formatLabels(p.common))
	}
}

// shown returns the labels that -include-label and -exclude-label leave.
func (p *printer) shown(labels map[string]string) map[string]string {
	if len(p.include) == 0 && len(p.exclude) == 0 {
		return labels
	}
	out := map[string]string{}
	for name, value := range labels {
		if (len(p.include) == 0 || slices.Contains(p.include, name)) && !slices.Contains(p.exclude, name) {
			out[name] = value
		}
	}
	return out
}

// labels returns the labels of an entry as text, without those that all have in common.
func (p *printer) labels(labels map[string]string) string {
	key := reflect.ValueOf(labels).Pointer()
	if text, ok := p.texts[key]; ok {
		return text
	}
	out := maps.Clone(p.shown(labels))
	maps.DeleteFunc(out, func(name, value string) bool {
		v, ok := p.common[name]
		return ok && v == value && !slices.Contains(p.include, name)
	})
	text := formatLabels(out)
	p.texts[key] = text
	return text
}

// formatLabels writes labels as a selector does, in ascending order.
func formatLabels(labels map[string]string) string {
	var out strings.Builder
	out.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(name + "=" + strconv.Quote(labels[name]))
	}
	out.WriteByte('}')
	return out.String()
}

// colour returns the escape sequence of one of twelve colours.
func colour(text string) string {
	h := fnv.New32a()
	_, _ = io.WriteString(h, text)
	n := h.Sum32() % 12
	if n < 6 {
		return fmt.Sprintf("\x1b[%dm", 31+n)
	}
	return fmt.Sprintf("\x1b[%dm", 91+n-6)
}
