package limits

import "testing"

func BenchmarkFor(b *testing.B) {
	o, err := New(DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	if err := o.Set("tenant-a", DefaultLimits()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n += o.For("tenant-a").MaxLineSize
	}
}
