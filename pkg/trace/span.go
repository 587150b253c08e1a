package trace

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope names this program's spans.
const scope = "logstore"

// Span is a part of the work on a request. A nil Span does nothing. It is safe for concurrent use until End.
type Span struct{ s trace.Span }

// Start begins a span beneath that of the context, and returns a context with it; the context itself and nil if there is none or it is
// not sampled.
func Start(ctx context.Context, name string) (context.Context, *Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, nil
	}
	return start(ctx, parent.TracerProvider(), name, trace.SpanKindInternal)
}

// StartCall is Start for a call of another member.
func StartCall(ctx context.Context, name string) (context.Context, *Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, nil
	}
	return start(ctx, parent.TracerProvider(), name, trace.SpanKindClient)
}

func start(ctx context.Context, p trace.TracerProvider, name string, kind trace.SpanKind) (context.Context, *Span) {
	ctx, s := p.Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind))
	if !s.IsRecording() {
		return ctx, nil
	}
	return ctx, &Span{s: s}
}

// Name changes the name.
func (s *Span) Name(name string) {
	if s != nil {
		s.s.SetName(name)
	}
}

// Text sets an attribute.
func (s *Span) Text(key, value string) {
	if s != nil {
		s.s.SetAttributes(attribute.String(key, strings.ToValidUTF8(value, "?")))
	}
}

// Int sets an attribute.
func (s *Span) Int(key string, value int64) {
	if s != nil {
		s.s.SetAttributes(attribute.Int64(key, value))
	}
}

// Fail marks the span as failed.
func (s *Span) Fail(text string) {
	if s != nil {
		s.s.SetStatus(codes.Error, strings.ToValidUTF8(text, "?"))
	}
}

// End ends the span; err, if there is one, is why it failed.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.Fail(err.Error())
	}
	s.s.End()
}

// ID returns the trace of the context as 32 hexadecimal digits, or "".
func ID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}

// Parent returns the context's span in the form of the header traceparent, or "" if it is not sampled.
func Parent(ctx context.Context) string {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ""
	}
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[parentHeader]
}

// Parent returns the span in the form of the header traceparent.
func (s *Span) Parent() string {
	if s == nil {
		return ""
	}
	return Parent(trace.ContextWithSpan(context.Background(), s.s))
}

const (
	parentHeader = "traceparent"
	stateHeader  = "tracestate"
)

// with returns a context with the span that the headers of a request name, if they name one.
func with(ctx context.Context, parent, state string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{parentHeader: parent, stateHeader: state})
}
