package identity

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const (
	rightPassword = "correct-horse-battery"
	wrongPassword = "staple-horse-battery"
)

// cheap parameters: what these tests are about is not how long a hash takes.
var cheap = argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// fakeTime is a clock that moves when told to.
type fakeTime struct {
	mu  sync.Mutex
	now time.Time
}

func (f *fakeTime) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeTime) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// fixture is a store with any number of processes on it.
type fixture struct {
	db   *database.DB
	ids  *id.Generator
	time *fakeTime
}

// onBothStores runs a test on SQLite and on MariaDB.
func onBothStores(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) {
		test(t, &fixture{db: db, ids: id.NewGenerator(), time: &fakeTime{now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}})
	})
}

// process is an Identity as a process of its own would have.
func (f *fixture) process() *Identity {
	i := New(f.db, f.ids, &lamport.Clock{}, Options{Now: f.time.Now, HashWait: time.Minute})
	i.hasher = newHasher(cheap, time.Minute)
	return i
}

// register makes a user with the right password and an account whose number is the name in capitals.
func (f *fixture) register(t *testing.T, i *Identity, name string) User {
	t.Helper()
	hash, err := i.HashPassword(t.Context(), rightPassword)
	must(t, err)
	user := User{ID: f.ids.Next(), Username: name, PasswordHash: hash, Role: RoleUser, CreatedAt: f.time.Now()}
	must(t, f.db.Write(t.Context(), func(tx database.Tx) error {
		if err := InsertUser(tx, user); err != nil {
			return err
		}
		return openAccount(tx, user.ID)
	}))
	return user
}

func openAccount(tx database.Tx, user id.ID) error {
	_, err := tx.Exec("INSERT INTO accounts (number, user_id, lamport, opened_lamport, opened_at_us) VALUES (?,?,0,0,0)", accountOf(user), user)
	return err
}

func accountOf(user id.ID) string { return fmt.Sprintf("A%X", user[:8]) }

func (f *fixture) signIn(t *testing.T, i *Identity, name string) SignedIn {
	t.Helper()
	signedIn, err := i.SignIn(t.Context(), name, rightPassword, false, nil)
	must(t, err)
	return signedIn
}

func (f *fixture) ticket(i *Identity, session Session) (ticket string, expiresAt time.Time, err error) {
	err = f.db.Write(context.Background(), func(tx database.Tx) error {
		ticket, expiresAt, err = i.CreateFeedTicket(tx, session)
		return err
	})
	return ticket, expiresAt, err
}

// ended returns the reasons of a user's ended sessions, in order, with the sessions.
func (f *fixture) ended(t *testing.T, user id.ID) (reasons []string, sessions []id.ID) {
	t.Helper()
	entries, err := feed.NewLog(f.db).Between(t.Context(), 0, 1<<40, []string{feed.UserTopic(user)}, 1000)
	must(t, err)
	for _, e := range entries {
		if e.Event != feed.SessionEnded || e.Lamport == 0 || e.At.IsZero() {
			t.Fatalf("an entry is not of a session's end, or lacks time or stamp: %+v", e)
		}
		reason, session := readEnding(t, e)
		reasons, sessions = append(reasons, reason), append(sessions, session)
	}
	return reasons, sessions
}

// count runs SELECT COUNT(*).
func (f *fixture) count(t *testing.T, from string, args ...any) int {
	t.Helper()
	var n int
	must(t, f.db.Read(context.Background()).Gorm().Raw("SELECT COUNT(*) FROM "+from, args...).Row().Scan(&n))
	return n
}

// together runs n calls at once and returns what they returned.
func together[T any](n int, call func(k int) T) []T {
	results := make([]T, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for k := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			results[k] = call(k)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return results
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
