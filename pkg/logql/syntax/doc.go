// Package syntax reads LogQL: lexer, parser, AST and printer. It executes nothing: package pipeline turns stages into
// functions over lines, and package engine evaluates expressions.
package syntax
