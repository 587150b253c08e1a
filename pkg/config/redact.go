package config

import (
	"strings"

	"github.com/grafana/regexp"
)

// Redacted stands for a secret wherever a configuration is shown.
const Redacted = "<redacted>"

var secretParameter = regexp.MustCompile(`(?i)([?&;][^=&;]*(?:pass|secret|token|credential|sig|key)[^=&;]*=)[^&;,\s]*`)

// redactURL hides user and password in an address, with or without a scheme. A secret may hold any character, even an "@"
// or a "/", so everything up to the last "@" is hidden.
func redactURL(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at >= 0 {
		from := 0
		if i := strings.Index(s, "://"); i >= 0 && i < at {
			from = i + len("://")
		}
		s = s[:from] + Redacted + s[at:]
	}
	return secretParameter.ReplaceAllString(s, "${1}"+Redacted)
}

// redactText hides what a text that may be an address must not show.
func redactText(s string) string {
	if strings.Contains(s, "://") {
		return redactURL(s)
	}
	return s
}
