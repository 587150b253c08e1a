package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxInputLine bounds a line of the input.
const maxInputLine = 64 << 20

// inputLine is a line of the input, without its end.
type inputLine struct {
	text   []byte
	file   string
	number int
	read   int64 // when, in nanoseconds since 1970
}

// readLines sends the lines of the files one after the other; "-" is the standard input.
func readLines(ctx context.Context, stdin io.Reader, files []string, to chan<- inputLine) error {
	for _, file := range files {
		if err := readFile(ctx, stdin, file, to); err != nil {
			return err
		}
	}
	return nil
}

func readFile(ctx context.Context, stdin io.Reader, file string, to chan<- inputLine) error {
	in, name := stdin, "standard input"
	if file != "-" {
		f, err := os.Open(filepath.Clean(file))
		if err != nil {
			return err
		}
		defer f.Close()
		in, name = f, file
	}
	if in == nil {
		return errors.New("there is no standard input")
	}
	r := bufio.NewScanner(in)
	r.Buffer(make([]byte, 0, 64<<10), maxInputLine)
	number := 0
	for r.Scan() {
		number++
		line := inputLine{text: bytes.Clone(r.Bytes()), file: name, number: number, read: time.Now().UnixNano()}
		select {
		case to <- line:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("%s:%d: cannot read: %w", name, number+1, err)
	}
	return nil
}

// jsonLine is a line of JSON input. A timestamp of 0 is none.
type jsonLine struct {
	line             string
	timestamp        int64
	labels, metadata map[string]string
}

// parseLine reads a line of JSON input. What it does not know is an error: it would be lost in silence.
func parseLine(text []byte) (jsonLine, error) {
	var in struct {
		Line      *string           `json:"line"`
		Timestamp json.RawMessage   `json:"timestamp"`
		Labels    map[string]string `json:"labels"`
		Metadata  map[string]string `json:"metadata"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return jsonLine{}, fmt.Errorf("the line is no object of line, timestamp, labels and metadata: %w", err)
	}
	if d.More() {
		return jsonLine{}, errors.New("there is more than one object in the line")
	}
	if in.Line == nil {
		return jsonLine{}, errors.New(`"line" is missing`)
	}
	at, err := parseTimestamp(in.Timestamp)
	return jsonLine{line: *in.Line, timestamp: at, labels: in.Labels, metadata: in.Metadata}, err
}

func parseTimestamp(raw json.RawMessage) (int64, error) {
	text := string(raw)
	if text == "" || text == "null" {
		return 0, nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		text = s
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("the timestamp %s is neither RFC 3339 nor nanoseconds since 1970", strconv.Quote(text))
	}
	return t.UnixNano(), nil
}

// cutPair reads name=value; the value may stand in quotation marks.
func cutPair(text string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(text, "=")
	if s, err := strconv.Unquote(value); err == nil {
		value = s
	}
	name = strings.TrimSpace(name)
	return name, value, ok && name != ""
}
