package ruler

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"logstore/pkg/rules"
)

func minutes(n int) rules.Duration { return rules.Duration(time.Duration(n) * time.Minute) }

func testGroup() rules.Group {
	offset := minutes(1)
	return rules.Group{
		Name: "g", Interval: rules.Duration(90*time.Second + 5), Limit: 7, QueryOffset: &offset, Labels: map[string]string{"team": "a"},
		Rules: []rules.Rule{
			{Alert: "A", Expr: `count_over_time({a="b"}[1m]) > 0`, For: minutes(5), KeepFiringFor: minutes(2),
				Labels: map[string]string{"x": "1", "a": ""}, Annotations: map[string]string{"text": "{{ $value }}"}},
			{Record: "r", Expr: "vector(1)"},
		},
	}
}

func TestGroupRoundTrip(t *testing.T) {
	g := testGroup()
	got, err := decodeGroup(encodeGroup("tenant", "ns", &g))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(g, got, cmpopts.IgnoreUnexported(rules.Group{}, rules.Rule{})))
}

// TestGroupGolden holds the bytes to what the documented messages say, field by field.
func TestGroupGolden(t *testing.T) {
	g := rules.Group{Name: "g", Interval: minutes(1), Rules: []rules.Rule{{Alert: "A", Expr: "e", For: minutes(5), Labels: map[string]string{"k": "v"}}}}
	want := "0a0167" + // 1: "g"
		"12026e73" + // 2: "ns"
		"1a02083c" + // 3: {1: 60}
		"2213" + "0a0165" + "1a0141" + "220308ac02" + "2a060a016b120176" + // 4: {1: "e", 3: "A", 4: {1: 300}, 5: {1: "k", 2: "v"}}
		"320174" // 6: "t"
	body := encodeGroup("t", "ns", &g)
	require.Equal(t, want, hex.EncodeToString(body))
	unknown := append(body, 0x98, 0x01, 0x05, 0x4a, 0x01, 0x00) // fields 19 and 9, which other rulers have
	got, err := decodeGroup(unknown)
	require.NoError(t, err)
	require.Equal(t, "A", got.Rules[0].Alert)
	require.Equal(t, "rules/t/bnM=/Zw==", groupKey("t", "ns", "g"))
}

func FuzzDecodeGroup(f *testing.F) {
	g := testGroup()
	f.Add(encodeGroup("t", "ns", &g))
	f.Add([]byte("name: x"))
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := decodeGroup(body)
		if err != nil {
			return
		}
		again, err := decodeGroup(encodeGroup("t", "ns", &g))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(g, again, cmpopts.IgnoreUnexported(rules.Group{}, rules.Rule{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}
