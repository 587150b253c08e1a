package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// directory finds users by their credentials. Beside the memory of passwords it is immutable: a reload makes a new one.
type directory struct {
	users map[string]*User
	// tokens and certs are keyed by secret hashes and by names.
	tokens map[digest]*User
	certs  map[string]*User
	// key makes the keys of tokens and checked: how long a look-up takes tells nothing about what is stored.
	key [32]byte
	// decoy is compared with when there is no such user, so that an answer takes as long.
	decoy []byte

	mu sync.Mutex
	// checked holds whether a name with a password is good.
	checked map[digest]bool
}

// maxChecked bounds how many passwords are remembered.
const maxChecked = 4096

// newDirectory reports everything that is wrong with users.
func newDirectory(users []User) (*directory, error) {
	d := &directory{users: map[string]*User{}, tokens: map[digest]*User{}, certs: map[string]*User{}, checked: map[digest]bool{}}
	_, _ = rand.Read(d.key[:]) // it never fails
	var errs []error
	cost := bcrypt.MinCost
	for i := range users {
		u := &users[i]
		if err := u.validate(); err != nil {
			errs = append(errs, fmt.Errorf("user %q: %w", u.Name, err))
			continue
		}
		if d.users[u.Name] != nil {
			errs = append(errs, fmt.Errorf("user %q stands twice", u.Name))
		}
		d.users[u.Name] = u
		if c, err := bcrypt.Cost([]byte(u.PasswordHash)); err == nil {
			cost = max(cost, c)
		}
		errs = append(errs, d.index(u))
	}
	if len(users) == 0 {
		errs = append(errs, errors.New("there are no users, nobody could ask anything"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var err error
	d.decoy, err = bcrypt.GenerateFromPassword(d.key[:], cost)
	return d, err
}

// index makes a user known by its tokens and certificates.
func (d *directory) index(u *User) error {
	var errs []error
	for _, h := range u.TokenHashes {
		sum, _ := digestOf(h)
		k := d.hide(sum[:])
		if other := d.tokens[k]; other != nil {
			errs = append(errs, fmt.Errorf("user %q has a token of user %q", u.Name, other.Name))
		}
		d.tokens[k] = u
	}
	for _, name := range u.Certificates {
		if other := d.certs[name]; other != nil {
			errs = append(errs, fmt.Errorf("user %q has the certificate %q of user %q", u.Name, name, other.Name))
		}
		d.certs[name] = u
	}
	return errors.Join(errs...)
}

// hide returns a hash that only this directory can make.
func (d *directory) hide(parts ...[]byte) (out digest) {
	h := hmac.New(sha256.New, d.key[:])
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0})
	}
	h.Sum(out[:0])
	return out
}

// byToken returns the user of a token, or nil.
func (d *directory) byToken(token string) *User {
	sum := sha256.Sum256([]byte(token))
	return d.tokens[d.hide(sum[:])]
}

// byCertificate returns the user whom a verified certificate stands for, or nil.
func (d *directory) byCertificate(c *x509.Certificate) *User {
	if len(d.certs) == 0 {
		return nil
	}
	names := []string{"CN=" + c.Subject.CommonName}
	for _, n := range c.DNSNames {
		names = append(names, "DNS:"+n)
	}
	for _, n := range c.URIs {
		names = append(names, "URI:"+n.String())
	}
	for _, n := range c.EmailAddresses {
		names = append(names, "EMAIL:"+n)
	}
	for _, n := range names {
		if u := d.certs[n]; u != nil {
			return u
		}
	}
	return nil
}

// byPassword returns the user of that name if the password is its own, else nil. gate bounds how many passwords are checked at a
// time; its error is returned.
func (d *directory) byPassword(ctx context.Context, name, password string, gate *gate) (*User, error) {
	u := d.users[name]
	if u != nil {
		if want, ok := digestOf(u.PasswordHash); ok {
			sum := sha256.Sum256([]byte(password))
			if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
				return u, nil
			}
			return nil, nil
		}
	}
	k := d.hide([]byte(name), []byte(password))
	good, known := d.remembered(k)
	if !known {
		if err := gate.enter(ctx); err != nil {
			return nil, err
		}
		defer gate.leave()
		// Others with the same password may have waited before this one.
		if good, known = d.remembered(k); !known {
			good = d.compare(u, password)
			gate.checks.Inc()
			d.remember(k, good)
		}
	}
	if !good {
		return nil, nil
	}
	return u, nil
}

func (d *directory) compare(u *User, password string) bool {
	hash := d.decoy
	if u != nil && u.PasswordHash != "" {
		hash = []byte(u.PasswordHash)
	}
	ok := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return ok && u != nil && u.PasswordHash != ""
}

func (d *directory) remembered(k digest) (good, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	good, known = d.checked[k]
	return good, known
}

// remember keeps the result of a check. When there are too many, bad ones are forgotten first: somebody may be guessing.
func (d *directory) remember(k digest, good bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.checked) >= maxChecked {
		for k, good := range d.checked {
			if !good {
				delete(d.checked, k)
			}
		}
		if len(d.checked) >= maxChecked {
			clear(d.checked)
		}
	}
	d.checked[k] = good
}

// Check reports everything that is wrong with users.
func Check(users []User) error {
	_, err := newDirectory(users)
	return err
}
