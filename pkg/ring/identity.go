package ring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tokensFile is what a file of tokens holds: Loki's form, so that its files are taken over.
type tokensFile struct {
	Tokens []uint32 `json:"tokens"`
}

// loadTokens reads the tokens of the last run; none if there is no file or no name.
func loadTokens(path string) ([]uint32, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the member's tokens: %w", err)
	}
	var f tokensFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("cannot read the member's tokens from %s: %w; without the file new ones are chosen", path, err)
	}
	slices.Sort(f.Tokens)
	tokens := slices.Compact(f.Tokens)
	return tokens[:min(len(tokens), maxTokens)], nil
}

// storeTokens keeps the tokens for the next run.
func storeTokens(path string, tokens []uint32) error {
	if path == "" {
		return nil
	}
	if old, err := loadTokens(path); err == nil && slices.Equal(old, tokens) {
		return nil
	}
	b, err := json.Marshal(tokensFile{tokens})
	if err != nil {
		return fmt.Errorf("cannot write the member's tokens: %w", err)
	}
	return replaceFile(path, b)
}

// Identity returns the name under which the last run of this member was known, which a file on its volume keeps; else the
// given one, which is kept from now on. So a container that comes back with its volume and another host name is the same
// member.
func Identity(path, name string) (string, error) {
	b, err := os.ReadFile(path)
	switch id := strings.TrimSpace(string(b)); {
	case err == nil && id != "":
		return id, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cannot read the member's ID: %w", err)
	}
	return name, replaceFile(path, []byte(name+"\n"))
}

// replaceFile writes a file so that after a crash it is the old or the new one.
func replaceFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // it is renamed by then
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
