package identity

import (
	"errors"
	"testing"
	"time"
)

func TestThreeWrongPasswordsLock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	const lockFor = 5 * time.Minute
	type step struct {
		at    time.Duration
		right bool
		left  int           // attempts left, if the password is found wrong; −1 otherwise
		until time.Duration // if locked
	}
	tests := map[string][]step{
		"right":                         {{right: true, left: -1}},
		"counts down":                   {{left: 2}, {left: 1}, {left: 0}},
		"locked at once, right or not":  {{left: 2}, {left: 1}, {left: 0}, {right: true, left: -1, until: lockFor}, {left: -1, until: lockFor}},
		"locked to the last moment":     {{left: 2}, {left: 1}, {left: 0}, {at: lockFor - 1, right: true, left: -1, until: lockFor}},
		"free when the lock has passed": {{left: 2}, {left: 1}, {left: 0}, {at: lockFor, right: true, left: -1}},
		"counts anew after the lock":    {{left: 2}, {left: 1}, {left: 0}, {at: lockFor, left: 2}, {at: lockFor, left: 1}, {at: lockFor, left: 0}, {at: lockFor, left: -1, until: 2 * lockFor}},
		"a right one resets":            {{left: 2}, {left: 1}, {right: true, left: -1}, {left: 2}, {left: 1}, {left: 0}},
		"attempts do not prolong":       {{left: 2}, {left: 1}, {left: 0}, {at: lockFor - 1, left: -1, until: lockFor}, {at: lockFor, left: 2}},
		"time does not forgive":         {{left: 2}, {at: 100 * time.Hour, left: 1}, {at: 200 * time.Hour, left: 0}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a attempts
			for k, s := range steps {
				var err error
				a, err = a.judge(s.right, start.Add(s.at), lockFor)
				left, until := -1, time.Time{}
				var wrong *WrongPasswordError
				var locked *LockedError
				switch {
				case errors.As(err, &wrong):
					left = wrong.AttemptsLeft
				case errors.As(err, &locked):
					until = locked.Until
				}
				want := time.Time{}
				if s.until != 0 {
					want = start.Add(s.until)
				}
				if left != s.left || !until.Equal(want) {
					t.Fatalf("step %d: %d left, locked until %v; want %d, %v (%v)", k, left, until, s.left, want, err)
				}
			}
		})
	}
}

func TestSessionLivesUntilItIsIdleForTheTimeout(t *testing.T) {
	t.Parallel()
	seen := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]bool{0: true, time.Hour - 1: true, time.Hour: false, time.Hour + 1: false, -time.Second: true} {
		if got := live(seen, seen.Add(after), time.Hour); got != want {
			t.Errorf("after %v: live = %v, want %v", after, got, want)
		}
	}
}
