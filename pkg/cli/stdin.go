package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/client"
	"logstore/pkg/command"
	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
)

// stdinSelector goes before stages that stand alone; what it selects is not looked at.
const stdinSelector = `{source="stdin"} `

// parseStages returns the stages of a log query, with or without a selector before them.
func parseStages(text string) ([]syntax.Stage, error) {
	if first := strings.TrimSpace(text); first == "" || first[0] == '|' || first[0] == '!' {
		text = stdinSelector + text
	}
	expr, err := syntax.Parse(text)
	if err != nil {
		return nil, err
	}
	log, ok := expr.(*syntax.LogQuery)
	if !ok {
		return nil, command.Usagef("-stdin is for log queries, not for metrics")
	}
	return log.Stages, nil
}

// filter runs the stages of a log query over the lines of the standard input and writes what is left in their order, as it comes. At most
// limit lines are written; 0: all.
func (q *query) filter(ctx context.Context, io *command.IO, text string, limit int, p *printer) error {
	stages, err := parseStages(text)
	if err != nil {
		return err
	}
	run, err := pipeline.Build(stages)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan inputLine, q.batch)
	failed := make(chan error, 1)
	go func() {
		// It may wait for input when this function has returned: a read cannot be interrupted.
		defer close(lines)
		failed <- readLines(ctx, io.Stdin, []string{"-"}, lines)
	}()
	stream := run.ForStream(labels.EmptyLabels())
	var page []client.Entry
	for line := range lines {
		if run.MatchLine(line.text) {
			if out, res, ok := stream.Process(line.read, line.text, nil); ok {
				page = append(page, client.Entry{Timestamp: line.read, Labels: res.Labels.Map(), Line: string(out)})
			}
		}
		full := limit > 0 && p.count+len(page) >= limit
		// What waits is shown before the next line is waited for.
		if full || len(lines) == 0 || len(page) >= q.batch {
			if err := p.page(page); err != nil {
				return err
			}
			page = page[:0]
		}
		if full {
			return nil
		}
	}
	if err := errors.Join(p.page(page), <-failed); err != nil {
		return err
	}
	return q.check(p.count > 0)
}
