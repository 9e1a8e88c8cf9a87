package identity

import "time"

// MaxWrongPasswords is how many wrong passwords in a row lock sign-in.
const MaxWrongPasswords = 3

// attempts is what is remembered of a user's wrong passwords.
type attempts struct {
	wrong       int       // in a row, since the last right one or the last lock
	lockedUntil time.Time // zero or past: not locked
}

// judge says what becomes of an attempt, and of the memory: nil, a *WrongPasswordError or a *LockedError.
// The password counts for nothing while the lock lasts; when it has passed, the count starts anew.
func (a attempts) judge(right bool, now time.Time, lockFor time.Duration) (attempts, error) {
	switch {
	case now.Before(a.lockedUntil):
		return a, &LockedError{Until: a.lockedUntil}
	case right:
		return attempts{}, nil
	case a.wrong+1 >= MaxWrongPasswords:
		return attempts{lockedUntil: now.Add(lockFor)}, &WrongPasswordError{AttemptsLeft: 0}
	default:
		return attempts{wrong: a.wrong + 1}, &WrongPasswordError{AttemptsLeft: MaxWrongPasswords - a.wrong - 1}
	}
}

// live says whether a session that was last used at lastSeen still lives.
func live(lastSeen, now time.Time, idleTimeout time.Duration) bool {
	return now.Before(lastSeen.Add(idleTimeout))
}

// Why a session ended, as the entry session.ended says.
const (
	signedOut       = "signed_out"
	takenOver       = "taken_over"
	wasIdle         = "idle"
	passwordChanged = "password_changed"
)
