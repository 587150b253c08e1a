package config

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

const referenceHead = "# Configuration reference\n\n" +
	"<!-- Written by `logstore config reference`; a test holds it to the code. Do not edit. -->\n\n" +
	"Every key of a Loki configuration file, of all releases from 2.2 to 3.7, and what it does in logstore; and the keys of the block\n" +
	"`logstore`, which Loki does not have. `logstore config check FILE` says the same of your own file, with line numbers, and\n" +
	"`logstore config convert FILE` rewrites a file accordingly.\n\n" +
	"A key is used, or without effect (it is accepted, and named in one line of the log at start), or refused, where going on would\n" +
	"lose, hide or mix data. A key that no release of Loki knows is refused with its place and the name that was probably meant.\n\n" +
	"A flag beats the file, the file beats the default; with `-config.expand-env` variables `${VAR}` and `${VAR:default}` are replaced in the\n" +
	"file. Durations look like 30s, 5m, 1h30m, 7d, sizes like 256KB, 4MB (1024 bytes are a KB), lists are YAML lists or separated by commas.\n" +
	"The column Loki names the releases that have the key, and Loki 3.7's default where that differs from the default here.\n\n"

// reference writes the reference of all keys.
type reference struct {
	out strings.Builder
	// flags are the flags of keys; shared are the blocks that occur several times, by type.
	flags  map[string]string
	shared map[reflect.Type]sharedBlock
	seen   map[reflect.Type][]string // where shared blocks stand
	values map[string]leaf
}

// sharedBlock is a block that is written once.
type sharedBlock struct{ name, title string }

// anchor is where the heading of the block is linked to.
func (b sharedBlock) anchor() string { return strings.ReplaceAll(strings.ToLower(b.title), " ", "-") }

// WriteReference writes what every key and flag does, as Markdown.
func WriteReference(w io.Writer) error {
	r := &reference{
		flags: map[string]string{}, seen: map[reflect.Type][]string{}, values: leavesOf(Defaults()),
		shared: map[reflect.Type]sharedBlock{
			reflect.TypeFor[Cache]():             {"cache", "A cache"},
			reflect.TypeFor[S3]():                {"s3", "An S3 bucket"},
			reflect.TypeFor[ThanosStore]():       {"object-store", "An object store in the words of Thanos"},
			reflect.TypeFor[ThanosS3]():          {"object-store-s3", "An S3 bucket in the words of Thanos"},
			reflect.TypeFor[Memberlist]():        {"memberlist", "Gossip"},
			reflect.TypeFor[KVStore]():           {"kvstore", "A place for a ring"},
			reflect.TypeFor[ServerTLS]():         {"server-tls", "Certificates of a server"},
			reflect.TypeFor[RemoteWriteClient](): {"remote-write-client", "A receiver of samples"},
		},
	}
	for _, def := range flagDefs() {
		r.flags[def.key] = "-" + def.flags[0]
	}
	r.out.WriteString(referenceHead)
	r.refused()
	t := reflect.TypeFor[Config]()
	known := map[string]bool{}
	r.out.WriteString("## Keys outside of blocks\n\n")
	r.table(func() {
		for _, f := range fieldsOf(t) {
			known[f.name] = true
			if sf := t.FieldByIndex(f.index); !isBlock(sf.Type) {
				r.field(sf.Type, f, f.name)
			}
		}
	})
	for _, f := range fieldsOf(t) {
		if sf := t.FieldByIndex(f.index); isBlock(sf.Type) {
			r.block(sf.Type, f.name)
		}
	}
	r.sharedBlocks()
	r.unknownHere(known)
	r.commandLine()
	_, err := io.WriteString(w, r.out.String())
	return err
}

func (r *reference) table(rows func()) {
	r.out.WriteString("| Key | Type | Default | Loki | What it does |\n|---|---|---|---|---|\n")
	rows()
	r.out.WriteString("\n")
}

// block writes a top block: the keys with a field, and those without effect.
func (r *reference) block(t reflect.Type, name string) {
	fmt.Fprintf(&r.out, "## `%s`\n\n", name)
	if b, ok := r.shared[t]; ok {
		r.seen[t] = append(r.seen[t], name)
		fmt.Fprintf(&r.out, "The keys are those of [%s](#%s).\n\n", strings.ToLower(b.title[:1])+b.title[1:], b.anchor())
	} else {
		r.table(func() { r.fields(t, name) })
	}
	r.withoutEffect(t, name, knownKeys().child(name))
}

func (r *reference) fields(t reflect.Type, path string) {
	for _, f := range fieldsOf(t) {
		r.field(t.FieldByIndex(f.index).Type, f, joinPath(path, f.name))
	}
}

func (r *reference) field(t reflect.Type, f field, path string) {
	inner := t
	if inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	if b, ok := r.shared[inner]; ok {
		r.seen[inner] = append(r.seen[inner], path)
		r.row(path, "["+b.name+"](#"+b.anchor()+")", "", r.text(path, t))
		return
	}
	if isBlock(inner) {
		r.fields(inner, path)
		return
	}
	if (inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map) && isBlock(inner.Elem()) {
		kind := "list of blocks"
		if inner.Kind() == reflect.Map {
			kind = "map of blocks"
		}
		if b, ok := r.shared[inner.Elem()]; ok {
			kind += " [" + b.name + "](#" + b.anchor() + ")"
			r.row(path, kind, "", r.text(path, t))
			return
		}
		r.row(path, kind, "", r.text(path, t))
		r.fields(inner.Elem(), path+"[]")
		return
	}
	r.row(path, typeName(inner, f), r.def(path), r.text(path, inner))
}

func (r *reference) row(path, kind, def, text string) {
	fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s | %s |\n", path, kind, def, escapeCell(r.loki(path)), escapeCell(text))
}

func escapeCell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(text)
}

// def is a key's default.
func (r *reference) def(path string) string {
	if v, ok := r.values[path]; ok && v.shown != "" {
		return "`" + strings.ReplaceAll(escapeCell(v.shown), ",", ", ") + "`"
	}
	return ""
}

// loki tells the releases that have a key, and Loki's default if it is another.
func (r *reference) loki(path string) string {
	releases := Releases(path)
	row, ok := lokiRows()[strings.ReplaceAll(plainPath(path), "[]", "")]
	v, has := r.values[path]
	if !ok {
		return ""
	}
	if theirs := row.new; has && theirs != "-" && theirs != "" && !strings.HasPrefix(theirs, "<") && !sameValue(theirs, v.raw) {
		releases += ": " + redactText(theirs)
	}
	return releases
}

// sameValue tells whether two texts say the same value.
func sameValue(a, b string) bool {
	trim := func(s string) string { return strings.Trim(strings.ReplaceAll(s, " ", ""), "[]{}\"") }
	if trim(a) == trim(b) {
		return true
	}
	x, errX := parseDuration(a)
	y, errY := parseDuration(b)
	if errX == nil && errY == nil && x == y {
		return true
	}
	n, errN := parseSize(a)
	m, errM := parseSize(b)
	return errN == nil && errM == nil && n == m
}

// text says what a key does, with its flag.
func (r *reference) text(path string, t reflect.Type) string {
	text := Describe(path)
	if unread(path) {
		text = strings.TrimSpace("**Without effect.** " + whyNoEffect(path))
	}
	if flag := r.flags[path]; flag != "" && !isBlock(t) {
		text += " `" + flag + "`"
	}
	return strings.TrimSpace(text)
}

func typeName(t reflect.Type, f field) string {
	switch {
	case len(f.allow) > 0:
		var words []string
		for _, w := range f.allow {
			if w != "" {
				words = append(words, w)
			}
		}
		return strings.Join(words, ", ")
	case f.date:
		return "day"
	case t == timeType:
		return "time"
	case t == durationType:
		return "duration"
	case f.bytes:
		return "size"
	case f.secret && t.Kind() == reflect.String:
		return "secret"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "map"
	case reflect.String:
		return "string"
	}
	return "integer"
}

// sharedBlocks writes the blocks that occur several times.
func (r *reference) sharedBlocks() {
	r.out.WriteString("## Blocks that occur several times\n\n")
	types := slices.SortedFunc(maps.Keys(r.shared), func(a, b reflect.Type) int { return strings.Compare(r.shared[a].title, r.shared[b].title) })
	for _, t := range types {
		b := r.shared[t]
		paths := r.seen[t]
		fmt.Fprintf(&r.out, "### %s\n\n", b.title)
		if len(paths) == 0 {
			continue
		}
		fmt.Fprintf(&r.out, "It stands at `%s`. Defaults are those of the first.\n\n", strings.Join(paths, "`, `"))
		r.table(func() {
			first := paths[0]
			for _, f := range fieldsOf(t) {
				r.sharedField(t.FieldByIndex(f.index).Type, f, first, f.name)
			}
		})
	}
}

func (r *reference) sharedField(t reflect.Type, f field, block, name string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	path := block + "." + name
	if _, ok := r.shared[t]; !ok && isBlock(t) {
		for _, sub := range fieldsOf(t) {
			r.sharedField(t.FieldByIndex(sub.index).Type, sub, block, name+"."+sub.name)
		}
		return
	}
	kind := ""
	if b, ok := r.shared[t]; ok {
		kind = "[" + b.name + "](#" + b.anchor() + ")"
	} else if t.Kind() == reflect.Slice && isBlock(t.Elem()) {
		kind = "list of blocks"
	} else {
		kind = typeName(t, f)
	}
	fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s | %s |\n", name, kind, r.def(path), escapeCell(r.loki(path)), escapeCell(r.text(path, t)))
}

// withoutEffect lists the keys of Loki below a block that have no field here.
func (r *reference) withoutEffect(t reflect.Type, path string, known *key) {
	groups := map[string][]string{} // a block, to its keys
	collectIgnored(groups, t, path, known)
	if len(groups) == 0 {
		return
	}
	r.out.WriteString("Without effect:\n\n")
	r.ignoredGroups(groups)
}

func (r *reference) ignoredGroups(groups map[string][]string) {
	for _, block := range slices.Sorted(maps.Keys(groups)) {
		byReason := map[string][]string{}
		for _, name := range groups[block] {
			why := whyNoEffect(joinPath(block, name))
			text := "`" + name + "`"
			if releases := Releases(joinPath(block, name)); releases != "" && releases != "2.9 to 3.7" && releases != "3.7" {
				text += " (" + releases + ")"
			}
			byReason[why] = append(byReason[why], text)
		}
		for _, why := range slices.Sorted(maps.Keys(byReason)) {
			where := ""
			if block != "" {
				where = "`" + block + "`: "
			}
			fmt.Fprintf(&r.out, "- %s%s. %s\n", where, strings.Join(byReason[why], ", "), why)
		}
	}
	r.out.WriteString("\n")
}

// collectIgnored finds keys without a field. t is nil where there is none for the block.
func collectIgnored(groups map[string][]string, t reflect.Type, path string, known *key) {
	for _, name := range known.names() {
		sub := known.child(name)
		var inner reflect.Type
		has := false
		if t != nil {
			if f, ok := fieldOf(t, name); ok {
				inner, has = t.FieldByIndex(f.index).Type, true
				for inner.Kind() == reflect.Pointer || (inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map) && isBlock(inner.Elem()) {
					inner = inner.Elem()
				}
				if !isBlock(inner) {
					inner = nil
				}
			}
		}
		switch {
		case sub.open() && !has:
			groups[path] = append(groups[path], name)
		case !sub.open() && (inner != nil || !has):
			collectIgnored(groups, inner, joinPath(path, name), sub)
		}
	}
}

// unknownHere lists top blocks of Loki of which nothing is used.
func (r *reference) unknownHere(known map[string]bool) {
	r.out.WriteString("## Blocks without effect\n\n")
	single := map[string][]string{}
	for _, name := range knownKeys().names() {
		if known[name] {
			continue
		}
		k := knownKeys().child(name)
		if k.open() {
			single[""] = append(single[""], name)
			continue
		}
		fmt.Fprintf(&r.out, "### `%s`\n\n", name)
		groups := map[string][]string{}
		collectIgnored(groups, nil, name, k)
		r.ignoredGroups(groups)
	}
	r.out.WriteString("### Keys outside of blocks\n\n")
	r.ignoredGroups(single)
}

// refusals are examples of what is refused, one of each kind.
var refusals = [][2]string{
	{"target", "querier"}, {"common.ring.kvstore.store", "consul"}, {"storage_config.boltdb_shipper.mode", "ReadOnly"},
	{"compactor.delete_request_store_db_type", "sqlite"}, {"ingester.kafka_ingestion.enabled", "true"},
	{"common.storage.gcs.bucket_name", "logs"}, {"storage_config.boltdb_shipper.shared_store", "gcs"},
}

func (r *reference) refused() {
	r.out.WriteString("## What is refused\n\nBeside unknown keys and values of a wrong type:\n\n| Example | What the store says |\n|---|---|\n")
	for _, x := range refusals {
		fmt.Fprintf(&r.out, "| `%s: %s` | %s |\n", x[0], x[1], escapeCell(refuse(x[0], x[1]).Error()))
	}
	var say []string
	p := Period{From: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Store: "bigtable", ObjectStore: "s3", Schema: "v13", RowShards: 16, Index: PeriodTables{Period: day}}
	c := Default()
	p.validate("", &c, func(_, format string, args ...any) { say = append(say, fmt.Sprintf(format, args...)) })
	fmt.Fprintf(&r.out, "| `schema_config.configs[].store: bigtable` | %s |\n\n", escapeCell(strings.Join(say, "; ")))
}

func (r *reference) commandLine() {
	r.out.WriteString("## Flags without a key\n\n")
	_, text, _ := strings.Cut(usageHead, "Command:\n")
	r.out.WriteString("```\n" + text + "```\n\nThe flag of a key stands in its row above; `logstore -help` lists all of them.\n")
}
