package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPasswordIsHashedAsOWASPSays(t *testing.T) {
	t.Parallel()
	h := newHasher(hashParams, time.Minute)
	encoded, err := h.hash(t.Context(), rightPassword)
	must(t, err)
	if !strings.HasPrefix(encoded, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("not the parameters of OWASP: %s", encoded)
	}
	again, err := h.hash(t.Context(), rightPassword)
	must(t, err)
	if again == encoded {
		t.Error("two hashes of a password are the same: there is no salt")
	}
	for password, want := range map[string]bool{rightPassword: true, wrongPassword: false, "": false, rightPassword + "\x00": false} {
		if right, err := h.verify(t.Context(), password, encoded); err != nil || right != want {
			t.Errorf("%q: right = %v, want %v (%v)", password, right, want, err)
		}
	}
}

func TestPasswordDoesNotDependOnTheKeyboard(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap, time.Minute)
	encoded, err := h.hash(t.Context(), "motdepassé")
	must(t, err)
	if right, err := h.verify(t.Context(), "motdepasse\u0301", encoded); err != nil || !right {
		t.Errorf("the decomposed form is wrong (%v)", err)
	}
}

func TestDecoyCostsTheSameAndIsNeverRight(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap, time.Minute)
	real, err := h.hash(t.Context(), rightPassword)
	must(t, err)
	if parameters := real[:strings.Index(real, "p=1$")]; !strings.HasPrefix(h.decoy, parameters) || len(h.decoy) != len(real) {
		t.Errorf("the decoy %s is not like %s", h.decoy, real)
	}
	for _, password := range []string{"", rightPassword, h.decoy} {
		if right, err := h.verify(t.Context(), password, ""); err != nil || right {
			t.Errorf("%q: right = %v (%v)", password, right, err)
		}
	}
}

func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap, time.Millisecond)
	for range cap(h.slots) {
		must(t, h.acquire(t.Context()))
	}
	if _, err := h.hash(t.Context(), rightPassword); !errors.Is(err, ErrBusy) {
		t.Errorf("hash: %v, want ErrBusy", err)
	}
	if _, err := h.verify(t.Context(), rightPassword, ""); !errors.Is(err, ErrBusy) {
		t.Errorf("verify: %v, want ErrBusy", err)
	}
	h.wait = time.Minute
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.hash(gone, rightPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("for one who has gone: %v", err)
	}
	h.release()
	if _, err := h.hash(t.Context(), rightPassword); err != nil {
		t.Errorf("with a slot free: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	token, hash := newSecret(tokenPrefix)
	other, otherHash := newSecret(tokenPrefix)
	if token == other || hash == otherHash {
		t.Fatal("two secrets are the same")
	}
	if len(token) != len(tokenPrefix)+43 || !strings.HasPrefix(token, "gct_") {
		t.Errorf("not gct_ and 32 bytes in base64url: %s", token)
	}
	if got, ok := hashSecret(tokenPrefix, token); !ok || got != hash {
		t.Error("the hash of a token cannot be found again")
	}
	for _, s := range []string{"", "gct_", token[4:], token + "A", token[:len(token)-1], "GCT_" + token[4:], "gcf_" + token[4:], " " + token, strings.Repeat("a", 1<<20)} {
		if _, ok := hashSecret(tokenPrefix, s); ok {
			t.Errorf("%.60q might be a token", s)
		}
	}
}
