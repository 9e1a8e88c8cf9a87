// Package identity owns users, their passwords, sessions, feed tickets and notices. It knows nothing of HTTP, and of the bank only that a user has an
// account with a number.
//
// A user has at most one live session. The table has it, keyed by the user; each process keeps copies of those that it serves (see Authenticate),
// drops a copy when the feed tells that the session ended, and trusts none for longer than Options.refresh, unless the store is away.
package identity

import (
	"errors"
	"fmt"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
)

// Role is what a user may do.
type Role string

// The roles.
const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// AdminUsername is the name of the admin that the configuration makes. Nobody can register it.
const AdminUsername = "admin"

var (
	// ErrUsernameTaken refuses a registration.
	ErrUsernameTaken = errors.New("identity: the user name is taken")
	// ErrUnknownUsername refuses a sign-in: nobody has that name.
	ErrUnknownUsername = errors.New("identity: unknown user name")
	// ErrAlreadySignedIn refuses a sign-in with the right password: a session lives, and taking over was not asked for.
	ErrAlreadySignedIn = errors.New("identity: already signed in")
	// ErrUnauthenticated says that a token is not, or no longer, that of a live session.
	ErrUnauthenticated = errors.New("identity: no live session")
	// ErrTicket says that a feed ticket was used, is too old, or never was.
	ErrTicket = errors.New("identity: the ticket is not valid")
	// ErrBusy says that too many passwords are being hashed. Trying again in a few seconds may succeed.
	ErrBusy = errors.New("identity: too many passwords to hash")
)

// UsernameError says what is wrong with a user name, in words for its owner.
type UsernameError struct{ Message string }

func (e *UsernameError) Error() string { return "identity: user name: " + e.Message }

// WrongPasswordError refuses a sign-in. When no attempts are left, the user has just been locked.
type WrongPasswordError struct{ AttemptsLeft int }

func (e *WrongPasswordError) Error() string {
	return fmt.Sprintf("identity: wrong password, %d attempts left", e.AttemptsLeft)
}

// LockedError refuses a sign-in, whatever the password, before Until.
type LockedError struct{ Until time.Time }

func (e *LockedError) Error() string {
	return "identity: locked until " + e.Until.Format(time.RFC3339)
}

// User is a person with a name and a bank account.
type User struct {
	ID            id.ID
	Username      string // as it is shown: the display form of NormalizeUsername
	PasswordHash  string // read and written by this package only; see HashPassword
	Role          Role
	AccountNumber string // the bank's; not written by InsertUser
	CreatedAt     time.Time
}

// Session is a live session, as its owner's request found it.
type Session struct {
	ID            id.ID
	UserID        id.ID
	Username      string
	Role          Role
	AccountNumber string
	UserCreatedAt time.Time
	ExpiresAt     time.Time // if it is not used again
}

// SignedIn is what a sign-in gives.
type SignedIn struct {
	Session
	Token   string   // for the bearer; not kept
	Notices []Notice // those not delivered before, oldest first, at most MaxNotices
}

// Options are settings. Zero fields have the defaults that are named here.
type Options struct {
	IdleTimeout time.Duration    // a session not used for so long ends; 30 minutes
	LockFor     time.Duration    // sign-in is locked for so long after the third wrong password in a row; 5 minutes
	HashWait    time.Duration    // how long a request waits for its turn to hash before ErrBusy; 5 seconds
	Publisher   *feed.Publisher  // tells of ended sessions; none
	Now         func() time.Time // time.Now
}

func (o Options) withDefaults() Options {
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 30 * time.Minute
	}
	if o.LockFor <= 0 {
		o.LockFor = 5 * time.Minute
	}
	if o.HashWait <= 0 {
		o.HashWait = 5 * time.Second
	}
	if o.Publisher == nil {
		o.Publisher = feed.NewPublisher(nil, nil)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// refresh is how old a copy of a session may be before its row is read again, and how long a session's use may be unwritten: 15 s, which costs a query
// per session and quarter of a minute. It is less where the idle timeout is so short that 15 s would matter.
func (o Options) refresh() time.Duration { return min(15*time.Second, o.IdleTimeout/8) }

// Identity answers who somebody is. It is safe for concurrent use. Run keeps its house.
type Identity struct {
	db      *database.DB
	ids     *id.Generator
	clock   *lamport.Clock
	options Options
	hasher  *hasher
	copies  *copies
	outage  outage
}

// New returns the identities kept in db.
func New(db *database.DB, ids *id.Generator, clock *lamport.Clock, options Options) *Identity {
	options = options.withDefaults()
	return &Identity{db: db, ids: ids, clock: clock, options: options, hasher: newHasher(hashParams, options.HashWait), copies: newCopies(maxCopies)}
}

// now is the time as it is stored, to the microsecond.
func (i *Identity) now() time.Time { return i.options.Now().UTC().Truncate(time.Microsecond) }
