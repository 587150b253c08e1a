package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Files say where a certificate, its key and authorities are. A text in PEM form stands for a file.
type Files struct {
	Cert, Key, CA             string
	CertFile, KeyFile, CAFile string
}

// ServerConfig is how a server speaks TLS.
type ServerConfig struct {
	// Files.CA are the authorities of clients.
	Files
	// ClientAuth is a name of crypto/tls such as RequireAndVerifyClientCert; empty asks clients for nothing.
	ClientAuth string
	// MinVersion is VersionTLS10 to VersionTLS13; empty is VersionTLS12.
	MinVersion string
	// CipherSuites are names of crypto/tls for versions below 1.3; none: Go's choice.
	CipherSuites []string
	// Protocols are those of ALPN, such as h2.
	Protocols []string
}

var clientAuth = map[string]tls.ClientAuthType{
	"": tls.NoClientCert, "NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
	"RequireAnyClientCert": tls.RequireAnyClientCert, "VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven,
	"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

var versions = map[string]uint16{
	"": tls.VersionTLS12, "VersionTLS10": tls.VersionTLS10, "VersionTLS11": tls.VersionTLS11, "VersionTLS12": tls.VersionTLS12, "VersionTLS13": tls.VersionTLS13,
}

// Version returns the number of a version of TLS by its name.
func Version(name string) (uint16, error) {
	v, ok := versions[name]
	if !ok {
		return 0, fmt.Errorf("there is no TLS version %q", name)
	}
	return v, nil
}

// CipherSuites returns the numbers of cipher suites by their names.
func CipherSuites(names []string) ([]uint16, error) {
	known := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	var out []uint16
	for _, name := range names {
		i := slices.IndexFunc(known, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no cipher suite %q", name)
		}
		out = append(out, known[i].ID)
	}
	return out, nil
}

// Server returns the configuration of a server, which Metrics names name.
func Server(name string, c ServerConfig, m *Metrics, log *slog.Logger) (*tls.Config, error) {
	base := &tls.Config{NextProtos: c.Protocols}
	var ok bool
	if base.ClientAuth, ok = clientAuth[c.ClientAuth]; !ok {
		return nil, fmt.Errorf("there is no client_auth_type %q", c.ClientAuth)
	}
	var err error
	if base.MinVersion, err = Version(c.MinVersion); err != nil {
		return nil, err
	}
	if base.CipherSuites, err = CipherSuites(c.CipherSuites); err != nil {
		return nil, err
	}
	// A resumed session would keep a client in whose authority is gone.
	base.SessionTicketsDisabled = base.ClientAuth >= tls.VerifyClientCertIfGiven
	w, err := newWatcher(name, c.Files, m, log)
	if err != nil {
		return nil, err
	}
	if w.current().pair == nil {
		return nil, errors.New("a TLS server needs a certificate and a key")
	}
	out := base.Clone()
	out.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s := w.look()
		current := base.Clone()
		current.Certificates, current.ClientCAs = []tls.Certificate{*s.pair}, s.pool
		return current, nil
	}
	return out, nil
}

// ClientConfig is how a client speaks TLS.
type ClientConfig struct {
	// Files.CA are the authorities of servers; they are read once. None: the system's.
	Files
	ServerName string
	Insecure   bool // takes any certificate of the server
}

// Client returns the configuration of a client. It is one of a server as well, if it has a certificate: members of a cluster are both.
func Client(name string, c ClientConfig, m *Metrics, log *slog.Logger) (*tls.Config, error) {
	w, err := newWatcher(name, c.Files, m, log)
	if err != nil {
		return nil, err
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.Insecure, RootCAs: w.current().pool}
	if w.current().pair != nil {
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return w.look().pair, nil }
		out.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.look().pair, nil }
	}
	return out, nil
}

// lookPeriod is the shortest time between two looks at the files.
const lookPeriod = time.Second

// state is what was read of the files. It is immutable.
type state struct {
	texts [3][]byte // certificate, key, authorities
	pair  *tls.Certificate
	pool  *x509.CertPool
}

// watcher holds what the files have. It is safe for concurrent use.
type watcher struct {
	name    string
	files   Files
	metrics *Metrics
	log     *slog.Logger

	mu     sync.Mutex
	s      *state
	looked time.Time
	failed string // the last failure that was logged
}

func newWatcher(name string, files Files, m *Metrics, log *slog.Logger) (*watcher, error) {
	w := &watcher{name: name, files: files, metrics: m, log: log, looked: time.Now()}
	var err error
	if w.s, err = files.read(nil); err != nil {
		return nil, err
	}
	w.note(true)
	return w, nil
}

func (w *watcher) current() *state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.s
}

// look returns what the files have, reading them if it is time.
func (w *watcher) look() *state {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.looked) >= lookPeriod {
		w.looked = now
		w.reloadLocked()
	}
	return w.s
}

func (w *watcher) reloadLocked() {
	s, err := w.files.read(w.s)
	if err != nil {
		w.metrics.successful.WithLabelValues(w.name).Set(0)
		if text := err.Error(); text != w.failed {
			w.failed = text
			w.log.Error("TLS files are not reloaded, the last good ones hold", "of", w.name, "err", err)
		}
		return
	}
	w.failed = ""
	if s != w.s {
		w.s = s
		w.log.Info("TLS files are reloaded", "of", w.name)
	}
	w.note(false)
}

// note tells the metrics that the files are good.
func (w *watcher) note(first bool) {
	if !first || w.files != (Files{}) {
		w.metrics.successful.WithLabelValues(w.name).Set(1)
	}
	if w.s.pair != nil && w.s.pair.Leaf != nil {
		w.metrics.expiry.WithLabelValues(w.name).Set(float64(w.s.pair.Leaf.NotAfter.Unix()))
	}
}

// read returns what the files have, and before if that is the same.
func (f Files) read(before *state) (*state, error) {
	s := &state{}
	for i, source := range [...]struct{ what, text, file string }{
		{"certificate", f.Cert, f.CertFile}, {"key", f.Key, f.KeyFile}, {"authorities", f.CA, f.CAFile},
	} {
		s.texts[i] = []byte(source.text)
		if source.file == "" {
			continue
		}
		var err error
		if s.texts[i], err = os.ReadFile(source.file); err != nil {
			return nil, fmt.Errorf("cannot read the TLS %s: %w", source.what, err)
		}
	}
	if before != nil && slices.EqualFunc(s.texts[:], before.texts[:], bytes.Equal) {
		return before, nil
	}
	if len(s.texts[0]) > 0 || len(s.texts[1]) > 0 {
		pair, err := tls.X509KeyPair(s.texts[0], s.texts[1])
		if err != nil {
			return nil, fmt.Errorf("cannot use the TLS certificate: %w", err)
		}
		s.pair = &pair
	}
	if len(s.texts[2]) > 0 {
		s.pool = x509.NewCertPool()
		if !s.pool.AppendCertsFromPEM(s.texts[2]) {
			return nil, errors.New("cannot use the TLS authorities: no certificate in PEM form")
		}
	}
	return s, nil
}

// Metrics are those of all TLS configurations of a process.
type Metrics struct{ successful, expiry *prometheus.GaugeVec }

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		successful: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "logstore_tls_last_reload_successful", Help: "Whether the TLS files were good when they were looked at last.",
		}, []string{"of"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "logstore_tls_certificate_expiry_timestamp_seconds", Help: "When the own certificate ends.",
		}, []string{"of"}),
	}
	reg.MustRegister(m.successful, m.expiry)
	return m
}
