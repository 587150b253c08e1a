// Package engine plans and evaluates LogQL log and metric queries over a logql.Source.
package engine
