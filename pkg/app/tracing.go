package app

import (
	"os"

	"logstore/pkg/trace"
)

// newTracer makes what begins spans, if there is somewhere to send them to.
func (a *App) newTracer() error {
	if !a.cfg.Tracing.Enabled {
		return nil
	}
	t := a.cfg.Logstore.Tracing
	c := trace.Config{Endpoint: t.Endpoint, Protocol: t.Protocol, SampleRatio: t.SampleRatio, Instance: a.memberID(), Version: a.build.Version}
	if t.SampleRatio == 1 && os.Getenv("OTEL_TRACES_SAMPLER") != "" {
		c.SampleRatio = -1 // nothing was asked for here
	}
	var err error
	a.tracer, err = trace.New(c, a.logger.With("component", "tracing"))
	return err
}
