package wire

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Stream is a stream of a checked push on its way from a distributor to an ingester.
type Stream struct {
	// Labels is sorted, without empty values and duplicates. Labels and Text belong to the distributor's cache of streams,
	// are never changed and may be kept for ever; they do not alias the request.
	Labels labels.Labels
	// Text is Labels in canonical form, {a="b", c="d"}: a stream's name in messages, and a key for look-ups.
	Text string
	// Hash is labels.StableHash(Labels). Two streams may have the same.
	Hash uint64
	// Entries are in the order pushed. The slice, its lines and its metadata alias the request and are valid until Push
	// returns. Metadata is clean and sorted by name.
	Entries []PushEntry
	// Runs, if there are any, are the same entries in the same order, encoded. They are as valid as Entries.
	Runs []Run
}

// Run is a stretch of a stream's entries in the encoding that chunks and the write-ahead log have (chunk.AppendEntry, or
// chunk.AppendRichEntry if Rich). All entries of a run have metadata or none has. A run ends before the entry at which it
// has reached RunSize, so that all replicas cut alike.
type Run struct {
	Rich bool
	Data []byte
	// Entries is their number and Size the sum of their sizes.
	Entries, Size int
	// Oldest and Newest bound their timestamps.
	Oldest, Newest int64
}

// RunSize is the size in bytes at which a run is ended.
const RunSize = 64 << 10

// ErrUnavailable is what an ingester's error wraps if it can't take pushes now (starting, stopping, no space for the
// write-ahead log): the client is told to try again later.
var ErrUnavailable = errors.New("ingester unavailable")

// RefusalKind says why an ingester refused entries.
type RefusalKind uint8

// The kinds of refusal.
const (
	// TooFarBehind entries are older than the stream's newest by more than the reject window.
	TooFarBehind RefusalKind = iota + 1
	// OutOfOrder entries are older than the stream's newest where unordered writes are off.
	OutOfOrder
	// StreamLimit refuses a whole stream that would be one too many.
	StreamLimit
	// StreamRate refuses all entries of a stream that comes too fast.
	StreamRate
	// NoSchema refuses entries from before the first period of the schema.
	NoSchema
)

// Reason is the value of the label reason in the metrics of discarded entries.
func (k RefusalKind) Reason() string {
	switch k {
	case TooFarBehind:
		return "too_far_behind"
	case OutOfOrder:
		return "out_of_order"
	case StreamLimit:
		return "stream_limit"
	case StreamRate:
		return "per_stream_rate_limit"
	case NoSchema:
		return "no_schema"
	}
	return "unknown"
}

// MaxRefusedEntries is how many refused entries of a stream are named to the client at most, whatever is configured.
const MaxRefusedEntries = 1000

// RefusedEntry is an entry that an ingester did not take.
type RefusedEntry struct {
	Timestamp int64
	// Oldest is the oldest timestamp that would have been taken (TooFarBehind).
	Oldest int64
	// Bytes is the entry's size (StreamRate).
	Bytes int
}

// Refusal is what an ingester did not take of one stream. A stream may have several, of different kinds.
type Refusal struct {
	// Stream is the index in the pushed streams.
	Stream int
	Kind   RefusalKind
	// Labels is the stream's canonical text.
	Labels string
	// Entries and Bytes (of lines and metadata) count what was refused, Total is the number of entries pushed.
	Entries, Bytes, Total int
	// First are the first refused entries, as many as are named. StreamLimit needs none.
	First []RefusedEntry
	// Limit is the limit in bytes per second (StreamRate).
	Limit int
}

// RefusedError is the error of an ingester that stored a push without the entries named here. All others are as safe as
// if it had returned nil.
type RefusedError struct {
	Refusals []Refusal
}

// Error tells how much was refused; what a client is shown is Refusal.Text.
func (e *RefusedError) Error() string {
	n := 0
	for i := range e.Refusals {
		n += e.Refusals[i].Entries
	}
	return fmt.Sprintf("%d entries of %d streams refused", n, len(e.Refusals))
}

// Text is the refusal as the client reads it, in Loki's words.
func (r *Refusal) Text(tenant string) string {
	if r.Kind == StreamLimit {
		return fmt.Sprintf("maximum active stream limit exceeded when trying to create stream %s, reduce the number of active streams"+
			" (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: '%s'", r.Labels, tenant)
	}
	var b strings.Builder
	for _, e := range r.First[:min(len(r.First), MaxRefusedEntries)] {
		fmt.Fprintf(&b, "entry with timestamp %s ignored, reason: '%s',\n", time.Unix(0, e.Timestamp).UTC(), r.reason(e))
	}
	fmt.Fprintf(&b, "user '%s', total ignored: %d out of %d for stream: %s", tenant, r.Entries, r.Total, r.Labels)
	return b.String()
}

func (r *Refusal) reason(e RefusedEntry) string {
	switch r.Kind {
	case TooFarBehind:
		return fmt.Sprintf("entry too far behind, entry timestamp is: %s, oldest acceptable timestamp is: %s",
			time.Unix(0, e.Timestamp).UTC().Format(time.RFC3339), time.Unix(0, e.Oldest).UTC().Format(time.RFC3339))
	case OutOfOrder:
		return "entry out of order"
	case StreamRate:
		return fmt.Sprintf("Per stream rate limit exceeded (limit: %s/sec) while attempting to ingest for stream '%s' totaling %s,"+
			" consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased",
			FormatBytes(r.Limit), r.Labels, FormatBytes(e.Bytes))
	case NoSchema:
		return fmt.Sprintf("no schema config found for time %d", e.Timestamp/int64(time.Millisecond))
	}
	return "refused"
}

// FormatBytes writes a size as limits are written, in powers of 1024: 100B, 3MB, 1.5KB.
func FormatBytes(n int) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	s := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	return s + units[i:i+1] + "B"
}
