package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"logstore/pkg/auth"
	"logstore/pkg/command"
)

// credentials makes what stands in the file of users.
func credentials() *command.Command {
	return &command.Command{
		Name:    "auth",
		Summary: "make entries for the file of users (logstore.auth.file)",
		Sub:     []*command.Command{hashPassword(), makeToken()},
	}
}

func hashPassword() *command.Command {
	var cost int
	return &command.Command{
		Name:    "hash",
		Summary: "hash a password for password_hash",
		Help: "The password is asked for on a terminal, or is the first line of the standard input. It is no argument, since all users of a machine " +
			"can see those of a process.\n\n  echo \"$PASSWORD\" | logstore auth hash",
		Flags: func(set *flag.FlagSet) {
			set.IntVar(&cost, "cost", auth.DefaultCost, "Cost of bcrypt, 4 to 14: each step doubles the time.")
		},
		Run: func(_ context.Context, in *command.IO, _ []string) error {
			password, err := readSecret(in, "Password: ")
			if err != nil {
				return err
			}
			hash, err := auth.HashPassword(password, cost)
			if err != nil {
				return command.Usagef("cannot hash the password: %w", err)
			}
			_, err = fmt.Fprintln(in.Stdout, hash)
			return err
		},
	}
}

func makeToken() *command.Command {
	var given bool
	return &command.Command{
		Name:    "token",
		Summary: "make a random bearer token and its hash for token_hashes",
		Help: "The token is for the client, and shown only now; the hash is for the file. With -stdin the token is the first line of the standard " +
			"input: it must be long and random, since its hash is fast to compute.",
		Flags: func(set *flag.FlagSet) {
			set.BoolVar(&given, "stdin", false, "Hash the token of the standard input instead of making one.")
		},
		Run: func(_ context.Context, in *command.IO, _ []string) error {
			if !given {
				token := auth.NewToken()
				_, err := fmt.Fprintf(in.Stdout, "token: %s\nhash:  %s\n", token, auth.HashToken([]byte(token)))
				return err
			}
			token, err := readSecret(in, "Token: ")
			switch {
			case err != nil:
				return err
			case len(token) < 20:
				return command.Usagef("a token of less than 20 characters can be guessed: use a password, or let logstore make a token")
			}
			_, err = fmt.Fprintln(in.Stdout, auth.HashToken(token))
			return err
		},
	}
}

// readSecret returns the first line of the standard input, without echo if that is a terminal.
func readSecret(in *command.IO, prompt string) ([]byte, error) {
	if f, ok := in.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		in.Notef("%s", prompt)
		return term.ReadPassword(int(f.Fd()))
	}
	line, err := bufio.NewReader(io.LimitReader(in.Stdin, 4096)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read the standard input: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
