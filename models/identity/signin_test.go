package identity

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

func readEnding(t fataler, e feed.Entry) (reason string, session id.ID) {
	t.Helper()
	var data map[string]string
	must(t, json.Unmarshal(e.Data, &data))
	session, err := id.Parse(data["session_id"])
	must(t, err)
	return data["reason"], session
}

func TestRegister(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "Straße")
		insert := func(name string, role Role) error {
			return f.db.Write(t.Context(), func(tx database.Tx) error {
				return InsertUser(tx, User{ID: f.ids.Next(), Username: name, PasswordHash: "x", Role: role, CreatedAt: f.time.Now()})
			})
		}
		for _, name := range []string{"Straße", "STRASSE", "ｓtrasse", "admin", "Admin", "ＡＤＭＩＮ", "me", "Me"} {
			if err := insert(name, RoleUser); !errors.Is(err, ErrUsernameTaken) {
				t.Errorf("%s: %v, want ErrUsernameTaken", name, err)
			}
		}
		var refused *UsernameError
		if err := insert("two words", RoleUser); !errors.As(err, &refused) {
			t.Errorf("two words: %v", err)
		}
		must(t, insert("Strasse2", RoleUser))
		if n := f.count(t, "users"); n != 2 {
			t.Errorf("%d users, want 2", n)
		}
	})
}

func TestOneOfManyGetsTheName(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		errs := together(50, func(int) error {
			return f.db.Write(t.Context(), func(tx database.Tx) error {
				return InsertUser(tx, User{ID: f.ids.Next(), Username: "ada", PasswordHash: "x", Role: RoleUser, CreatedAt: f.time.Now()})
			})
		})
		got := 0
		for _, err := range errs {
			if err == nil {
				got++
			} else if !errors.Is(err, ErrUsernameTaken) {
				t.Errorf("refused with %v", err)
			}
		}
		if got != 1 || f.count(t, "users") != 1 {
			t.Errorf("%d got the name", got)
		}
	})
}

func TestSignIn(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		user := f.register(t, i, "Ada")
		signedIn, err := i.SignIn(t.Context(), "ＡＤＡ", rightPassword, false, nil)
		must(t, err)
		want := Session{ID: signedIn.ID, UserID: user.ID, Username: "Ada", Role: RoleUser, AccountNumber: accountOf(user.ID),
			UserCreatedAt: user.CreatedAt, ExpiresAt: f.time.Now().Add(30 * time.Minute)}
		if signedIn.Session != want || signedIn.ID.IsZero() || len(signedIn.Notices) != 0 {
			t.Errorf("signed in: %+v, want %+v", signedIn, want)
		}
		for who, process := range map[string]*Identity{"the same": i, "another": f.process()} {
			if session, err := process.Authenticate(t.Context(), signedIn.Token); err != nil || session != want {
				t.Errorf("%s process: %+v, %v", who, session, err)
			}
		}
		if n := f.count(t, "sessions WHERE token_hash = ?", []byte(signedIn.Token)); n != 0 {
			t.Error("the token itself is stored")
		}
		for _, name := range []string{"grace", "", "two words", "ada\x00", "admin"} {
			if _, err := i.SignIn(t.Context(), name, rightPassword, false, nil); !errors.Is(err, ErrUnknownUsername) {
				t.Errorf("%q: %v, want ErrUnknownUsername", name, err)
			}
		}
	})
}

func TestOneLiveSession(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		here, there := f.process(), f.process()
		user := f.register(t, here, "ada")
		first := f.signIn(t, here, "ada")
		if _, err := there.SignIn(t.Context(), "ada", rightPassword, false, nil); !errors.Is(err, ErrAlreadySignedIn) {
			t.Fatalf("a second session: %v", err)
		}
		// Somebody who does not know the password learns nothing of the session.
		var wrong *WrongPasswordError
		if _, err := there.SignIn(t.Context(), "ada", wrongPassword, true, nil); !errors.As(err, &wrong) {
			t.Fatalf("taking over with a wrong password: %v", err)
		}
		second, err := there.SignIn(t.Context(), "ada", rightPassword, true, nil)
		must(t, err)
		reasons, sessions := f.ended(t, user.ID)
		if !slices.Equal(reasons, []string{"taken_over"}) || sessions[0] != first.ID {
			t.Errorf("the feed tells of %v, %v", reasons, sessions)
		}
		if _, err := there.Authenticate(t.Context(), first.Token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("the session taken over: %v", err)
		}
		if _, err := here.Authenticate(t.Context(), second.Token); err != nil {
			t.Errorf("the session that took over: %v", err)
		}
		must(t, here.SignOut(t.Context(), second.Session))
		must(t, here.SignOut(t.Context(), second.Session)) // again is no error
		if reasons, _ := f.ended(t, user.ID); !slices.Equal(reasons, []string{"taken_over", "signed_out"}) {
			t.Errorf("the feed tells of %v", reasons)
		}
		if _, err := here.Authenticate(t.Context(), second.Token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("after signing out: %v", err)
		}
		f.signIn(t, there, "ada")
	})
}

func TestSigningOutLeavesALaterSessionAlone(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		first := f.signIn(t, i, "ada")
		second, err := i.SignIn(t.Context(), "ada", rightPassword, true, nil)
		must(t, err)
		must(t, i.SignOut(t.Context(), first.Session))
		if _, err := i.Authenticate(t.Context(), second.Token); err != nil {
			t.Errorf("the later session: %v", err)
		}
	})
}

func TestFiftySignInsMakeOneSession(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		processes := []*Identity{f.process(), f.process()}
		f.register(t, processes[0], "ada")
		errs := together(50, func(k int) error {
			_, err := processes[k%2].SignIn(t.Context(), "ada", rightPassword, false, nil)
			return err
		})
		admitted := 0
		for _, err := range errs {
			if err == nil {
				admitted++
			} else if !errors.Is(err, ErrAlreadySignedIn) {
				t.Errorf("refused with %v", err)
			}
		}
		if admitted != 1 || f.count(t, "sessions") != 1 {
			t.Errorf("%d were admitted, %d sessions are stored", admitted, f.count(t, "sessions"))
		}
	})
}

func TestFiftyTakeOversLeaveOneSession(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		user := f.register(t, i, "ada")
		tokens := together(50, func(int) string {
			signedIn, err := i.SignIn(t.Context(), "ada", rightPassword, true, nil)
			if err != nil {
				t.Error(err)
			}
			return signedIn.Token
		})
		lives := 0
		for _, token := range tokens {
			if _, err := i.Authenticate(t.Context(), token); err == nil {
				lives++
			} else if !errors.Is(err, ErrUnauthenticated) {
				t.Error(err)
			}
		}
		reasons, sessions := f.ended(t, user.ID)
		slices.SortFunc(sessions, func(a, b id.ID) int { return map[bool]int{true: -1}[a.Less(b)] })
		if lives != 1 || f.count(t, "sessions") != 1 || len(reasons) != 49 || len(slices.Compact(sessions)) != 49 {
			t.Errorf("%d tokens are good, %d ends are told", lives, len(reasons))
		}
	})
}

func TestFiftyWrongPasswordsLockAtThree(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		processes := []*Identity{f.process(), f.process()}
		f.register(t, processes[0], "ada")
		errs := together(50, func(k int) error {
			_, err := processes[k%2].SignIn(t.Context(), "ada", wrongPassword, true, nil)
			return err
		})
		var left []int
		locked := 0
		for _, err := range errs {
			var wrong *WrongPasswordError
			var lock *LockedError
			switch {
			case errors.As(err, &wrong):
				left = append(left, wrong.AttemptsLeft)
			case errors.As(err, &lock) && lock.Until.Equal(f.time.Now().Add(5*time.Minute)):
				locked++
			default:
				t.Errorf("refused with %v", err)
			}
		}
		slices.Sort(left)
		if !slices.Equal(left, []int{0, 1, 2}) || locked != 47 {
			t.Errorf("attempts left: %v; locked: %d", left, locked)
		}
	})
}

func TestLockOut(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		f.register(t, i, "grace")
		attempt := func(password string) (left int, locked bool, err error) {
			_, err = i.SignIn(t.Context(), "ada", password, true, nil)
			if wrong, ok := errors.AsType[*WrongPasswordError](err); ok {
				return wrong.AttemptsLeft, false, err
			}
			_, locked = errors.AsType[*LockedError](err)
			return -1, locked, err
		}
		expect := func(password string, wantLeft int, wantLocked bool) {
			t.Helper()
			if left, locked, err := attempt(password); left != wantLeft || locked != wantLocked || (err == nil) != (wantLeft < 0 && !wantLocked) {
				t.Fatalf("%d left, locked %v, %v; want %d, %v", left, locked, err, wantLeft, wantLocked)
			}
		}
		expect(wrongPassword, 2, false)
		expect(wrongPassword, 1, false)
		expect(rightPassword, -1, false)
		for _, left := range []int{2, 1, 0} {
			expect(wrongPassword, left, false)
		}
		expect(rightPassword, -1, true)
		f.signIn(t, i, "grace") // who is not concerned
		f.time.advance(5*time.Minute - time.Microsecond)
		expect(rightPassword, -1, true)
		f.time.advance(time.Microsecond)
		expect(wrongPassword, 2, false)
		expect(rightPassword, -1, false)
	})
}

func TestRefusedSignInResetsTheCount(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		f.signIn(t, i, "ada")
		for range 2 {
			for _, want := range []int{2, 1} {
				var wrong *WrongPasswordError
				if _, err := i.SignIn(t.Context(), "ada", wrongPassword, false, nil); !errors.As(err, &wrong) || wrong.AttemptsLeft != want {
					t.Fatalf("%v, want %d left", err, want)
				}
			}
			if _, err := i.SignIn(t.Context(), "ada", rightPassword, false, nil); !errors.Is(err, ErrAlreadySignedIn) {
				t.Fatal(err)
			}
		}
	})
}

// While a password is being hashed, others may lock the user, or change the password.
func TestWhatHappensWhileHashingCounts(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		user := f.register(t, i, "ada")
		known, err := i.findCredentials(t.Context(), "ada")
		must(t, err)
		for range 3 {
			if _, err := i.SignIn(t.Context(), "ada", wrongPassword, false, nil); err == nil {
				t.Fatal("a wrong password is right")
			}
		}
		then := func(database.Tx, credentials, time.Time) (refusal, err error) {
			t.Error("admitted")
			return nil, nil
		}
		must(t, f.db.Write(t.Context(), func(tx database.Tx) error {
			var locked *LockedError
			if refusal, err := i.judge(tx, known, true, then); err != nil || !errors.As(refusal, &locked) {
				t.Errorf("locked meanwhile: %v, %v", refusal, err)
			}
			if err := storePassword(tx, credentials{userID: user.ID, passwordHash: "another", role: RoleUser}); err != nil {
				return err
			}
			if _, err := i.judge(tx, known, true, then); !errors.Is(err, errPasswordChanged) {
				t.Errorf("the password was changed meanwhile: %v", err)
			}
			return nil
		}))
	})
}

func TestCheckPasswordCountsAndLocks(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		if role, err := i.CheckPassword(t.Context(), "ada", rightPassword); err != nil || role != RoleUser {
			t.Errorf("%q, %v", role, err)
		}
		if n := f.count(t, "sessions"); n != 0 {
			t.Errorf("%d sessions were started", n)
		}
		for _, left := range []int{2, 1, 0} {
			var wrong *WrongPasswordError
			if role, err := i.CheckPassword(t.Context(), "ada", wrongPassword); !errors.As(err, &wrong) || wrong.AttemptsLeft != left || role != "" {
				t.Errorf("%v, want %d left", err, left)
			}
		}
		var locked *LockedError
		if _, err := i.SignIn(t.Context(), "ada", rightPassword, false, nil); !errors.As(err, &locked) {
			t.Errorf("signing in: %v, want a lock", err)
		}
		if _, err := i.CheckPassword(t.Context(), "grace", rightPassword); !errors.Is(err, ErrUnknownUsername) {
			t.Errorf("an unknown name: %v", err)
		}
	})
}

func TestWhatIsDoneAlsoIsDoneOrUndoneTogether(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		ada := f.register(t, i, "ada")
		first := f.signIn(t, i, "ada")
		refusal := errors.New("no")
		var seen SignedIn
		_, err := i.SignIn(t.Context(), "ada", rightPassword, true, func(_ database.Tx, signedIn SignedIn) error {
			seen = signedIn
			return refusal
		})
		if !errors.Is(err, refusal) {
			t.Fatal(err)
		}
		if _, err := i.Authenticate(t.Context(), seen.Token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("the session that was undone: %v", err)
		}
		if _, err := f.process().Authenticate(t.Context(), first.Token); err != nil {
			t.Errorf("the session that was not taken over: %v", err)
		}
		if reasons, _ := f.ended(t, ada.ID); len(reasons) != 0 {
			t.Errorf("the feed tells of %v", reasons)
		}
		signedIn, err := i.SignIn(t.Context(), "ada", rightPassword, true, func(_ database.Tx, signedIn SignedIn) error {
			seen = signedIn
			return nil
		})
		if err != nil || seen.Token != signedIn.Token || seen.Session != signedIn.Session {
			t.Errorf("saw %+v, got %+v (%v)", seen, signedIn, err)
		}
	})
}

func TestHashingHoldsNoLock(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		i := f.process()
		f.register(t, i, "ada")
		for range cap(i.hasher.slots) {
			i.hasher.slots <- struct{}{}
		}
		done := make(chan error)
		go func() {
			_, err := i.SignIn(t.Context(), "ada", rightPassword, false, nil)
			done <- err
		}()
		// The other waits for its turn to hash, now or a moment later; a writer is not kept waiting either way.
		must(t, f.db.Write(t.Context(), func(tx database.Tx) error {
			_, err := tx.Exec("UPDATE users SET wrong_passwords = 2")
			return err
		}))
		for range cap(i.hasher.slots) {
			<-i.hasher.slots
		}
		must(t, <-done)
	})
}
