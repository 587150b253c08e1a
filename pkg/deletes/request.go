package deletes

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/schema"
)

// The states of a part.
const (
	Received  = "received"
	Processed = "processed"
)

// ErrTable is wrapped by errors that say the table of requests is not sound.
var ErrTable = errors.New("invalid delete requests table")

// Part is one part of a request: the unit that is processed.
type Part struct {
	Tenant string
	// ID is that of the request; Number tells its parts apart, from 0.
	ID     string
	Number int
	// Created, Start and End are in milliseconds since 1970; both bounds are inside.
	Created, Start, End int64
	Query               string
	State               string
}

// Name identifies the part: tenant:id, and :number behind it from the second on.
func (p *Part) Name() string {
	name := p.Tenant + ":" + p.ID
	if p.Number > 0 {
		name += ":" + strconv.Itoa(p.Number)
	}
	return name
}

// Bounds returns the span in nanoseconds, both ends inclusive.
func (p *Part) Bounds() (first, last int64) {
	return p.Start * int64(time.Millisecond), p.End * int64(time.Millisecond)
}

// Request is what a client asked for: all parts of one id.
type Request struct {
	Tenant, ID string
	// Created, Start and End are in milliseconds.
	Created, Start, End int64
	Query               string
	// Parts ascend by number.
	Parts []Part
}

// Status returns the state of the whole: "received", "processed", or the share of the parts that are.
func (r *Request) Status() string {
	done := r.processed()
	switch {
	case done == 0:
		return Received
	case done == len(r.Parts):
		return Processed
	}
	return fmt.Sprintf("%d%% Complete", done*100/len(r.Parts))
}

func (r *Request) processed() int {
	n := 0
	for i := range r.Parts {
		if r.Parts[i].State == Processed {
			n++
		}
	}
	return n
}

// requestID returns the eight digits that name a request.
func requestID(tenant, query string, created, salt int64) string {
	h := fnv.New32()
	fmt.Fprintf(h, "%s:%d:%d:%s", tenant, created, salt, query)
	return fmt.Sprintf("%08x", h.Sum32())
}

// splitSpan cuts [start, end] into parts of at most max milliseconds; a max of 0 cuts nothing. Neighbours share the instant at
// which they meet: times between two milliseconds would lie in neither otherwise.
func splitSpan(start, end, maxSpan int64) []span {
	if maxSpan <= 0 {
		return []span{{start, end}}
	}
	var out []span
	for from := start; from < end; from += maxSpan {
		out = append(out, span{from, min(from+maxSpan, end)})
	}
	return out
}

type span struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// The hashes of the table's rows.
const (
	stateHash      = "1"
	detailsHash    = "2:"
	generationHash = "3:"
)

// rows returns the two rows of a part.
func (p *Part) rows() []schema.Row {
	details := strconv.FormatInt(p.Created, 16) + ":" + strconv.FormatInt(p.Start, 16) + ":" + strconv.FormatInt(p.End, 16)
	return []schema.Row{
		{Key: []byte(stateHash + "\x00" + p.Name()), Value: []byte(p.State)},
		{Key: []byte(detailsHash + p.Name() + "\x00" + details), Value: []byte(p.Query)},
	}
}

func generationRow(tenant string, generation int64) schema.Row {
	return schema.Row{Key: []byte(generationHash + tenant + "\x00"), Value: strconv.AppendInt(nil, generation, 10)}
}

// parseName is the inverse of Part.Name.
func parseName(name string) (tenant, id string, number int, err error) {
	fields := strings.Split(name, ":")
	if len(fields) == 3 {
		if number, err = strconv.Atoi(fields[2]); err != nil || number < 0 {
			return "", "", 0, fmt.Errorf("%w: %q has no number", ErrTable, name)
		}
		fields = fields[:2]
	}
	if len(fields) != 2 || fields[0] == "" || fields[1] == "" {
		return "", "", 0, fmt.Errorf("%w: %q is no tenant:id", ErrTable, name)
	}
	return fields[0], fields[1], number, nil
}

// parseDetails reads created:start:end.
func (p *Part) parseDetails(text string) error {
	fields := strings.Split(text, ":")
	if len(fields) != 3 {
		return fmt.Errorf("%w: %q is no created:start:end", ErrTable, text)
	}
	for i, to := range []*int64{&p.Created, &p.Start, &p.End} {
		n, err := strconv.ParseInt(fields[i], 16, 64)
		if err != nil {
			return fmt.Errorf("%w: %q is no created:start:end", ErrTable, text)
		}
		*to = n
	}
	return nil
}
