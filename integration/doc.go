// Package integration holds the black-box tests: whole processes over real sockets and files, real servers beside them.
// It also holds the test of the architecture, since that is about the house and not about a room.
package integration
