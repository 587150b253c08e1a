// Package pipeline turns the stages of a LogQL query into functions over lines: filters, parsers, label filters,
// formats and unwrap.
//
// A Pipeline is what Build or BuildSample compiled from the syntax tree; it is immutable and shared by all goroutines of
// a query. A Stream is a Pipeline bound to the labels of one stream; it owns the scratch memory that one goroutine needs
// to run lines through the stages, and the cache that makes equal results the same *Result.
//
// The stages fall in two parts. Line filters that see the line as it was stored are the leading filters: they look at
// nothing but the line, so MayMatch and Select run them over a whole decoded block. All else is a stage that Process
// runs, in the order written, on the entries that Select returned.
// Literals are found by two of their bytes at a time: by AVX2 where the processor has it, else by words of eight bytes.
//
// Within Process the labels of an entry are slots, one for each name that the Stream has met. A slot holds the value that
// the stream has under its name and, while its line number is the current one, the value that metadata, a parser or a
// format put over it. So a new line begins by counting up, and nothing is copied until a result is built.
//
// Values in slots are strings that share memory with the line, with a scratch buffer or with the chunk's symbols. They are
// valid until the next line; what outlives it (a Result, a cached regular expression) is cloned.
//
// Parsers extract only what some later stage or the result wants. In a metric query that groups by labels they also stop
// reading a line as soon as they have all of it, so that a syntax error behind that point goes unnoticed; and they try
// later label filters on the values that they extract, so that a line can be given up early.
package pipeline
