// Package testservers starts the real servers that tests run against, each on a free port of the loopback interface and
// stopped with its test. Only tests import it. A server's program that is missing is installed, or fails the test: no
// test is skipped for want of one.
package testservers
