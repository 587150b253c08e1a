// Package syntax reads LogQL: lexer, parser, AST and printer. It executes nothing: package pipeline turns stages into
// functions over lines, and package engine evaluates expressions.
//
// The nouns: a query is an Expr, either a LogQuery (its value is log entries) or a SampleExpr (its value is a vector or
// a scalar). A LogQuery has matchers, which select streams, and stages, which are applied to each entry in order.
//
// Parse reports the first error as a *ParseError with its place. What it checks is the language: the grammar, which
// function takes what, that each selector has a matcher that does not accept the empty string, that regular expressions
// compile, units and numbers. What a template, a pattern or a JSON expression may hold is checked by package pipeline when
// it compiles the stages.
//
// Operations on number literals alone are folded while parsing, so an expression without streams that is no vector()
// always comes back as one Literal. A minus sign belongs to the literal behind it, which is why -2^2 is 4.
//
// All functions are pure and safe for concurrent use; an Expr is never changed once it is returned.
package syntax
