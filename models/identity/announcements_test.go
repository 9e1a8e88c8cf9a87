package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

func (f *fixture) announce(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		must(t, f.db.Write(t.Context(), func(tx database.Tx) error {
			entry, err := chat.Announce(tx, &chat.Announcement{ID: f.ids.Next(), Text: text, By: "admin", At: f.time.Now(), Lamport: 1})
			if err != nil {
				return err
			}
			return feed.Append(tx, []feed.Entry{entry})
		}))
	}
}

// announced are the texts of the announcements that a sign-in gives.
func announced(t *testing.T, s SignedIn) (texts []string) {
	t.Helper()
	for _, n := range s.Notices {
		if n.Kind != "announcement" || n.At.IsZero() || len(n.Data) < 10 {
			t.Errorf("%+v", n)
		}
		texts = append(texts, n.Text)
	}
	return texts
}

// However a session ends: what is announced before is told to it, and what is announced after is a notice of the next, once.
func TestAnnouncementsBetweenSessions(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.announce(t, "before they registered")
		for name, end := range map[string]func(s SignedIn){
			"signs-out": func(s SignedIn) {
				f.announce(t, "during")
				must(t, i.SignOut(t.Context(), s.Session))
				f.announce(t, "after")
			},
			"idle-and-ended": func(SignedIn) {
				f.announce(t, "during")
				f.time.advance(30*time.Minute - 2*time.Millisecond)
				f.announce(t, "to the last")
				f.time.advance(time.Millisecond)
				f.announce(t, "after") // at the very moment at which it has ended
				_, err := i.ExpireSessions(t.Context())
				must(t, err)
			},
			"idle-and-found-so": func(SignedIn) {
				f.announce(t, "during")
				f.time.advance(30*time.Minute + time.Second)
				f.announce(t, "after")
			},
		} {
			f.register(t, i, name)
			f.announce(t, "before the first sign-in")
			first := f.signIn(t, i, name)
			if got := announced(t, first); !slices.Equal(got, []string{"before the first sign-in"}) {
				t.Errorf("%s: the first sign-in gives %q", name, got)
			}
			f.time.advance(time.Millisecond)
			end(first)
			f.time.advance(time.Millisecond)
			second := f.signIn(t, i, name)
			if got := announced(t, second); !slices.Equal(got, []string{"after"}) {
				t.Errorf("%s: the second sign-in gives %q", name, got)
			}
			f.announce(t, "told to the second")
			third, err := i.SignIn(t.Context(), name, rightPassword, true, nil) // takes over
			must(t, err)
			must(t, i.SignOut(t.Context(), third.Session))
			if got := append(announced(t, third), announced(t, f.signIn(t, i, name))...); len(got) != 0 {
				t.Errorf("%s: the last sign-ins give %q", name, got)
			}
		}
	})
}

func TestAnnouncementsOfAnUndoneSignIn(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		f.announce(t, "one")
		undone := errors.New("undone")
		if _, err := i.SignIn(t.Context(), "ada", rightPassword, false, func(database.Tx, SignedIn) error { return undone }); !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if got := announced(t, f.signIn(t, i, "ada")); !slices.Equal(got, []string{"one"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestOnlyTheNewestAnnouncementsAreGiven(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		var texts []string
		for n := range MaxNotices + 3 {
			texts = append(texts, fmt.Sprint(n))
		}
		f.announce(t, texts...)
		if got := announced(t, f.signIn(t, i, "ada")); !slices.Equal(got, texts[3:]) {
			t.Errorf("%q", got)
		}
	})
}

// While admins announce, and people sign in, out and over each other: each announcement after somebody has registered is a notice of theirs, or was made while a
// session of theirs lived, and never both.
func TestAnnouncementsBesideSignIns(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		processes := []*Identity{f.process(), f.process()}
		user := f.register(t, processes[0], "ada")
		const each = 25
		var notices atomic.Int64
		together(4, func(k int) error {
			for n := range each {
				if k < 2 {
					f.announce(t, fmt.Sprint(k, "-", n))
					continue
				}
				s, err := processes[k-2].SignIn(t.Context(), "ada", rightPassword, true, nil)
				if err != nil {
					t.Error(err)
					continue
				}
				notices.Add(int64(len(s.Notices)))
				if n%3 == 0 {
					if err := processes[k-2].SignOut(t.Context(), s.Session); err != nil {
						t.Error(err)
					}
				}
			}
			return nil
		})
		s, err := processes[0].SignIn(t.Context(), "ada", rightPassword, true, nil)
		must(t, err)
		notices.Add(int64(len(s.Notices)))
		if n := f.count(t, "notices WHERE kind = 'announcement' AND user_id = ?", user.ID); int64(n) != notices.Load() {
			t.Errorf("%d notices are kept, and %d were given", n, notices.Load())
		}
		expectEachGivenOrTold(t, f, user)
	})
}

// People who sign in and out while something is announced do not get in each other's way: nobody is turned away because two waited for each other.
func TestManySignInWhileAnnounced(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		processes := []*Identity{f.process(), f.process()}
		const people, each = 8, 30
		for k := range people {
			f.register(t, processes[0], fmt.Sprint("user-", k))
		}
		errs := together(people+1, func(k int) error {
			for n := range each {
				if k == people {
					f.announce(t, fmt.Sprint(n))
					continue
				}
				s, err := processes[k%2].SignIn(t.Context(), fmt.Sprint("user-", k), rightPassword, true, nil)
				if err == nil {
					err = processes[k%2].SignOut(t.Context(), s.Session)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

// expectEachGivenOrTold goes through the feed: what was announced while no session lived is a notice, once, and nothing else is.
func expectEachGivenOrTold(t *testing.T, f *fixture, user User) {
	t.Helper()
	given := map[string]int{}
	notices, err := listNotices(f.db.Read(t.Context()), user.ID, id.ID{}, 1000)
	must(t, err)
	for _, n := range notices {
		given[n.Text]++
	}
	entries, err := feed.NewLog(f.db).Between(t.Context(), 0, 1<<40, nil, 10_000)
	must(t, err)
	signedOutSince, told := "", 0
	for _, e := range entries {
		switch e.Event {
		case feed.SessionEnded:
			signedOutSince, _ = readEnding(t, e)
		case feed.Announced:
			told++
			var a struct{ Text string }
			must(t, json.Unmarshal(e.Data, &a))
			// After a sign-out a session may live again, of whose beginning the feed has nothing. One that was taken over was followed by another.
			if n := given[a.Text]; n > 1 || n == 1 && signedOutSince == takenOver {
				t.Errorf("%s is given %d times, after a session was %s", a.Text, n, signedOutSince)
			}
		}
	}
	if told == 0 || told <= len(given) {
		t.Errorf("%d announcements were told, and %d given", told, len(given))
	}
}
