package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

func TestFeedTicket(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		f.register(t, here, "ada")
		session := f.signIn(t, here, "ada").Session
		create := func() string {
			t.Helper()
			ticket, expiresAt, err := f.ticket(here, session)
			must(t, err)
			if want := f.time.Now().Add(30 * time.Second); !expiresAt.Equal(want) {
				t.Fatalf("expires at %v, want %v", expiresAt, want)
			}
			return ticket
		}
		refused := func(what, ticket string) {
			t.Helper()
			if _, err := there.RedeemFeedTicket(t.Context(), ticket); !errors.Is(err, ErrTicket) {
				t.Errorf("%s: %v, want ErrTicket", what, err)
			}
		}
		ticket := create()
		f.time.advance(30*time.Second - time.Microsecond)
		got, err := there.RedeemFeedTicket(t.Context(), ticket)
		want := session
		want.ExpiresAt = f.time.Now().Add(30 * time.Minute)
		if err != nil || got != want {
			t.Errorf("redeemed: %+v, %v; want %+v", got, err, want)
		}
		if n := f.count(t, "sessions WHERE last_seen_at_us = ?", f.time.Now().UnixMicro()); n != 1 {
			t.Error("redeeming does not count as a use of the session")
		}
		refused("redeemed twice", ticket)
		refused("nonsense", "gcf_nonsense")
		refused("unknown", ticket[:len(ticket)-2]+"AA")
		late := create()
		f.time.advance(30 * time.Second)
		refused("30 s old", late)
		if n := f.count(t, "feed_tickets"); n != 0 {
			t.Errorf("%d tickets are left", n)
		}
		orphan := create()
		must(t, there.SignOut(t.Context(), session))
		f.signIn(t, there, "ada")
		refused("of a session that has ended", orphan)
		create()
		f.time.advance(31 * time.Second)
		fresh := create()
		must(t, here.deleteOldTickets(t.Context()))
		if n := f.count(t, "feed_tickets"); n != 1 {
			t.Errorf("%d tickets are left, want the fresh one (%s)", n, fresh)
		}
	})
}

func TestFeedTicketOfAnIdleSession(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		i.options.IdleTimeout = 20 * time.Second
		f.register(t, i, "ada")
		ticket, _, err := f.ticket(i, f.signIn(t, i, "ada").Session)
		must(t, err)
		f.time.advance(20 * time.Second)
		if _, err := i.RedeemFeedTicket(t.Context(), ticket); !errors.Is(err, ErrTicket) {
			t.Errorf("%v, want ErrTicket", err)
		}
	})
}

func TestOneOfFiftyRedeemsATicket(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		processes := []*Identity{f.process(), f.process()}
		f.register(t, processes[0], "ada")
		ticket, _, err := f.ticket(processes[0], f.signIn(t, processes[0], "ada").Session)
		must(t, err)
		redeemed := 0
		for _, err := range together(50, func(k int) error {
			_, err := processes[k%2].RedeemFeedTicket(t.Context(), ticket)
			return err
		}) {
			if err == nil {
				redeemed++
			} else if !errors.Is(err, ErrTicket) {
				t.Error(err)
			}
		}
		if redeemed != 1 {
			t.Errorf("redeemed %d times", redeemed)
		}
	})
}

func TestNoticesAreDeliveredOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		ada, grace := f.register(t, i, "ada"), f.register(t, i, "grace")
		var notices []Notice
		for k := range MaxNotices + 3 {
			n := Notice{ID: f.ids.Next(), UserID: ada.ID, Kind: "order.filled", Text: fmt.Sprintf("Notice %d", k), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, k)), At: f.time.Now()}
			notices = append(notices, n)
		}
		other := Notice{ID: f.ids.Next(), UserID: grace.ID, Kind: "announcement", Text: "Hello.", At: f.time.Now()}
		must(t, f.db.Write(t.Context(), func(tx database.Tx) error { return AddNotices(tx, append(notices, other)...) }))

		signInAgain := func(name string) []Notice {
			t.Helper()
			signedIn, err := i.SignIn(t.Context(), name, rightPassword, true, nil)
			must(t, err)
			return signedIn.Notices
		}
		expect := func(what string, got, want []Notice) {
			t.Helper()
			if !slices.EqualFunc(got, want, func(a, b Notice) bool {
				return a.ID == b.ID && a.UserID == b.UserID && a.Kind == b.Kind && a.Text == b.Text && string(a.Data) == string(b.Data) && a.At.Equal(b.At)
			}) {
				t.Errorf("%s: %d notices, want %d: %v", what, len(got), len(want), got)
			}
		}
		expect("at the first sign-in", signInAgain("ada"), notices[:MaxNotices])
		if _, err := i.SignIn(t.Context(), "ada", rightPassword, false, nil); !errors.Is(err, ErrAlreadySignedIn) {
			t.Fatal(err) // which delivers nothing
		}
		expect("at the second", signInAgain("ada"), notices[MaxNotices:])
		expect("at the third", signInAgain("ada"), nil)
		other.Data = json.RawMessage("{}")
		expect("another user's", signInAgain("grace"), []Notice{other})

		slices.Reverse(notices)
		page, err := i.ListNotices(t.Context(), ada.ID, id.ID{}, 100)
		must(t, err)
		expect("the newest", page, notices[:100])
		page, err = i.ListNotices(t.Context(), ada.ID, page[99].ID, 200)
		must(t, err)
		expect("the rest", page, notices[100:])
		page, err = i.ListNotices(t.Context(), ada.ID, page[len(page)-1].ID, 200)
		must(t, err)
		expect("beyond the oldest", page, nil)
	})
}

func TestNoticesOfManySignIns(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		ada := f.register(t, i, "ada")
		must(t, f.db.Write(t.Context(), func(tx database.Tx) error {
			return AddNotices(tx, Notice{ID: f.ids.Next(), UserID: ada.ID, Kind: "announcement", Text: "Hello.", At: f.time.Now()})
		}))
		delivered := 0
		for _, n := range together(20, func(int) int {
			signedIn, err := i.SignIn(t.Context(), "ada", rightPassword, true, nil)
			if err != nil {
				t.Error(err)
			}
			return len(signedIn.Notices)
		}) {
			delivered += n
		}
		if delivered != 1 {
			t.Errorf("delivered %d times", delivered)
		}
	})
}

func TestEnsureAdmin(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		for _, err := range together(5, func(int) error { return f.process().EnsureAdmin(t.Context(), rightPassword, openAccount) }) {
			must(t, err)
		}
		if n, accounts := f.count(t, "users"), f.count(t, "accounts WHERE user_id IS NOT NULL"); n != 1 || accounts != 1 {
			t.Fatalf("%d users with %d accounts", n, accounts)
		}
		i := f.process()
		signedIn := f.signIn(t, i, "admin")
		if signedIn.Role != RoleAdmin || signedIn.Username != "admin" || signedIn.AccountNumber == "" {
			t.Errorf("signed in: %+v", signedIn.Session)
		}
		must(t, i.EnsureAdmin(t.Context(), rightPassword, openAccount))
		if _, err := f.process().Authenticate(t.Context(), signedIn.Token); err != nil {
			t.Errorf("the same password has ended the session: %v", err)
		}
		must(t, i.EnsureAdmin(t.Context(), "another-password", openAccount))
		if _, err := i.Authenticate(t.Context(), signedIn.Token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("another password has not ended the session: %v", err)
		}
		if reasons, _ := f.ended(t, signedIn.UserID); !slices.Equal(reasons, []string{"password_changed"}) {
			t.Errorf("the feed tells of %v", reasons)
		}
		var wrong *WrongPasswordError
		if _, err := i.SignIn(t.Context(), "admin", rightPassword, false, nil); !errors.As(err, &wrong) {
			t.Errorf("with the former password: %v", err)
		}
		_, err := i.SignIn(t.Context(), "admin", "another-password", false, nil)
		must(t, err)
		if n := f.count(t, "users"); n != 1 {
			t.Errorf("%d users", n)
		}
	})
}

func TestEnsureAdminUnlocks(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		must(t, i.EnsureAdmin(t.Context(), "a-former-password", openAccount))
		for range MaxWrongPasswords {
			_, _ = i.SignIn(t.Context(), "admin", wrongPassword, false, nil)
		}
		must(t, i.EnsureAdmin(t.Context(), rightPassword, openAccount))
		f.signIn(t, i, "admin")
	})
}

func TestEnsureAdminWithoutAnAccountMakesNothing(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		refusal := errors.New("no account")
		err := f.process().EnsureAdmin(t.Context(), rightPassword, func(database.Tx, id.ID) error { return refusal })
		if !errors.Is(err, refusal) || f.count(t, "users") != 0 {
			t.Errorf("%v, %d users", err, f.count(t, "users"))
		}
	})
}
