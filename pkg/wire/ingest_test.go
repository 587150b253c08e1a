package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFormatBytes(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		require.Equal(t, want, FormatBytes(n))
	}
	f(0, "0B")
	f(150, "150B")
	f(1024, "1KB")
	f(1536, "1.5KB")
	f(3<<20, "3MB")
	f(10<<30, "10GB")
	f(1<<62, "4096PB")
}

func TestRefusalNamesEntries(t *testing.T) {
	r := Refusal{Kind: OutOfOrder, Labels: `{a="b"}`, Entries: 12, Total: 20}
	for range 12 {
		r.First = append(r.First, RefusedEntry{Timestamp: 1768867200_000000001})
	}
	text := r.Text("u")
	const line = "entry with timestamp 2026-01-20 00:00:00.000000001 +0000 UTC ignored, reason: 'entry out of order',\n"
	for range r.First {
		require.Contains(t, text, line)
		text = text[len(line):]
	}
	require.Equal(t, `user 'u', total ignored: 12 out of 20 for stream: {a="b"}`, text)
	require.EqualError(t, &RefusedError{Refusals: []Refusal{r, {Entries: 2}}}, "14 entries of 2 streams refused")
	require.Equal(t, "unknown", RefusalKind(0).Reason())
	noSchema := Refusal{Kind: NoSchema, Labels: `{a="b"}`, Entries: 1, Total: 1, First: []RefusedEntry{{Timestamp: 1768867200}}}
	require.Contains(t, noSchema.Text("u"), "no schema config found for time 1768'")
}
