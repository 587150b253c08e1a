package ruletool

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"logstore/pkg/command"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/rules"
)

// Command returns the command `rules`.
func Command() *command.Command {
	return &command.Command{
		Name: "rules", Summary: "check and test rule files, manage the rules of a running store",
		Sub: append([]*command.Command{checkCommand(), testCommand()}, remoteCommands()...),
	}
}

// CheckResult is what check says about a file.
type CheckResult struct {
	File   string   `json:"file"`
	Groups int      `json:"groups"`
	Rules  int      `json:"rules"`
	Errors []string `json:"errors,omitempty"`
}

func checkCommand() *command.Command {
	var asJSON bool
	return &command.Command{
		Name: "check", Args: "FILE...", Summary: "say what is wrong with rule files",
		Help: "Checks files, and all files ending with .yaml, .yml or .json in folders. Every mistake is named with its group, rule, line and column.\n\n" +
			"Exit code 3 tells that something is wrong.",
		Flags: func(set *flag.FlagSet) { set.BoolVar(&asJSON, "json", false, "write JSON") },
		Run: func(_ context.Context, io *command.IO, args []string) error {
			files, err := ruleFiles(args)
			if err != nil {
				return err
			}
			var results []CheckResult
			bad := 0
			for _, file := range files {
				r, err := check1(file)
				if err != nil {
					return err
				}
				bad += len(r.Errors)
				results = append(results, r)
			}
			if asJSON {
				if err := io.JSON(results); err != nil {
					return err
				}
			} else {
				for _, r := range results {
					for _, e := range r.Errors {
						fmt.Fprintf(io.Stdout, "%s: %s\n", r.File, e)
					}
					fmt.Fprintf(io.Stdout, "%s: %d groups, %d rules, %d errors\n", r.File, r.Groups, r.Rules, len(r.Errors))
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d errors: %w", bad, command.ErrFindings)
			}
			return nil
		},
	}
}

// ruleFiles returns the files named, and those in the folders named.
func ruleFiles(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, command.Usagef("no file is named")
	}
	var files []string
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch ext := strings.ToLower(filepath.Ext(path)); {
			case path == arg, ext == ".yaml", ext == ".yml", ext == ".json":
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no rule files in %s", strings.Join(args, ", "))
	}
	return files, nil
}

func check1(file string) (CheckResult, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return CheckResult{}, err
	}
	f, errs := rules.ParseFile(text)
	r := CheckResult{File: file, Groups: len(f.Groups)}
	for _, err := range errs {
		r.Errors = append(r.Errors, err.Error())
	}
	for _, g := range f.Groups {
		r.Rules += len(g.Rules)
		for i, rule := range g.Rules {
			// The store takes such a rule, as Loki does, and then fails at each evaluation.
			if _, err := syntax.ParseSample(rule.Expr); err != nil {
				r.Errors = append(r.Errors, fmt.Sprintf("expression is not a metric query, so that every evaluation fails (group %q, rule %d %q)", g.Name, i+1, rule.Name()))
			}
		}
	}
	return r, nil
}

// TestResult is what test says about a file.
type TestResult struct {
	File     string    `json:"file"`
	Tests    int       `json:"tests"`
	Failures []Failure `json:"failures"`
}

func testCommand() *command.Command {
	var asJSON bool
	var only string
	return &command.Command{
		Name: "test", Args: "FILE...", Summary: "test rules: lines in, alerts and samples out",
		Help: "Each file names rule files, lines, and the alerts and samples that are expected at given times, much as promtool's:\n\n" +
			"    rule_files: [rules.yaml]\n    tests:\n    - input_lines:\n      - stream: '{app=\"web\"}'\n        lines: [{at: 10s, every: 1s, times: 60, line: \"level=error\"}]\n" +
			"      alert_rule_test:\n      - {eval_time: 2m, alertname: ManyErrors, exp_alerts: [{exp_labels: {app: web}}]}\n" +
			"      record_test:\n      - {eval_time: 2m, record: \"app:errors:count\", exp_samples: [{labels: '{app=\"web\"}', value: 60}]}\n" +
			"      logql_expr_test:\n      - {eval_time: 2m, expr: 'sum(count_over_time({app=\"web\"}[2m]))', exp_samples: [{labels: \"{}\", value: 60}]}\n\n" +
			"Exit code 3 tells that an expectation did not hold, 2 that a file is bad.",
		Flags: func(set *flag.FlagSet) {
			set.BoolVar(&asJSON, "json", false, "write JSON")
			set.StringVar(&only, "run", "", "run only tests whose name contains `TEXT`")
		},
		Run: func(ctx context.Context, io *command.IO, args []string) error {
			if len(args) == 0 {
				return command.Usagef("no test file is named")
			}
			failed := 0
			results := []TestResult{}
			for _, file := range args {
				s, err := load(file)
				if err != nil {
					return command.Usagef("%s: %w", file, err)
				}
				r := TestResult{File: file, Failures: []Failure{}}
				var failures []Failure
				if r.Tests, failures, err = s.run(ctx, only); err != nil {
					return command.Usagef("%s: %w", file, err)
				}
				r.Failures = append(r.Failures, failures...)
				failed += len(r.Failures)
				results = append(results, r)
			}
			if asJSON {
				if err := io.JSON(results); err != nil {
					return err
				}
			} else {
				writeTestResults(io, results)
			}
			if failed > 0 {
				return fmt.Errorf("%d expectations did not hold: %w", failed, command.ErrFindings)
			}
			return nil
		},
	}
}

func writeTestResults(io *command.IO, results []TestResult) {
	list := func(what string, items []string) {
		if len(items) == 0 {
			items = []string{"nothing"}
		}
		fmt.Fprintf(io.Stdout, "    %s\n      %s\n", what, strings.Join(items, "\n      "))
	}
	for _, r := range results {
		for _, f := range r.Failures {
			fmt.Fprintf(io.Stdout, "FAIL %s: %s, at %s: %s\n", r.File, f.Test, f.At, f.What)
			list("expected:", f.Expected)
			list("got:", f.Got)
		}
		fmt.Fprintf(io.Stdout, "%s: %d tests, %d failures\n", r.File, r.Tests, len(r.Failures))
	}
}
