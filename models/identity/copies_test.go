package identity

import (
	"testing"
	"time"

	"guichet/models/id"
)

func TestCopiesAreBoundedAndLoseNoUse(t *testing.T) {
	t.Parallel()
	const limit, sessions = 8, 100
	c := newCopies(limit)
	ids := id.NewGenerator()
	at := time.UnixMicro(1_000_000)
	for range sessions {
		_, hash := newSecret(tokenPrefix)
		kept := newSessionCopy(Session{ID: ids.Next(), UserID: ids.Next()}, at, at)
		kept.use(at)
		c.put(hash, kept, c.forgotten())
	}
	if len(c.byToken) != limit || len(c.tokens) != limit {
		t.Errorf("%d copies and %d tokens are kept, want %d", len(c.byToken), len(c.tokens), limit)
	}
	if uses := c.takeUses(); len(uses) != sessions {
		t.Errorf("%d uses are to be written, want %d", len(uses), sessions)
	}
	if uses := c.takeUses(); len(uses) != 0 {
		t.Errorf("%d uses are to be written again", len(uses))
	}
}

func TestCopyReadBeforeAnEndIsNotKept(t *testing.T) {
	t.Parallel()
	c := newCopies(8)
	ids := id.NewGenerator()
	at := time.UnixMicro(1_000_000)
	token, hash := newSecret(tokenPrefix)
	session := Session{ID: ids.Next(), UserID: ids.Next()}
	before := c.forgotten()
	c.forget(session.ID)
	c.put(hash, newSessionCopy(session, at, at), before)
	if c.get(hash) != nil {
		t.Errorf("the copy of the ended session of %s came back", token)
	}
	c.put(hash, newSessionCopy(session, at, at), c.forgotten())
	if c.get(hash) == nil {
		t.Error("a copy read afterwards is not kept")
	}
}

func TestCopyIsNotTrustedWhenClocksAreSetBack(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1_000_000_000)
	kept := newSessionCopy(Session{}, at, at)
	for age, want := range map[time.Duration]bool{-1: false, 0: true, 15*time.Second - 1: true, 15 * time.Second: false} {
		if got := kept.young(at.Add(age), 15*time.Second); got != want {
			t.Errorf("at an age of %v: young = %v", age, got)
		}
	}
}
