package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"logstore/pkg/command"
)

// health asks a running store whether it is ready: what a container without a shell needs for its health check.
func health() *command.Command {
	var url string
	var timeout time.Duration
	return &command.Command{
		Name:    "health",
		Summary: "ask a running store whether it is ready",
		Help:    "It ends with 0 if the store answers that it is ready, else with 1 and the reason.",
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&url, "url", "http://127.0.0.1:3100/ready", "URL of the store's /ready.")
			set.DurationVar(&timeout, "timeout", 5*time.Second, "Longest wait for the answer.")
		},
		Run: func(ctx context.Context, in *command.IO, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			text, err := askReady(ctx, url)
			if err == nil {
				_, err = fmt.Fprintln(in.Stdout, text)
			}
			return err
		},
	}
}

// askReady returns what a store that is ready says, and why another is not.
func askReady(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", command.Usagef("cannot ask %q: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("the store does not answer: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", fmt.Errorf("cannot read the answer of %s: %w", url, err)
	}
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the store is not ready: %s", text)
	}
	return text, nil
}
