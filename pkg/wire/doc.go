// Package wire decodes and encodes push and query messages: protobuf, JSON and OTLP.
package wire
