package patterns

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Wildcard stands for what differs between the lines of a template.
const Wildcard = "<_>"

// Config bounds a miner.
type Config struct {
	// MaxTemplates is how many templates one stream may have.
	MaxTemplates int
	// MaxTokens is how many tokens of a line count; longer lines are cut there.
	MaxTokens int
	// MaxLine is the longest line that is looked at, in bytes.
	MaxLine int
	// Similarity is the share of equal tokens from which a line belongs to a template.
	Similarity float64
	// Resolution is the step of the counts, and Keep how long they are kept.
	Resolution, Keep time.Duration
}

// DefaultConfig suits a few thousand streams per process.
func DefaultConfig() Config {
	return Config{MaxTemplates: 300, MaxTokens: 64, MaxLine: 3000, Similarity: 0.4, Resolution: 10 * time.Second, Keep: time.Hour}
}

// Validate reports the first impossible setting.
func (c Config) Validate() error {
	switch {
	case c.MaxTemplates < 1 || c.MaxTokens < 1 || c.MaxLine < 1:
		return errors.New("patterns: the numbers of templates, tokens and bytes must be positive")
	case c.Similarity <= 0 || c.Similarity > 1:
		return errors.New("patterns: the similarity must lie above 0 and not above 1")
	case c.Resolution <= 0 || c.Keep < c.Resolution:
		return errors.New("patterns: the resolution must be positive and not above the time to keep")
	}
	return nil
}

// Miner finds the templates of one stream.
type Miner struct {
	cfg Config
	// byKey holds the templates that a line is compared with: same number of tokens, same first word, same level.
	byKey  map[key][]*template
	count  int
	clock  uint64
	tokens []string
	spaces []bool
}

type key struct {
	tokens int
	first  string
	level  string
}

// template is a run of tokens; wild ones stand for anything.
type template struct {
	key    key
	tokens []string
	wild   []bool
	// space says whether white space stands before the token, for printing.
	space   []bool
	used    uint64
	samples []Sample
}

// Sample is a count of lines in the step that begins at T, in nanoseconds.
type Sample struct {
	T     int64
	Count int64
}

// NewMiner returns a miner for one stream.
func NewMiner(cfg Config) *Miner {
	return &Miner{cfg: cfg, byKey: map[key][]*template{}}
}

// Train counts a line with its level, which may be empty. It keeps no reference to line.
func (m *Miner) Train(ts int64, line []byte, level string) {
	if len(line) > m.cfg.MaxLine {
		line = line[:m.cfg.MaxLine]
	}
	m.tokenize(string(line))
	if len(m.tokens) == 0 {
		return
	}
	k := key{tokens: len(m.tokens), first: m.tokens[0], level: level}
	if variable(k.first) {
		k.first = Wildcard
	}
	t := m.similar(k)
	if t == nil {
		t = m.add(k)
	} else {
		t.join(m.tokens)
	}
	m.clock++
	t.used = m.clock
	t.observe(ts-mod(ts, int64(m.cfg.Resolution)), ts-int64(m.cfg.Keep))
}

func mod(a, b int64) int64 {
	if r := a % b; r >= 0 {
		return r
	}
	return a%b + b
}

// tokenize cuts the line at white space and behind = and :, so that keys and values are apart.
func (m *Miner) tokenize(line string) {
	m.tokens, m.spaces = m.tokens[:0], m.spaces[:0]
	start, space := 0, false
	emit := func(end int) {
		if end > start && len(m.tokens) < m.cfg.MaxTokens {
			m.tokens = append(m.tokens, line[start:end])
			m.spaces = append(m.spaces, space)
			space = false
		}
	}
	for i := range len(line) {
		switch line[i] {
		case ' ', '\t', '\n', '\r':
			emit(i)
			start, space = i+1, true
		case '=', ':', ',', '{', '}', '[', ']', '(', ')', '"':
			emit(i)
			start = i
			emit(i + 1)
			start = i + 1
		}
	}
	emit(len(line))
}

// variable reports whether a token looks like a value: it has a digit.
func variable(token string) bool { return strings.ContainsAny(token, "0123456789") }

// similar returns the template that shares most tokens with the line, if they are enough.
func (m *Miner) similar(k key) *template {
	var best *template
	most := 0
	for _, t := range m.byKey[k] {
		same, fixed := 0, 0
		for i, token := range m.tokens {
			if t.wild[i] {
				continue
			}
			fixed++
			if t.tokens[i] == token {
				same++
			}
		}
		if float64(same) >= m.cfg.Similarity*float64(max(fixed, 1)) && (best == nil || same > most) {
			best, most = t, same
		}
	}
	return best
}

func (m *Miner) add(k key) *template {
	if m.count >= m.cfg.MaxTemplates {
		m.evict()
	}
	t := &template{key: k, tokens: make([]string, len(m.tokens)), wild: make([]bool, len(m.tokens)), space: slices.Clone(m.spaces)}
	for i, token := range m.tokens {
		if t.wild[i] = variable(token); !t.wild[i] {
			t.tokens[i] = strings.Clone(token)
		}
	}
	t.key.first = strings.Clone(k.first)
	m.byKey[t.key] = append(m.byKey[t.key], t)
	m.count++
	return t
}

// evict forgets the template that was unused for longest.
func (m *Miner) evict() {
	var oldest *template
	for _, ts := range m.byKey {
		for _, t := range ts {
			if oldest == nil || t.used < oldest.used {
				oldest = t
			}
		}
	}
	m.remove(oldest)
}

func (m *Miner) remove(t *template) {
	rest := slices.DeleteFunc(m.byKey[t.key], func(o *template) bool { return o == t })
	if len(rest) == 0 {
		delete(m.byKey, t.key)
	} else {
		m.byKey[t.key] = rest
	}
	m.count--
}

// join makes a wildcard of each token that differs.
func (t *template) join(tokens []string) {
	for i, token := range tokens {
		if !t.wild[i] && t.tokens[i] != token {
			t.wild[i], t.tokens[i] = true, ""
		}
	}
}

// observe counts one line at step and forgets what is older than oldest. Late lines find their step from behind.
func (t *template) observe(step, oldest int64) {
	i := len(t.samples)
	for i > 0 && t.samples[i-1].T > step {
		i--
	}
	if i > 0 && t.samples[i-1].T == step {
		t.samples[i-1].Count++
	} else {
		t.samples = slices.Insert(t.samples, i, Sample{T: step, Count: 1})
	}
	drop := 0
	for drop < len(t.samples) && t.samples[drop].T < oldest {
		drop++
	}
	t.samples = slices.Delete(t.samples, 0, drop)
}

// String prints the template; neighbouring wildcards are one.
func (t *template) String() string {
	var b strings.Builder
	for i := range t.tokens {
		if t.wild[i] {
			if i > 0 && t.wild[i-1] && !t.space[i] {
				continue
			}
		}
		if t.space[i] && i > 0 {
			b.WriteByte(' ')
		}
		if t.wild[i] {
			b.WriteString(Wildcard)
			continue
		}
		b.WriteString(t.tokens[i])
	}
	return b.String()
}

// Pattern is a template with its counts within a time range.
type Pattern struct {
	Text  string
	Level string
	// Samples are in ascending order of time.
	Samples []Sample
}

// Patterns returns what was counted in [from, to), in steps that are multiples of step (in nanoseconds; the resolution at
// least). Templates without a line there are left out.
func (m *Miner) Patterns(from, to, step int64) []Pattern {
	step = max(step, int64(m.cfg.Resolution))
	var out []Pattern
	for _, ts := range m.byKey {
		for _, t := range ts {
			var samples []Sample
			for _, s := range t.samples {
				if s.T+int64(m.cfg.Resolution) <= from || s.T >= to {
					continue
				}
				at := s.T - mod(s.T, step)
				if n := len(samples); n > 0 && samples[n-1].T == at {
					samples[n-1].Count += s.Count
				} else {
					samples = append(samples, Sample{T: at, Count: s.Count})
				}
			}
			if len(samples) > 0 {
				out = append(out, Pattern{Text: t.String(), Level: t.key.level, Samples: samples})
			}
		}
	}
	return Merge(out)
}

// Prune forgets counts older than oldest and templates without any.
func (m *Miner) Prune(oldest int64) {
	for _, ts := range m.byKey {
		for _, t := range slices.Clone(ts) {
			drop := 0
			for drop < len(t.samples) && t.samples[drop].T < oldest {
				drop++
			}
			if t.samples = slices.Delete(t.samples, 0, drop); len(t.samples) == 0 {
				m.remove(t)
			}
		}
	}
}

// Merge joins equal patterns (of several streams), most frequent first.
func Merge(patterns []Pattern) []Pattern {
	type id struct{ text, level string }
	index := map[id]int{}
	var out []Pattern
	for _, p := range patterns {
		k := id{p.Text, p.Level}
		i, ok := index[k]
		if !ok {
			index[k] = len(out)
			out = append(out, Pattern{Text: p.Text, Level: p.Level, Samples: slices.Clone(p.Samples)})
			continue
		}
		out[i].Samples = addSamples(out[i].Samples, p.Samples)
	}
	slices.SortStableFunc(out, func(a, b Pattern) int {
		if d := total(b.Samples) - total(a.Samples); d != 0 {
			return int(max(-1, min(1, d)))
		}
		return strings.Compare(a.Text, b.Text)
	})
	return out
}

func addSamples(a, b []Sample) []Sample {
	out := make([]Sample, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].T < b[0].T:
			out, a = append(out, a[0]), a[1:]
		case len(a) == 0 || b[0].T < a[0].T:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, Sample{T: a[0].T, Count: a[0].Count + b[0].Count})
			a, b = a[1:], b[1:]
		}
	}
	return out
}

func total(samples []Sample) int64 {
	n := int64(0)
	for _, s := range samples {
		n += s.Count
	}
	return n
}
