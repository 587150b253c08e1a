package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// unlimited lifts the limits that a load at full speed meets.
var unlimited = []string{
	"-distributor.ingestion-rate-limit-mb=1000", "-distributor.ingestion-burst-size-mb=1000",
	"-ingester.per-stream-rate-limit=1GB", "-ingester.per-stream-rate-limit-burst=1GB",
}

// shape is what pushes look like.
type shape struct{ streams, lines int }

// bodies makes pushes of one shape for several clients, so many lines in all, each client with streams of its own.
func bodies(clients, lines int, s shape) [][][]byte {
	out := make([][][]byte, clients)
	rnd := rand.New(rand.NewPCG(1, 2))
	base := time.Now().Add(-10 * time.Minute).UnixNano()
	seq := 0
	for turn := 0; seq < lines; turn++ {
		client := turn % clients
		streams := make([]wire.PushStream, s.streams)
		for i := range streams {
			streams[i].Labels = fmt.Sprintf(`{app="load", client="%d", stream="%d"}`, client, i)
			for range s.lines / s.streams {
				line := fmt.Sprintf(`ts=%d level=info caller=handler.go:%d msg="request done" method=GET path=/api/v1/items/%d status=%d duration=%dus bytes=%d trace=%016x`,
					seq, rnd.IntN(500), rnd.IntN(100000), 200+rnd.IntN(5), rnd.IntN(1000000), rnd.IntN(100000), rnd.Uint64())
				streams[i].Entries = append(streams[i].Entries, wire.PushEntry{Timestamp: base + int64(seq)*1000, Line: []byte(line)})
				seq++
			}
		}
		out[client] = append(out[client], snappy.Encode(nil, wire.AppendProto(nil, streams)))
	}
	return out
}

// pushAll sends each client's bodies one after the other with pauses, to the members in turn.
func (c *Cluster) pushAll(bodies [][][]byte, pause time.Duration) {
	c.t.Helper()
	urls := c.URLs()
	var wg sync.WaitGroup
	var failed atomic.Pointer[string]
	for n := range bodies {
		wg.Go(func() {
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
			defer client.CloseIdleConnections()
			for turn, body := range bodies[n] {
				resp, err := client.Post(urls[(turn+n)%len(urls)]+"/loki/api/v1/push", "application/x-protobuf", bytes.NewReader(body))
				text := ""
				if err != nil {
					text = err.Error()
				} else if resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
					text = resp.Status
				}
				if text != "" {
					failed.Store(&text)
					return
				}
				time.Sleep(pause)
			}
		})
	}
	wg.Wait()
	if text := failed.Load(); text != nil {
		c.t.Fatal("push failed: ", *text)
	}
}

// CPU returns the processor time of all members once they have come to rest.
func (c *Cluster) CPU() time.Duration {
	sum := func() (d time.Duration) {
		for _, p := range c.Members {
			d += p.CPU()
		}
		return d
	}
	const look = 500 * time.Millisecond
	was := sum()
	for range 60 {
		time.Sleep(look)
		now := sum()
		if now-was < look/10 {
			return now
		}
		was = now
	}
	return was
}

// mostOverhead is how many times the processor time of one member three may take for a line. What storing a line costs is paid
// twice, for there are two copies, what reading a request costs once, and the way between members comes on top.
const mostOverhead = 2.3

// TestReplicationOverhead compares the processor time that three members, which hold each line twice, take for a line with that of one
// member: large pushes and small ones. The figures of a machine that does other things as well say little, so that only the long form
// asserts something.
func TestReplicationOverhead(t *testing.T) {
	if !soak() {
		t.Skip("needs a machine of its own: see make overhead")
	}
	const lines, rounds = 300_000, 5
	one, three := NewCluster(t, 1, unlimited...), NewCluster(t, 3, unlimited...)
	for _, s := range []shape{{streams: 12, lines: 3000}, {streams: 3, lines: 60}} {
		var ratios []float64
		var perLine [2][]float64
		for round := range rounds + 1 {
			load := bodies(faultClients, lines, s)
			var used [2]float64
			for k, c := range []*Cluster{one, three} {
				before := c.CPU()
				c.pushAll(load, 0)
				used[k] = float64((c.CPU() - before).Nanoseconds()) / lines
			}
			if round == 0 {
				continue // connections are made, streams are new
			}
			ratios = append(ratios, used[1]/used[0])
			perLine[0], perLine[1] = append(perLine[0], used[0]), append(perLine[1], used[1])
		}
		for _, list := range [][]float64{ratios, perLine[0], perLine[1]} {
			slices.Sort(list)
		}
		t.Logf("pushes of %d lines: %.0f ns of one member, %.0f ns of three for a line: %.2f times (of %.2f)", s.lines,
			perLine[0][rounds/2], perLine[1][rounds/2], ratios[rounds/2], ratios)
		require.LessOrEqual(t, ratios[0], mostOverhead, "pushes of %d lines", s.lines)
	}
}
