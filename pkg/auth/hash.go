package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// hashPrefix stands before the hexadecimal digits of a SHA-256.
const hashPrefix = "sha256:"

// DefaultCost is the cost of the bcrypt hashes that HashPassword makes, about a quarter of a second.
const DefaultCost = 12

// maxPassword is how much of a password bcrypt reads.
const maxPassword = 72

// HashPassword returns the hash of a password for the users file.
func HashPassword(password []byte, cost int) (string, error) {
	switch {
	case len(password) == 0:
		return "", errors.New("the password is empty")
	case len(password) > maxPassword:
		return "", errors.New("the password is longer than 72 bytes, and bcrypt reads no more")
	case cost < bcrypt.MinCost || cost > maxCost:
		return "", errors.New("the cost must be from 4 to 14")
	}
	hash, err := bcrypt.GenerateFromPassword(password, cost)
	return string(hash), err
}

// NewToken returns a random token of 256 bits.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "lgs_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashToken returns the hash of a token for the users file. It is no good for what people choose: SHA-256 is fast to try out.
func HashToken(token []byte) string {
	sum := sha256.Sum256(token)
	return hashPrefix + hex.EncodeToString(sum[:])
}

// digest is a SHA-256.
type digest [sha256.Size]byte

// digestOf reads what HashToken made.
func digestOf(hash string) (d digest, ok bool) {
	text, ok := strings.CutPrefix(hash, hashPrefix)
	if !ok || len(text) != hex.EncodedLen(len(d)) {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(text))
	return d, err == nil
}
