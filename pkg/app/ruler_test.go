package app

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/config"
	"logstore/pkg/limits"
)

func TestQueryLink(t *testing.T) {
	cfg := config.Default()
	cfg.Ruler.ExternalURL = "http://grafana.example/g/"
	a := &App{cfg: &cfg}
	const query = `count_over_time({a="b"} |= "x & y" [1m]) > 0`
	require.Equal(t, "http://grafana.example/g/ui/#/explore?q="+url.QueryEscape(query), a.queryLink(query))
	cfg.Ruler.DatasourceUID = "uid"
	link, err := url.Parse(a.queryLink(query))
	require.NoError(t, err)
	require.Equal(t, "/g/explore", link.Path)
	var left struct {
		Datasource string
		Queries    []struct{ Expr, QueryType string }
	}
	require.NoError(t, json.Unmarshal([]byte(link.Query().Get("left")), &left))
	require.Equal(t, "uid", left.Datasource)
	require.Equal(t, query, left.Queries[0].Expr)
}

// rulerApp is an App with a configuration and nothing else.
func rulerApp(t *testing.T, text string) *App {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	setup, err := config.Load([]string{"-config.file=" + file}, os.LookupEnv)
	require.NoError(t, err)
	lim, err := limits.New(setup.Config.Limits.Limits)
	require.NoError(t, err)
	return &App{cfg: setup.Config, limits: lim}
}

func TestRemoteTargets(t *testing.T) {
	a := rulerApp(t, `
ruler:
  remote_write:
    enabled: true
    client: {name: first, url: "http://one/write", basic_auth: {username: u, password: secret}}
    clients:
      second: {url: "http://two/write", headers: {X-A: b}, write_relabel_configs: [{source_labels: [a], regex: "x.*", action: drop}]}
limits_config:
  ruler_remote_write_config:
    second: {url: "http://three/write", remote_timeout: 7s}
  ruler_remote_write_queue_max_samples_per_send: 9
`)
	targets, err := a.remoteTargets("team")
	require.NoError(t, err)
	require.Len(t, targets, 2)
	require.Equal(t, "first http://one/write", targets[0].Name+" "+targets[0].URL)
	require.Equal(t, "secret", string(targets[0].HTTP.BasicAuth.Password))
	require.Equal(t, "team", targets[0].Headers["X-Scope-OrgID"])
	require.Equal(t, "http://three/write", targets[1].URL)
	require.Equal(t, "7s", targets[1].Timeout.String())
	require.Equal(t, "b", targets[1].Headers["X-A"])
	require.Equal(t, 9, targets[1].MaxSamples)
	require.Len(t, targets[1].Relabel, 1)
	again, err := a.remoteTargets("team")
	require.NoError(t, err)
	require.Equal(t, targets[1].Version, again[1].Version)
	a.cfg.Ruler.RemoteWrite.Client.URL = "not a url"
	_, err = a.remoteTargets("team")
	require.Error(t, err)
	require.False(t, strings.Contains(err.Error(), "secret"))
	a.cfg.Ruler.RemoteWrite.Enabled = false
	targets, err = a.remoteTargets("team")
	require.NoError(t, err)
	require.Empty(t, targets)
}
