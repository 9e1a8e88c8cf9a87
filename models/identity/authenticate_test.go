package identity

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
)

func TestIdleSessionEnds(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		f.register(t, here, "ada")
		signedIn := f.signIn(t, here, "ada")
		f.time.advance(30*time.Minute - time.Microsecond)
		session, err := here.Authenticate(t.Context(), signedIn.Token)
		must(t, err)
		if want := f.time.Now().Add(30 * time.Minute); !session.ExpiresAt.Equal(want) {
			t.Errorf("expires at %v, want %v", session.ExpiresAt, want)
		}
		// Used at the last moment, here: the table must know of it before there is a sign-in there.
		f.time.advance(time.Microsecond)
		if _, err := there.SignIn(t.Context(), "ada", rightPassword, false, nil); !errors.Is(err, ErrAlreadySignedIn) {
			t.Errorf("signing in beside a session that has just been used: %v", err)
		}
		f.time.advance(30*time.Minute - time.Microsecond)
		for _, process := range []*Identity{here, there} {
			if _, err := process.Authenticate(t.Context(), signedIn.Token); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("idle for 30 minutes: %v", err)
			}
		}
		second := f.signIn(t, there, "ada") // needs no take-over
		if reasons, sessions := f.ended(t, second.UserID); !slices.Equal(reasons, []string{"idle"}) || sessions[0] != signedIn.ID {
			t.Errorf("the feed tells of %v", reasons)
		}
	})
}

func TestSessionInUseLives(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		f.register(t, here, "ada")
		signedIn := f.signIn(t, here, "ada")
		for minute := range 120 { // used every 10 minutes, mostly here
			f.time.advance(time.Minute)
			for _, process := range []*Identity{here, there} {
				must(t, process.Flush(t.Context()))
				if _, err := process.ExpireSessions(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if minute%10 != 0 {
				continue
			}
			process := here
			if minute%40 == 0 {
				process = there
			}
			if _, err := process.Authenticate(t.Context(), signedIn.Token); err != nil {
				t.Fatalf("after %d minutes: %v", minute, err)
			}
		}
	})
}

func TestTouchKeepsASessionAlive(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process() // there has never seen the token, as after a feed ticket
		f.register(t, here, "ada")
		signedIn := f.signIn(t, here, "ada")
		for _, process := range []*Identity{here, there} {
			for range 40 * 4 { // forty minutes of a stream's heartbeats
				f.time.advance(15 * time.Second)
				must(t, process.Touch(t.Context(), signedIn.Session))
				must(t, process.Flush(t.Context()))
			}
		}
		if n, err := here.ExpireSessions(t.Context()); n != 0 || err != nil {
			t.Errorf("%d sessions were ended (%v)", n, err)
		}
		_, err := here.Authenticate(t.Context(), signedIn.Token)
		must(t, err)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, here.Touch(gone, signedIn.Session)) // needs no query
		f.time.advance(30 * time.Minute)
		for _, process := range []*Identity{here, there} {
			if err := process.Touch(t.Context(), signedIn.Session); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("idle: %v", err)
			}
		}
		second := f.signIn(t, there, "ada")
		must(t, there.SignOut(t.Context(), second.Session))
		for _, process := range []*Identity{here, there} {
			if err := process.Touch(t.Context(), second.Session); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("signed out: %v", err)
			}
		}
	})
}

func TestHotPathAsksNoDatabase(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		signedIn := f.signIn(t, i, "ada")
		gone, cancel := context.WithCancel(t.Context())
		cancel() // no statement succeeds with this
		if _, err := i.Authenticate(gone, signedIn.Token); err != nil {
			t.Errorf("a session just signed in: %v", err)
		}
		if _, err := i.Authenticate(gone, "gct_nonsense"); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("what cannot be a token: %v", err)
		}
		f.time.advance(15*time.Second - time.Microsecond)
		if _, err := i.Authenticate(gone, signedIn.Token); err != nil {
			t.Errorf("with a copy just under 15 s old: %v", err)
		}
		f.time.advance(time.Microsecond)
		if _, err := i.Authenticate(gone, signedIn.Token); err == nil || errors.Is(err, ErrUnauthenticated) {
			t.Errorf("with a copy 15 s old and no store: %v, want the store's error", err)
		}
		_, err := i.Authenticate(t.Context(), signedIn.Token)
		must(t, err)
		if _, err := i.Authenticate(gone, signedIn.Token); err != nil {
			t.Errorf("with a copy just read: %v", err)
		}
	})
}

func TestSessionEndedElsewhere(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		f.register(t, here, "ada")
		f.register(t, here, "grace")
		told, untold := f.signIn(t, here, "ada"), f.signIn(t, here, "grace")
		must(t, there.SignOut(t.Context(), told.Session))
		must(t, there.SignOut(t.Context(), untold.Session))
		entries, err := feed.NewLog(f.db).Between(t.Context(), 0, 1<<40, []string{feed.UserTopic(told.UserID)}, 10)
		must(t, err)
		here.Published(entries)
		if _, err := here.Authenticate(t.Context(), told.Token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("told by the feed: %v", err)
		}
		f.time.advance(15 * time.Second)
		if _, err := here.Authenticate(t.Context(), untold.Token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("not told, 15 s later: %v", err)
		}
	})
}

func TestPublishedIgnoresWhatIsNotASessionsEnd(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		signedIn := f.signIn(t, i, "ada")
		data := []byte(`{"session_id":"` + signedIn.ID.String() + `"}`)
		i.Published([]feed.Entry{{Event: feed.OperationFinished, Data: data}, {Event: feed.SessionEnded, Data: []byte("{")}, {Event: feed.SessionEnded}})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := i.Authenticate(gone, signedIn.Token); err != nil {
			t.Errorf("the copy was dropped: %v", err)
		}
	})
}

func TestExpireSessions(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		idle := f.register(t, here, "ada")
		f.register(t, here, "grace")
		f.signIn(t, here, "ada")
		used := f.signIn(t, here, "grace")
		f.time.advance(29 * time.Minute)
		_, err := here.Authenticate(t.Context(), used.Token)
		must(t, err)
		must(t, here.Flush(t.Context()))
		f.time.advance(time.Minute)
		total := 0
		for _, n := range together(10, func(int) int {
			n, err := there.ExpireSessions(t.Context())
			if err != nil {
				t.Error(err)
			}
			return n
		}) {
			total += n
		}
		if total != 1 || f.count(t, "sessions") != 1 {
			t.Errorf("%d sessions were ended, %d are left; want 1 and 1", total, f.count(t, "sessions"))
		}
		if reasons, _ := f.ended(t, idle.ID); !slices.Equal(reasons, []string{"idle"}) {
			t.Errorf("the feed tells of %v", reasons)
		}
		if _, err := here.Authenticate(t.Context(), used.Token); err != nil {
			t.Errorf("the session in use: %v", err)
		}
	})
}

func TestUsesAreWrittenForwardOnly(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		user := f.register(t, here, "ada")
		signedIn := f.signIn(t, here, "ada")
		authenticate := func(i *Identity) {
			t.Helper()
			_, err := i.Authenticate(t.Context(), signedIn.Token)
			must(t, err)
		}
		f.time.advance(time.Second)
		authenticate(here)
		f.time.advance(time.Second)
		authenticate(there)
		must(t, there.Flush(t.Context()))
		must(t, here.Flush(t.Context())) // an earlier use, written later
		if n := f.count(t, "sessions WHERE user_id = ? AND last_seen_at_us = ?", user.ID[:], f.time.Now().UnixMicro()); n != 1 {
			t.Error("the later use is not what is written")
		}
		f.time.advance(time.Second)
		authenticate(here)
		replaced, err := there.SignIn(t.Context(), "ada", rightPassword, true, nil)
		must(t, err)
		f.time.advance(time.Second)
		here.copies.note(use{userID: user.ID, sessionID: signedIn.ID, at: f.time.Now()})
		must(t, here.Flush(t.Context())) // of a session that has ended
		if n := f.count(t, "sessions WHERE id = ? AND last_seen_at_us < ?", replaced.ID[:], f.time.Now().UnixMicro()); n != 1 {
			t.Error("the use of the former session counts for the present one")
		}
	})
}

func TestFlushOfManyUses(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		const users = 2*usesPerStatement + 1
		at := f.time.Now().UnixMicro()
		uses := make([]use, users)
		rows := database.Rows{Table: "sessions", Columns: []string{"user_id", "id", "token_hash", "created_at_us", "last_seen_at_us"}}
		for k := range uses {
			uses[k] = use{userID: f.ids.Next(), sessionID: f.ids.Next(), at: f.time.Now().Add(time.Duration(k+1) * time.Second)}
			_, hash := newSecret(tokenPrefix)
			rows.Add(uses[k].userID, uses[k].sessionID, hash, at, at)
		}
		must(t, f.db.Write(t.Context(), rows.Insert))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		i.copies.note(uses...)
		if err := i.Flush(gone); err == nil {
			t.Fatal("a flush without a store succeeded")
		}
		must(t, i.Flush(t.Context())) // what failed is kept
		for _, u := range uses {
			if n := f.count(t, "sessions WHERE id = ? AND last_seen_at_us = ?", u.sessionID[:], u.at.UnixMicro()); n != 1 {
				t.Fatalf("the use at %v is not written", u.at)
			}
		}
	})
}

func TestRunWritesTheLastUses(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		user := f.register(t, i, "ada")
		signedIn := f.signIn(t, i, "ada")
		f.time.advance(time.Second)
		_, err := i.Authenticate(t.Context(), signedIn.Token)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		i.Run(ctx)
		if n := f.count(t, "sessions WHERE user_id = ? AND last_seen_at_us = ?", user.ID[:], f.time.Now().UnixMicro()); n != 1 {
			t.Error("the last use is not written")
		}
	})
}

func TestRunEndsIdleSessions(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		i.options.IdleTimeout = 80 * time.Millisecond // refresh: 10 ms
		user := f.register(t, i, "ada")
		signedIn := f.signIn(t, i, "ada")
		_, _, err := f.ticket(i, signedIn.Session)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan struct{})
		go func() { defer close(done); i.Run(ctx) }()
		f.time.advance(time.Minute)
		for f.count(t, "sessions")+f.count(t, "feed_tickets") > 0 && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		cancel()
		<-done
		if reasons, _ := f.ended(t, user.ID); !slices.Equal(reasons, []string{"idle"}) {
			t.Errorf("the feed tells of %v", reasons)
		}
	})
}
