package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// OWASP's first recommendation for Argon2id, "Password Storage Cheat Sheet": 19 MiB, two passes, one thread. About 25 ms of a core.
var hashParams = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hasher bounds how many passwords are hashed at once: each takes a core and 19 MiB, and a thousand at once would take the machine.
// The encoding (PHC string) and the comparison in constant time are those of alexedwards/argon2id: that is not ours to write.
type hasher struct {
	params argon2id.Params
	slots  chan struct{}
	wait   time.Duration
	decoy  string
}

func newHasher(params argon2id.Params, wait time.Duration) *hasher {
	return &hasher{params: params, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), wait: wait, decoy: decoyHash(params)}
}

// decoyHash looks like the hash of a password, and is of none.
func decoyHash(params argon2id.Params) string {
	random := make([]byte, params.SaltLength+params.KeyLength)
	_, _ = rand.Read(random) // never fails: documented in crypto/rand
	salt, key := random[:params.SaltLength], random[params.SaltLength:]
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, params.Memory, params.Iterations, params.Parallelism,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// hash returns the PHC string of a password. It returns ErrBusy after the wait, or ctx's error.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	encoded, err := argon2id.CreateHash(norm.NFKC.String(password), &h.params)
	if err != nil {
		return "", fmt.Errorf("identity: hashing a password: %w", err)
	}
	return encoded, nil
}

// verify says whether the password is the one that was hashed. An empty hash is compared with the decoy: that takes as long and is never right.
func (h *hasher) verify(ctx context.Context, password, encoded string) (bool, error) {
	if encoded == "" {
		encoded = h.decoy
	}
	if err := h.acquire(ctx); err != nil {
		return false, err
	}
	defer h.release()
	right, err := argon2id.ComparePasswordAndHash(norm.NFKC.String(password), encoded)
	if err != nil {
		return false, fmt.Errorf("identity: comparing a password: %w", err)
	}
	return right, nil
}

func (h *hasher) acquire(ctx context.Context) error {
	deadline := time.NewTimer(h.wait)
	defer deadline.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-deadline.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) release() { <-h.slots }

// HashPassword hashes a password for User.PasswordHash. Call it outside transactions: it takes tens of milliseconds, and waits for its turn;
// ErrBusy if that does not come. Passwords are compared in Unicode's NFKC, so that the keyboard that they are typed on does not matter (NIST SP 800-63B).
func (i *Identity) HashPassword(ctx context.Context, password string) (string, error) {
	return i.hasher.hash(ctx, password)
}
