package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// parts are the running parts of the process. Each has a context of its own, so that they end one after the other.
type parts struct {
	ctx     context.Context
	logger  *slog.Logger
	states  *states
	running map[string]*part
	failed  chan struct{}
}

type part struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func newParts(ctx context.Context, logger *slog.Logger, states *states) *parts {
	return &parts{ctx: ctx, logger: logger, states: states, running: map[string]*part{}, failed: make(chan struct{}, 1)}
}

// start runs a part until it is stopped; that the process is to end does not stop it yet.
func (p *parts) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.ctx))
	pt := &part{cancel: cancel, done: make(chan struct{})}
	p.running[name] = pt
	p.states.set(name, "Running")
	go func() {
		defer close(pt.done)
		pt.err = run(ctx)
		if ctx.Err() == nil && pt.err == nil {
			pt.err = errors.New("it ended by itself")
		}
		if ctx.Err() == nil {
			p.states.set(name, "Failed")
			p.logger.Error("a part of the process failed", "part", name, "err", pt.err)
			select {
			case p.failed <- struct{}{}:
			default:
			}
		}
	}()
}

// wait returns when the process is asked to end, by its context or by stopping, or a part has failed.
func (p *parts) wait(stopping <-chan struct{}) {
	select {
	case <-stopping:
	case <-p.ctx.Done():
	case <-p.failed:
	}
}

// stop ends the parts in the given order, each after the one before it has ended.
func (p *parts) stop(names ...string) error {
	var errs []error
	for _, name := range names {
		pt := p.running[name]
		begin := time.Now()
		pt.cancel()
		<-pt.done
		if pt.err != nil && !errors.Is(pt.err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", name, pt.err))
			continue
		}
		p.states.set(name, "Terminated")
		p.logger.Debug("stopped", "part", name, "duration", time.Since(begin))
	}
	return errors.Join(errs...)
}
