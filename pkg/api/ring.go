package api

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"logstore/pkg/ring"
)

// RingMember is a member of a ring as its page shows it. The fields up to Tokens are Loki's.
type RingMember struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // UNHEALTHY if it is not heard of
	Address    string    `json:"address"`
	Timestamp  time.Time `json:"timestamp"`
	Registered time.Time `json:"registered_timestamp"`
	ReadOnly   bool      `json:"read_only"`
	// ReadOnlyUpdated is the zero time if the member never was read-only.
	ReadOnlyUpdated time.Time `json:"read_only_updated_timestamp"`
	Zone            string    `json:"zone"`
	Tokens          []uint32  `json:"tokens"`

	HTTPAddress string  `json:"http_address,omitempty"`
	Version     string  `json:"version"`
	Healthy     bool    `json:"healthy"`
	Self        bool    `json:"self"`
	Ownership   float64 `json:"ownership"` // the part of the streams that it owns, from 0 to 1
}

// Percent is the member's part of the streams as text.
func (m RingMember) Percent() string { return fmt.Sprintf("%.2f %%", 100*m.Ownership) }

const pageHead = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title><style>
body { font-family: system-ui, sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { border: 1px solid #bbb; padding: .3em .7em; text-align: left }
th { background: #eee } tr.ill td { background: #fdd } td.n { text-align: right }
</style></head><body>
<h1>{{.Title}}</h1>
`

var ringPage = template.Must(template.New("ring").Parse(pageHead + `<p>{{.Name}}. Current time: {{.Now}}</p>
<p>Every member is distributor, ingester, ruler and compactor at once, so all rings have the same members. What a member that is
not ACTIVE owns passes to the others until it is back.</p>
<form action="" method="POST"><table>
<thead><tr><th>Instance</th><th>Zone</th><th>State</th><th>Address</th><th>Version</th><th>Registered at</th><th>Last heartbeat</th><th>Tokens</th><th>Ownership</th><th>Actions</th></tr></thead>
<tbody>{{range .Members}}<tr{{if not .Healthy}} class="ill"{{end}}><td>{{if .HTTPAddress}}<a href="http://{{.HTTPAddress}}/ring">{{.ID}}</a>{{else}}{{.ID}}{{end}}{{if .Self}} (this one){{end}}</td><td>{{.Zone}}</td><td>{{.State}}</td><td>{{.Address}}</td><td>{{.Version}}</td><td>{{.Registered.Format "2006-01-02 15:04:05"}}</td><td>{{.Timestamp.Format "2006-01-02 15:04:05"}}</td><td class="n">{{len .Tokens}}</td><td class="n">{{.Percent}}</td><td>{{if not .Healthy}}<button name="forget" value="{{.ID}}" type="submit">Forget</button>{{end}}</td></tr>
{{end}}</tbody></table></form>
<p><a href="{{.Prefix}}/memberlist">Gossip</a></p></body></html>
`))

// ring shows the members of a ring, as JSON to those who accept that.
func (a *API) ring(name string) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodPost {
			return a.forget(w, r)
		}
		now := a.deps.Now().UTC()
		members := a.deps.Ring()
		if wantsJSON(r) {
			return writeJSON(w, http.StatusOK, map[string]any{"shards": members, "now": now})
		}
		w.Header().Set("Content-Type", "text/html")
		return ignoreGone(ringPage.Execute(w, map[string]any{
			"Title": "Ring Status", "Name": name, "Now": now.Format(time.RFC3339), "Members": members, "Prefix": a.cfg.PathPrefix,
		}))
	}
}

func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

// forget removes a dead member from the ring and shows the ring again.
func (a *API) forget(w http.ResponseWriter, r *http.Request) error {
	id := r.FormValue("forget")
	if id == "" {
		return badRequest("the parameter forget is missing: it is the ID of the member to remove")
	}
	err := a.deps.Forget(id)
	switch {
	case errors.Is(err, ring.ErrAlive):
		return &statusError{status: http.StatusConflict, text: err.Error() + ": stop it first, it would come back at once"}
	case err != nil && !errors.Is(err, ring.ErrUnknown): // a member that is gone already is what was asked for
		return err
	}
	w.Header().Set("Location", "#")
	w.WriteHeader(http.StatusFound)
	return nil
}

var gossipPage = template.Must(template.New("gossip").Parse(pageHead + `<p>Node {{.S.Node}} at {{.S.Address}}, cluster label "{{.S.Label}}", to join: {{range .S.Join}}{{.}} {{end}}. Health score {{.S.HealthScore}} (0 is healthy), {{.S.Queued}} messages to send.</p>
<h2>Nodes</h2><table><thead><tr><th>Name</th><th>Address</th><th>Member</th><th>Alive</th></tr></thead>
<tbody>{{range .S.Nodes}}<tr{{if not .Alive}} class="ill"{{end}}><td>{{.Name}}</td><td>{{.Address}}</td><td>{{.Member}}</td><td>{{if .Alive}}yes{{else}}no, since {{.Since}}{{end}}</td></tr>
{{end}}</tbody></table>
<h2>What is known of members</h2><table><thead><tr><th>Member</th><th>State</th><th>Changed</th><th>Heartbeat (its clock)</th><th>Heard (own clock)</th><th>Version</th><th>Tokens</th></tr></thead>
<tbody>{{range .S.Entries}}<tr><td>{{.ID}}</td><td>{{.State}}</td><td>{{.Version}}</td><td>{{.Beat}}</td><td>{{.Heard}}</td><td>{{.Build}}</td><td class="n">{{.Tokens}}</td></tr>
{{end}}</tbody></table>
<h2>Counters</h2><table>{{range $name, $n := .S.Counters}}<tr><td>{{$name}}</td><td class="n">{{$n}}</td></tr>
{{end}}</table></body></html>
`))

// memberlist shows what gossip knows, or that the process has none.
func (a *API) memberlist(w http.ResponseWriter, r *http.Request) error {
	var s *ring.GossipStatus
	if a.deps.Gossip != nil {
		s = a.deps.Gossip()
	}
	switch {
	case s == nil:
		writeText(w, http.StatusOK, "This instance doesn't use memberlist.")
		return nil
	case wantsJSON(r):
		return writeJSON(w, http.StatusOK, s)
	}
	w.Header().Set("Content-Type", "text/html")
	return ignoreGone(gossipPage.Execute(w, map[string]any{"Title": "Memberlist Status", "S": s}))
}
