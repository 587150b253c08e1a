// Package pipeline turns the stages of a LogQL query into functions over lines: filters, parsers, label filters,
// formats and unwrap.
package pipeline
