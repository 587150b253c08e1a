// Package certstest makes authorities and certificates for tests.
package certstest
