package testservers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Prometheus is a running Prometheus that takes remote writes.
type Prometheus struct {
	*Process
	// URL is where it serves HTTP.
	URL string

	dir, path, address string
}

// StartPrometheus starts a Prometheus, which scrapes the targets, host:port each, every second. It is killed when the test ends.
func StartPrometheus(tb testing.TB, targets ...string) *Prometheus {
	tb.Helper()
	p := &Prometheus{dir: tb.TempDir(), path: find(tb, "prometheus"), address: FreeAddress(tb)}
	config := "global: {}\n"
	if len(targets) > 0 {
		config = "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: test, static_configs: [{targets: ['" + strings.Join(targets, "', '") + "']}]}]\n"
	}
	if err := os.WriteFile(filepath.Join(p.dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	p.URL = "http://" + p.address
	p.Restart(tb)
	return p
}

// Restart starts it again, with its data, after a Kill.
func (p *Prometheus) Restart(tb testing.TB) {
	tb.Helper()
	p.Process = startProcess(tb, p.path, nil, "--config.file="+filepath.Join(p.dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(p.dir, "data"), "--web.listen-address="+p.address, "--web.enable-remote-write-receiver",
		"--log.level=warn")
	if err := p.waitReady(p.URL + "/-/ready"); err != nil {
		tb.Fatal(err)
	}
}

// RemoteWriteURL is where it takes samples.
func (p *Prometheus) RemoteWriteURL() string { return p.URL + "/api/v1/write" }

// Samples returns the samples of a selector in a range, by the series' labels as JSON.
func (p *Prometheus) Samples(tb testing.TB, selector string, back time.Duration) map[string][]PromSample {
	tb.Helper()
	query := fmt.Sprintf("%s[%dms]", selector, back.Milliseconds())
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	getJSON(tb, p.URL+"/api/v1/query?query="+url.QueryEscape(query), &answer)
	out := map[string][]PromSample{}
	for _, series := range answer.Data.Result {
		key, err := json.Marshal(series.Metric)
		if err != nil {
			tb.Fatal(err)
		}
		for _, v := range series.Values {
			seconds, ok1 := v[0].(float64)
			text, ok2 := v[1].(string)
			if !ok1 || !ok2 {
				tb.Fatalf("unexpected sample %v", v)
			}
			out[string(key)] = append(out[string(key)], PromSample{Time: time.UnixMilli(int64(seconds*1000 + 0.5)), Value: text})
		}
	}
	return out
}

// PromSample is one sample; its value is as Prometheus writes it.
type PromSample struct {
	Time  time.Time
	Value string
}

// Alertmanager is a running Alertmanager that notifies nobody.
type Alertmanager struct {
	*Process
	// URL is where it serves HTTP.
	URL string

	dir, path, address string
}

// StartAlertmanager starts an Alertmanager. It is killed when the test ends.
func StartAlertmanager(tb testing.TB) *Alertmanager {
	tb.Helper()
	a := &Alertmanager{dir: tb.TempDir(), path: find(tb, "prometheus-alertmanager", "alertmanager"), address: FreeAddress(tb)}
	config := "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
	if err := os.WriteFile(filepath.Join(a.dir, "alertmanager.yml"), []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	a.URL = "http://" + a.address
	a.Restart(tb)
	return a
}

// Restart starts it again after a Kill. It knows no alert then.
func (a *Alertmanager) Restart(tb testing.TB) {
	tb.Helper()
	a.Process = startProcess(tb, a.path, nil, "--config.file="+filepath.Join(a.dir, "alertmanager.yml"), "--storage.path="+tb.TempDir(),
		"--web.listen-address="+a.address, "--cluster.listen-address=", "--log.level=warn")
	if err := a.waitReady(a.URL + "/-/ready"); err != nil {
		tb.Fatal(err)
	}
}

// AMAlert is an alert as an Alertmanager shows it.
type AMAlert struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
	Status              struct{ State string }
}

// Alerts returns the alerts that are not resolved.
func (a *Alertmanager) Alerts(tb testing.TB) []AMAlert {
	tb.Helper()
	var out []AMAlert
	getJSON(tb, a.URL+"/api/v2/alerts", &out)
	return out
}

func getJSON(tb testing.TB, url string, into any) {
	tb.Helper()
	resp, err := http.Get(url) //nolint:gosec // a test's own server
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %s", resp.Status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		tb.Fatalf("%s: %v", url, err)
	}
}

// find returns the path of an installed program.
func find(tb testing.TB, names ...string) string {
	tb.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatalf("%s is not installed: scripts/install-test-tools.sh does that", names[0])
	return ""
}
