package api

import (
	"html/template"
	"net/http"
	"strings"
	"time"
)

// RingMember is a member of a ring as its page shows it.
type RingMember struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	Address    string    `json:"address"`
	Timestamp  time.Time `json:"timestamp"`
	Registered time.Time `json:"registered_timestamp"`
	ReadOnly   bool      `json:"read_only"`
	// ReadOnlyUpdated is the zero time if the member never was read-only.
	ReadOnlyUpdated time.Time `json:"read_only_updated_timestamp"`
	Zone            string    `json:"zone"`
	Tokens          []uint32  `json:"tokens"`
}

var ringPage = template.Must(template.New("ring").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Ring Status</title></head><body>
<h1>Ring Status</h1>
<p>{{.Name}}. Current time: {{.Now}}</p>
<table border="1" cellpadding="4"><thead><tr><th>Instance</th><th>Zone</th><th>State</th><th>Address</th><th>Registered at</th><th>Last heartbeat</th><th>Tokens</th></tr></thead>
<tbody>{{range .Members}}<tr><td>{{.ID}}</td><td>{{.Zone}}</td><td>{{.State}}</td><td>{{.Address}}</td><td>{{.Registered}}</td><td>{{.Timestamp}}</td><td>{{len .Tokens}}</td></tr>
{{end}}</tbody></table></body></html>
`))

// ring shows the members of a ring, as JSON to those who accept nothing but that.
func (a *API) ring(name string) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		now := a.deps.Now().UTC()
		members := a.deps.Ring()
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			return writeJSON(w, http.StatusOK, map[string]any{"shards": members, "now": now})
		}
		w.Header().Set("Content-Type", "text/html")
		return ignoreGone(ringPage.Execute(w, map[string]any{"Name": name, "Now": now, "Members": members}))
	}
}

// memberlist says that the process has no gossip.
func (a *API) memberlist(w http.ResponseWriter, _ *http.Request) error {
	writeText(w, http.StatusOK, "This instance doesn't use memberlist.")
	return nil
}
