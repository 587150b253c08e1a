package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"logstore/pkg/wire"
)

// stopRequest is how a request makes the process end.
type stopRequest struct {
	once sync.Once
	c    chan struct{}
}

func (s *stopRequest) send() { s.once.Do(func() { close(s.c) }) }

// shutdownIngester leaves the ring and takes no more pushes. It flushes what is in memory, if it is to, forgets the tokens, so that the next start
// takes new ones, and ends the process. It returns before the process has ended.
func (a *App) shutdownIngester(ctx context.Context, flush, deleteTokens, terminate bool) error {
	if !a.ingester.StopPushes() {
		return fmt.Errorf("%w: the ingester is not running", wire.ErrUnavailable)
	}
	a.logger.Info("the ingester is shut down on request", "flush", flush, "delete_ring_tokens", deleteTokens, "terminate", terminate)
	a.ring.Leave()
	var err error
	if flush {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Ingester.FlushOpTimeout)
		defer cancel()
		err = errors.Join(a.ingester.FlushWait(ctx), a.shipper.Flush(ctx))
	} else {
		a.ingester.KeepUnflushed()
	}
	if deleteTokens {
		err = errors.Join(err, a.deleteTokens())
	}
	if terminate {
		a.stopping.send()
	}
	return err
}

// deleteTokens removes the file of the member's places on the ring.
func (a *App) deleteTokens() error {
	path := a.cfg.Ingester.Lifecycler.TokensFilePath
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete the tokens of the ring: %w", err)
	}
	return nil
}

// lastStop does what prepare_shutdown asked for: the member does not come back.
func (a *App) lastStop() {
	marker := newShutdownMarker(markerDir(a.cfg))
	if set, err := marker.Get(); err != nil || !set {
		return
	}
	if err := errors.Join(a.deleteTokens(), marker.Set(false)); err != nil {
		a.logger.Error("cannot leave the ring for good", "err", err)
	}
}
