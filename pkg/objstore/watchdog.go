package objstore

import (
	"context"
	"io"
	"time"
)

// watchdog ends a request in which no byte moves for a while. Unlike a deadline it leaves a large body on a slow line alone.
type watchdog struct {
	timeout time.Duration
	timer   *time.Timer
	cancel  context.CancelCauseFunc
}

// watch returns a context that ends with errStalled once the timeout passes without a call of moved. The watchdog must
// be stopped.
func watch(ctx context.Context, timeout time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{timeout: timeout, cancel: cancel}
	if timeout > 0 {
		w.timer = time.AfterFunc(timeout, func() { cancel(errStalled) })
	}
	return ctx, w
}

func (w *watchdog) moved() {
	if w.timer != nil {
		w.timer.Reset(w.timeout)
	}
}

// pause lets the watchdog sleep until moved is called, while nobody waits for bytes.
func (w *watchdog) pause() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) stop() {
	w.pause()
	w.cancel(context.Canceled)
}

// watchedSeeker tells the watchdog of a request's body being sent.
type watchedSeeker struct {
	io.ReadSeeker
	dog *watchdog
}

// Read implements io.Reader.
func (r watchedSeeker) Read(p []byte) (int, error) {
	r.dog.moved()
	return r.ReadSeeker.Read(p)
}

// watchedReader tells the watchdog of an answer's body being read, and stops it when it is closed.
type watchedReader struct {
	io.ReadCloser
	dog *watchdog
}

// Read implements io.Reader.
func (r watchedReader) Read(p []byte) (int, error) {
	r.dog.moved()
	defer r.dog.pause()
	return r.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (r watchedReader) Close() error {
	defer r.dog.stop()
	return r.ReadCloser.Close()
}
