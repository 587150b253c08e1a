package config

import (
	"strings"

	"logstore/pkg/limits"
)

// redactText hides what a text that may be an address must not show. Fields with the option `url` hide more.
func redactText(s string) string {
	if strings.Contains(s, "://") {
		return limits.RedactURL(s)
	}
	return s
}
