// Package logql states what a query may ask of data: the Source interface, alone in one file, with its bounds, order and
// ownership. Package logql/engine evaluates queries over a Source; ingester and store implement one, and querier
// composes them.
package logql
