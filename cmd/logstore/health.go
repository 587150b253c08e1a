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

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// health asks a running store whether it is ready: what a container without a shell needs for its health check.
func health() *command.Command {
	var url string
	var certs client.TLSFlags
	var timeout time.Duration
	return &command.Command{
		Name:    "health",
		Summary: "ask a running store whether it is ready",
		Help: "It ends with 0 if the store answers that it is ready, else with 1 and the reason. Without -url it asks $LOKI_ADDR, if that is\n" +
			"set: with the variables of certificates, the health check of a container needs no other command for a store that speaks TLS.",
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&url, "url", "", "`URL` of the store's /ready; without it /ready of $LOKI_ADDR, or http://127.0.0.1:3100/ready")
			set.DurationVar(&timeout, "timeout", 5*time.Second, "longest wait for the answer")
			certs.Register(set)
		},
		Run: func(ctx context.Context, in *command.IO, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			if url == "" {
				url = readyURL(in)
			}
			conf, err := certs.Config(in.Env).Load()
			if err != nil {
				return command.Usagef("%w", err)
			}
			// HTTP/1.1, whose errors say more about a connection that the store ended.
			t := &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment}
			text, err := askReady(ctx, &http.Client{Transport: t}, url)
			if err == nil {
				_, err = fmt.Fprintln(in.Stdout, text)
			}
			return err
		},
	}
}

func readyURL(in *command.IO) string {
	address, _ := in.Env("LOKI_ADDR")
	if address == "" {
		address = "127.0.0.1:3100"
	}
	return strings.TrimSuffix(client.WithScheme(address), "/") + "/ready"
}

// askReady returns what a store that is ready says, and why another is not.
func askReady(ctx context.Context, asker *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", command.Usagef("cannot ask %q: %w", url, err)
	}
	resp, err := asker.Do(req)
	if err != nil {
		err = fmt.Errorf("the store does not answer: %w", err)
		if advice := client.Advice(err); advice != "" {
			err = fmt.Errorf("%w\n  %s", err, advice)
		}
		return "", err
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
