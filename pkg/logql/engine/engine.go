package engine

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"logstore/pkg/logql"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// Params says what to evaluate. Start and End are nanoseconds.
type Params struct {
	// Text is the query as written, for errors and the query log.
	Text string
	Expr syntax.Expr
	// Start and End bound a log query as [Start, End), and if they are equal it asks for that very instant; a metric query
	// is evaluated at Start, Start+Step, ... up to and including End. Instant evaluates a metric query at End only and
	// yields a Vector or a Scalar.
	Start, End int64
	Instant    bool
	// Step is that of a metric range query; Interval thins out a log query.
	Step, Interval time.Duration
	Direction      model.Direction
	// Limit is the most entries that a log query returns; zero means all.
	Limit int
	// Categorize keeps the labels of a log query's entries apart by origin.
	Categorize bool
	// ShardIndex and ShardCount evaluate over a part of the streams only, as in logql.Selection.
	ShardIndex, ShardCount uint64
	// Given has the values of subexpressions of Expr that are known already, by their nodes; they are not evaluated. Their labels
	// are distinct, and their points are of the steps. They are not changed.
	Given map[syntax.Expr]Matrix
	// Origins fills LogEntry.Origin.
	Origins bool
}

// Limits bound one query; zero means no bound.
type Limits struct {
	// MaxSeries is the most series that a metric query returns.
	MaxSeries int
	// MaxBytesRead is the most bytes of decompressed blocks that a query reads.
	MaxBytesRead int64
	// MaxMemory is the most bytes that a query holds in series, samples and entries.
	MaxMemory int64
	// MaxParallelism is the most goroutines that work on blocks; there are never more than cores.
	MaxParallelism int
	// MaxOpen is the most pieces that are opened at a time, within what the engine itself allows.
	MaxOpen int
	// Budget, if there is one, is shared by several runs: MaxBytesRead and MaxMemory then bound all of them together.
	Budget *Budget
}

// Engine evaluates queries over a Source. Its zero value is ready, and it is safe for concurrent use.
type Engine struct{}

// query is one run.
type query struct {
	src     logql.Source
	p       Params
	lim     Limits
	acct    account
	workers int
	openers int
}

// maxOpeners bounds the pieces that one query opens at a time.
const maxOpeners = 32

// Run evaluates p over src. It starts as many goroutines as lim allows and returns when all have ended; a cancelled
// context stops them at the next block. Errors for which IsBadQuery holds are the query's own fault.
func (e *Engine) Run(ctx context.Context, src logql.Source, p Params, lim Limits) (Result, error) {
	started := time.Now()
	q := &query{src: src, p: p, lim: lim, workers: runtime.GOMAXPROCS(0)}
	if lim.MaxParallelism > 0 {
		q.workers = min(q.workers, lim.MaxParallelism)
	}
	q.openers = min(4*q.workers, maxOpeners)
	if lim.MaxOpen > 0 {
		q.openers = min(q.openers, lim.MaxOpen)
	}
	q.acct.lim = lim
	defer q.acct.giveBack()
	value, err := q.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // whatever else went wrong went wrong because of it
	}
	if err != nil {
		return Result{Stats: q.acct.stats(started)}, err
	}
	return Result{Value: value, Stats: q.acct.stats(started)}, nil
}

func (q *query) run(ctx context.Context) (Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch expr := q.p.Expr.(type) {
	case *syntax.LogQuery:
		if q.p.Instant {
			return nil, ErrInstantLog
		}
		return q.runLog(ctx, expr)
	case syntax.SampleExpr:
		return q.runMetric(ctx, expr)
	default:
		return nil, fmt.Errorf("cannot evaluate %T", q.p.Expr)
	}
}
