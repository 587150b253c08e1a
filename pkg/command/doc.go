// Package command is the command line of the binary's tools: a tree of commands such as `logstore inspect chunk KEY`, with
// help, exit codes, progress, tables and JSON that are alike in all of them, and shell completion made from the tree.
//
// The nouns:
//
//   - Command: a node of the tree. A leaf has Run; a group has Sub. Flags look like the store's own (-config.file=x or
//     --config.file x), are parsed by the standard library and may stand before or behind the arguments.
//   - IO: where a command reads and writes. Results go to Stdout, and nothing else does; progress, notes and errors go to Stderr.
//   - Exit codes: 0 for done and clean, 1 for what could not be done, 2 for a bad command line or configuration, 3 for done,
//     and something wrong was found (an error that wraps ErrFindings).
//
// A command is added by adding its node to the tree in cmd/logstore; help and completion follow.
package command
