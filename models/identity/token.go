package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"strings"
)

// Prefixes tell people and secret scanners what a leaked string was good for.
const (
	tokenPrefix  = "gct_"
	ticketPrefix = "gcf_"
)

const secretBytes = 32

// hashOf is what is stored of a secret: it has 256 random bits, so a fast hash without salt is enough.
type hashOf [sha256.Size]byte

// Value binds the hash as bytes.
func (h hashOf) Value() (driver.Value, error) { return h[:], nil }

// newSecret makes a bearer's secret, and its hash.
func newSecret(prefix string) (string, hashOf) {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails: documented in crypto/rand
	secret := prefix + base64.RawURLEncoding.EncodeToString(random)
	return secret, sha256.Sum256([]byte(secret))
}

// hashSecret returns the hash of what may be a secret; false if it cannot be one, so that nonsense costs no query.
func hashSecret(prefix, s string) (hashOf, bool) {
	encoded, found := strings.CutPrefix(s, prefix)
	if !found || len(encoded) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return hashOf{}, false
	}
	return sha256.Sum256([]byte(s)), true
}
