package tools

import (
	"logstore/pkg/command"
)

// Inspect returns the group `inspect`.
func Inspect() *command.Command {
	return &command.Command{
		Name: "inspect", Summary: "show what is in a chunk, an index file, a write-ahead log or a bucket",
		Sub: []*command.Command{inspectChunk(), inspectIndex(), inspectWAL(), inspectBucket()},
	}
}
