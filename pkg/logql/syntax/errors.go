package syntax

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseError says what is wrong with a query and where.
type ParseError struct {
	// Line and Col count from one; Col counts characters.
	Line, Col int
	// Message says what is wrong and what was expected instead.
	Message string
	// Hint proposes a correction; it may be empty.
	Hint string
	// Excerpt is the line of the query, and below it a caret at the place.
	Excerpt string
}

// Error returns the place, the message and the hint on one line, and the excerpt on the two that follow.
func (e *ParseError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "parse error at line %d, col %d: %s", e.Line, e.Col, e.Message)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	if e.Excerpt != "" {
		b.WriteByte('\n')
		b.WriteString(e.Excerpt)
	}
	return b.String()
}

// maxExcerpt bounds the characters of the query that an error shows on either side of the place.
const maxExcerpt = 60

// newError makes the error for byte offset pos of the query.
func newError(query string, pos int, message, hint string) *ParseError {
	pos = min(pos, len(query))
	start := strings.LastIndexByte(query[:pos], '\n') + 1
	end := len(query)
	if i := strings.IndexByte(query[pos:], '\n'); i >= 0 {
		end = pos + i
	}
	before := []rune(query[start:pos])
	after := []rune(strings.TrimSuffix(query[pos:end], "\r"))
	e := &ParseError{
		Line:    1 + strings.Count(query[:start], "\n"),
		Col:     1 + len(before),
		Message: message,
		Hint:    hint,
	}
	if len(before) > maxExcerpt {
		before = append([]rune("..."), before[len(before)-maxExcerpt:]...)
	}
	if len(after) > maxExcerpt {
		after = append(after[:maxExcerpt:maxExcerpt], []rune("...")...)
	}
	if len(before)+len(after) > 0 {
		pad := make([]rune, len(before))
		for i, r := range before {
			pad[i] = ' '
			if r == '\t' {
				pad[i] = '\t'
			}
		}
		e.Excerpt = "  " + string(before) + string(after) + "\n  " + string(pad) + "^"
	}
	return e
}

// nearest returns the word of the list that is most like the given one, or "" if none is.
func nearest(word string, words ...string) string {
	word = strings.ToLower(word)
	best, bestDistance := "", 1+max(1, utf8.RuneCountInString(word)/3)
	for _, w := range words {
		if d := distance(word, w); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}

// maxWord bounds the words that distance compares, for its cost is the product of their lengths.
const maxWord = 32

// distance is the number of insertions, deletions, replacements and swaps of neighbours between two words.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	var rows [3][maxWord + 1]int
	for j := 0; j <= len(b); j++ {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, prev, prev2 := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

// didYouMean is the hint that proposes the nearest of the words, or "".
func didYouMean(word string, words ...string) string {
	if w := nearest(word, words...); w != "" && !strings.EqualFold(w, word) {
		return "did you mean " + w + "?"
	}
	return ""
}
