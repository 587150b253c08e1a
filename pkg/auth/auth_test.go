package auth

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"logstore/pkg/tenant"
)

func hashed(t testing.TB, password string) string {
	t.Helper()
	h, err := HashPassword([]byte(password), bcrypt.MinCost)
	require.NoError(t, err)
	return h
}

// testUsers is a source that tests change.
type testUsers struct {
	mu    sync.Mutex
	text  string
	users []User
	err   error
}

func (s *testUsers) set(text string, err error, users ...User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.users, s.err = text, users, err
}

func (s *testUsers) source() Source {
	return Source{
		Name: "users", Period: time.Second,
		Read:  func() ([]byte, error) { s.mu.Lock(); defer s.mu.Unlock(); return []byte(s.text), s.err },
		Parse: func([]byte) ([]User, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.users, nil },
	}
}

func newAuth(t testing.TB, users ...User) *Authenticator {
	t.Helper()
	s := &testUsers{}
	s.set("1", nil, users...)
	a, err := New(s.source(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	return a
}

func request(change func(r *http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	change(r)
	return r
}

func basic(name, password string) *http.Request {
	return request(func(r *http.Request) { r.SetBasicAuth(name, password) })
}

func bearer(token string) *http.Request {
	return request(func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
}

func certificate(c *x509.Certificate) *http.Request {
	return request(func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
	})
}

func TestIdentify(t *testing.T) {
	token, second := NewToken(), NewToken()
	a := newAuth(t,
		User{Name: "ann", PasswordHash: hashed(t, "s3cret"), Tenants: []string{"a"}},
		User{Name: "bot", TokenHashes: []string{HashToken([]byte(token)), HashToken([]byte(second))}, Tenants: []string{"b"}},
		User{Name: "random", PasswordHash: HashToken([]byte("long and random")), Tenants: []string{"r"}},
		User{Name: "gate", Certificates: []string{"CN=gate", "DNS:gate.test"}, Tenants: []string{"*"}},
	)
	f := func(r *http.Request, want string, wantErr error) {
		t.Helper()
		for range 2 { // the second time from memory
			u, err := a.Identify(r)
			require.ErrorIs(t, err, wantErr)
			if wantErr == nil {
				require.Equal(t, want, u.Name)
			} else {
				require.Nil(t, u)
			}
		}
	}
	f(basic("ann", "s3cret"), "ann", nil)
	f(basic("ann", "wrong"), "", ErrBadCredentials)
	f(basic("ann", ""), "", ErrBadCredentials)
	f(basic("nobody", "s3cret"), "", ErrBadCredentials)
	f(basic("", ""), "", ErrBadCredentials)
	f(basic("bot", ""), "", ErrBadCredentials)
	f(basic("random", "long and random"), "random", nil)
	f(basic("random", "long"), "", ErrBadCredentials)
	f(bearer(token), "bot", nil)
	f(bearer(second), "bot", nil)
	f(request(func(r *http.Request) { r.Header.Set("Authorization", "bearer  "+token) }), "bot", nil)
	f(bearer(token[:len(token)-1]), "", ErrBadCredentials)
	f(bearer(HashToken([]byte(token))), "", ErrBadCredentials)
	f(bearer(""), "", ErrBadCredentials)
	f(request(func(r *http.Request) { r.Header.Set("Authorization", "Digest x") }), "", ErrBadCredentials)
	f(request(func(*http.Request) {}), "", ErrNoCredentials)

	named := &x509.Certificate{Subject: pkix.Name{CommonName: "gate"}}
	f(certificate(named), "gate", nil)
	f(certificate(&x509.Certificate{DNSNames: []string{"x", "gate.test"}}), "gate", nil)
	f(certificate(&x509.Certificate{Subject: pkix.Name{CommonName: "other"}}), "", ErrBadCredentials)
	f(certificate(&x509.Certificate{DNSNames: []string{"gate"}}), "", ErrBadCredentials)
	// A certificate that nobody has verified says nothing.
	f(request(func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{named}}
	}), "", ErrNoCredentials)
	// Who shows credentials is not somebody else by a certificate.
	bad := certificate(named)
	bad.SetBasicAuth("ann", "wrong")
	f(bad, "", ErrBadCredentials)
}

// TestChecksOnce wants bcrypt to work once for a password, however many ask and however often, and again after a reload.
func TestChecksOnce(t *testing.T) {
	s := &testUsers{}
	ann := User{Name: "ann", PasswordHash: hashed(t, "s3cret"), Tenants: []string{"a"}}
	s.set("1", nil, ann)
	a, err := New(s.source(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := a.Identify(basic("ann", "s3cret")); err != nil {
				t.Error(err)
			}
			if _, err := a.Identify(basic("ann", "wrong")); err == nil {
				t.Error("a wrong password is good")
			}
		})
	}
	wg.Wait()
	checks := testutil.ToFloat64(a.metrics.checks)
	require.LessOrEqual(t, checks, float64(2*cap(a.gate.slots)))
	require.NoError(t, a.Reload())
	_, err = a.Identify(basic("ann", "s3cret"))
	require.NoError(t, err)
	require.Equal(t, checks, testutil.ToFloat64(a.metrics.checks))
	ann.PasswordHash = hashed(t, "new")
	s.set("2", nil, ann)
	require.NoError(t, a.Reload())
	_, err = a.Identify(basic("ann", "s3cret"))
	require.ErrorIs(t, err, ErrBadCredentials)
	_, err = a.Identify(basic("ann", "new"))
	require.NoError(t, err)
}

// TestGuessing bounds what is remembered of guesses and how many wait, and forgets no good password for them.
func TestGuessing(t *testing.T) {
	d, err := newDirectory([]User{{Name: "ann", PasswordHash: hashed(t, "s3cret"), Tenants: []string{"a"}}})
	require.NoError(t, err)
	good := d.hide([]byte("ann"), []byte("s3cret"))
	d.remember(good, true)
	for i := range 3 * maxChecked {
		d.remember(d.hide([]byte("ann"), fmt.Append(nil, i)), false)
		require.LessOrEqual(t, len(d.checked), maxChecked)
	}
	require.True(t, d.checked[good])

	a := newAuth(t, User{Name: "ann", PasswordHash: hashed(t, "s3cret"), Tenants: []string{"a"}})
	a.gate.waiting.Store(maxWaiting)
	_, err = a.Identify(basic("ann", "s3cret"))
	require.ErrorIs(t, err, ErrBusy)
}

// TestReload keeps the users when what it reads is bad or gone.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &testUsers{}
		ann, ben := NewToken(), NewToken()
		s.set("1", nil, User{Name: "ann", TokenHashes: []string{HashToken([]byte(ann))}, Tenants: []string{"a"}})
		a, err := New(s.source(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		require.NoError(t, err)
		reload, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- a.Run(t.Context(), reload) }()
		known := func(token string) bool { u, _ := a.Identify(bearer(token)); return u != nil }
		for i, bad := range []func(text string){
			func(text string) { s.set(text, errors.New("gone")) },
			func(text string) { s.set(text, nil) },
			func(text string) { s.set(text, nil, User{Name: "ann", Tenants: []string{"a"}}) },
		} {
			bad(fmt.Sprint("bad", i))
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.True(t, known(ann))
			require.Zero(t, testutil.ToFloat64(a.metrics.successful))
		}
		s.set("2", nil, User{Name: "ben", TokenHashes: []string{HashToken([]byte(ben))}, Tenants: []string{"a"}})
		reload <- struct{}{}
		synctest.Wait()
		require.False(t, known(ann))
		require.True(t, known(ben))
		require.Equal(t, 1.0, testutil.ToFloat64(a.metrics.successful))
	})
}

func TestOrgID(t *testing.T) {
	f := func(u User, named, want string, wantErr error) {
		t.Helper()
		got, err := u.OrgID(named)
		require.ErrorIs(t, err, wantErr)
		require.Equal(t, want, got)
	}
	one, two, all := User{Tenants: []string{"a"}}, User{Tenants: []string{"a", "b"}}, User{Tenants: []string{"*"}}
	f(one, "", "a", nil)
	f(one, "a", "a", nil)
	f(one, "a:sub", "a", nil)
	f(one, "b", "", ErrTenant)
	f(one, "a|b", "", ErrTenant)
	f(one, "b:a", "", ErrTenant)
	f(one, "*", "", ErrTenant)
	f(one, "a|a", "a", nil)
	f(one, "a|", "", tenant.ErrNoOrgID)
	f(one, "a/b", "", tenant.ErrInvalid)
	f(two, "", "", tenant.ErrNoOrgID)
	f(two, "b|a", "a|b", nil)
	f(two, "a|b|c", "", ErrTenant)
	f(all, "", "", tenant.ErrNoOrgID)
	f(all, "x|y", "x|y", nil)
	f(User{Tenants: []string{"a", "b"}, DefaultTenant: "b"}, "", "b", nil)
	f(User{}, "a", "", ErrTenant)
}

func TestMay(t *testing.T) {
	f := func(u User, want ...Scope) {
		t.Helper()
		var got []Scope
		for _, s := range []Scope{Read, Write, Manage, Metrics, Admin} {
			if u.May(s) {
				got = append(got, s)
			}
		}
		require.Equal(t, want, got)
		require.True(t, u.May(Any))
	}
	f(User{}, Read, Write, Manage)
	f(User{Scopes: []Scope{Write}}, Write)
	f(User{Scopes: []Scope{Admin}}, Metrics, Admin)
}

// TestBadUsers wants every mistake to be named, and no hash to be shown.
func TestBadUsers(t *testing.T) {
	secret := "$2a$99$abcdefghijklmnopqrstuuSECRET"
	err := Check([]User{
		{Name: "a:b", PasswordHash: secret, Tenants: []string{"x/y"}, Scopes: []Scope{"root"}},
		{Name: "", TokenHashes: []string{"sha256:SECRET"}, Certificates: []string{"gate", "CN="}, Tenants: []string{"t"}, DefaultTenant: "u"},
		{Name: "dear", PasswordHash: strings.Replace(hashed(t, "x"), "$04$", "$31$", 1), Tenants: []string{"t"}},
		{Name: "none"},
	})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "SECRET")
	for _, want := range []string{
		"must not have a colon", "password_hash is no bcrypt hash", `"x/y" is no tenant ID`, `"root" is not read`, "the name is missing",
		"token_hashes[0] is not sha256", `"gate" is not CN=`, `"CN=" is not`, `default_tenant "u"`, `user "none": it has no password_hash`, "tenants is missing",
		`user "dear": password_hash`,
	} {
		require.ErrorContains(t, err, want)
	}
	token := HashToken([]byte(NewToken()))
	err = Check([]User{
		{Name: "a", TokenHashes: []string{token}, Certificates: []string{"CN=x"}, Tenants: []string{"t"}},
		{Name: "b", TokenHashes: []string{token}, Certificates: []string{"CN=x"}, Tenants: []string{"t"}},
		{Name: "a", TokenHashes: []string{HashToken([]byte(NewToken()))}, Tenants: []string{"t"}},
	})
	for _, want := range []string{`user "b" has a token of user "a"`, `certificate "CN=x" of user "a"`, `user "a" stands twice`} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, Check(nil), "no users")
}

// BenchmarkIdentify is what a request costs whose password was checked before.
func BenchmarkIdentify(b *testing.B) {
	a := newAuth(b, User{Name: "ann", PasswordHash: hashed(b, "s3cret"), Tenants: []string{"a"}})
	r := basic("ann", "s3cret")
	for b.Loop() {
		if _, err := a.Identify(r); err != nil {
			b.Fatal(err)
		}
	}
}
