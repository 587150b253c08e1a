// Package trace is the door to OpenTelemetry: spans of a request on its way through the store and its members, sent to a collector by
// OTLP. A trace that comes with a request (W3C traceparent, as Grafana and Alloy send it) is carried on, to other members too.
//
// A Tracer begins the span of a request, on each member that it reaches, and that of work which nobody asked for, such as the
// evaluation of rules; Start begins one beneath the span of the context. Where there
// is no Tracer, or the trace is not sampled, Start returns a nil Span, on which every method does nothing: that costs a look into the
// context and no memory. Attributes are therefore set by methods and not handed to Start.
//
// The environment variables of OpenTelemetry hold (OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES); what Config says goes before them.
package trace
