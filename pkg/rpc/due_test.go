package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type dueKey struct{}

// TestDueContext holds it against what context.WithTimeout returns, looked at with and without waiting for the end.
func TestDueContext(t *testing.T) {
	gone := errors.New("gone")
	for _, tc := range []struct {
		name string
		// act does something to a context of a second, whose end and whose parent's end it is given.
		act func(end func(), parent context.CancelCauseFunc)
		err error
	}{
		{name: "nothing", act: func(func(), context.CancelCauseFunc) {}},
		{name: "too late", act: func(func(), context.CancelCauseFunc) { time.Sleep(time.Second) }, err: context.DeadlineExceeded},
		{name: "end", act: func(end func(), _ context.CancelCauseFunc) { end() }, err: context.Canceled},
		{name: "parent", act: func(_ func(), parent context.CancelCauseFunc) { parent(gone) }, err: context.Canceled},
	} {
		for _, waits := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), dueKey{}, 1))
					defer cancel(nil)
					c := newDueContext(parent, time.Second)
					defer c.end()
					due, ok := c.Deadline()
					require.True(t, ok)
					require.Equal(t, time.Now().Add(time.Second), due)
					if waits {
						require.NotNil(t, c.Done())
					}
					tc.act(c.end, cancel)
					synctest.Wait()
					require.Equal(t, tc.err, c.Err())
					child, stop := context.WithCancel(c)
					defer stop()
					synctest.Wait()
					require.Equal(t, tc.err, child.Err())
					require.Equal(t, 1, child.Value(dueKey{}))
					if tc.err != nil {
						<-c.Done()
					}
					require.Equal(t, tc.err, c.Err())
				})
			})
		}
	}
}

// TestDueContextParent has a parent that ends before.
func TestDueContextParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newDueContext(parent, time.Minute)
		defer c.end()
		due, _ := c.Deadline()
		require.Equal(t, time.Now().Add(time.Second), due)
		<-c.Done()
		require.Equal(t, context.DeadlineExceeded, c.Err())
	})
}
