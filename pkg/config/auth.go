package config

import (
	"fmt"
	"os"
	"reflect"
	"time"

	"logstore/pkg/auth"
	"logstore/pkg/tenant"
)

// Auth is `logstore.auth`: the built-in authentication.
type Auth struct {
	// File holds the users; empty: there is no authentication, and X-Scope-OrgID is believed.
	File string `loki:"file"`
	// ReloadPeriod is the time between two looks at the file. SIGHUP makes the store look at once.
	ReloadPeriod time.Duration `loki:"reload_period"`
	// OpenMetrics answers /metrics without credentials, though its series name all tenants.
	OpenMetrics bool `loki:"open_metrics"`
	// ClusterSecret is what members show to each other with every call; empty: none is asked for. It is only as secret as the
	// connection: use it with TLS.
	ClusterSecret string `loki:"cluster_secret,secret"`
}

func defaultAuth() Auth { return Auth{ReloadPeriod: 10 * time.Second} }

// usersFile is the file of users.
type usersFile struct {
	Users []userEntry `loki:"users"`
}

// userEntry is one user; auth.User says what the fields mean.
type userEntry struct {
	Name          string   `loki:"name"`
	PasswordHash  string   `loki:"password_hash,secret"`
	TokenHashes   []string `loki:"token_hashes,list,secret"`
	Certificates  []string `loki:"certificates,list"`
	Tenants       []string `loki:"tenants,list"`
	DefaultTenant string   `loki:"default_tenant"`
	Scopes        []string `loki:"scopes,list"`
}

// Users returns where the users come from. Where the store has one tenant, that is the tenant of users without any.
func (c *Config) Users() auth.Source {
	file := c.Logstore.Auth.File
	return auth.Source{
		Name: file, Period: c.Logstore.Auth.ReloadPeriod,
		Read:  func() ([]byte, error) { return os.ReadFile(file) },
		Parse: func(text []byte) ([]auth.User, error) { return parseUsers(file, text, !c.AuthEnabled) },
	}
}

// CheckUsers reports what is wrong with the users file, if there is one.
func (c *Config) CheckUsers() error {
	if c.Logstore.Auth.File == "" {
		return nil
	}
	s := c.Users()
	text, err := s.Read()
	if err == nil {
		var users []auth.User
		if users, err = s.Parse(text); err == nil {
			err = auth.Check(users)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot use logstore.auth.file: %w", err)
	}
	return nil
}

func parseUsers(file string, text []byte, single bool) ([]auth.User, error) {
	d := newDecoder(file)
	var out usersFile
	d.document(text, reflect.ValueOf(&out).Elem(), nil)
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	users := make([]auth.User, len(out.Users))
	for i, e := range out.Users {
		users[i] = auth.User{
			Name: e.Name, PasswordHash: e.PasswordHash, TokenHashes: e.TokenHashes, Certificates: e.Certificates,
			Tenants: e.Tenants, DefaultTenant: e.DefaultTenant,
		}
		for _, s := range e.Scopes {
			users[i].Scopes = append(users[i].Scopes, auth.Scope(s))
		}
		if single && len(e.Tenants) == 0 {
			users[i].Tenants = []string{tenant.Default}
		}
	}
	return users, nil
}

func (c *Config) validateAuth(add addError) {
	a := &c.Logstore.Auth
	if a.ReloadPeriod <= 0 {
		add("logstore.auth.reload_period", "0 is not allowed, only a duration above 0")
	}
}

// authWarnings are about doors that stand open beside the guarded one.
func (c *Config) authWarnings(warn func(format string, args ...any), gossip bool) {
	s, a := &c.Server, &c.Logstore.Auth
	if a.File == "" {
		return
	}
	verified := s.GRPCTLSConfig.Enabled() && s.GRPCTLSConfig.ClientAuthType == "RequireAndVerifyClientCert"
	if gossip && !verified && a.ClusterSecret == "" {
		warn("logstore.auth guards HTTP alone: whoever reaches the gRPC port %d can read and write all tenants. Set logstore.auth.cluster_secret, or "+
			"server.grpc_tls_config with client_auth_type RequireAndVerifyClientCert", s.GRPCListenPort)
	}
	if !s.HTTPTLSConfig.Enabled() {
		warn("logstore.auth without server.http_tls_config: passwords and tokens can be read on the network unless a proxy before the store has TLS")
	}
}
