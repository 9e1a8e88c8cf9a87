package identity

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/feed"
)

// sessionModel is what two processes and one user should amount to.
type sessionModel struct {
	f         *fixture
	processes []*Identity
	user      User

	live        *modelSession
	dead        []*modelSession
	wrong       int
	lockedUntil time.Time
}

type modelSession struct {
	SignedIn
	lastUse time.Time
	endedAt time.Time
	knownTo [2]bool // which processes know that it ended
}

func TestSessionsFollowThePlainModel(t *testing.T) {
	onBothStores(t, func(t *testing.T, f *fixture) {
		processes := []*Identity{f.process(), f.process()}
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			m := &sessionModel{f: f, processes: processes, user: f.register(t, processes[0], fmt.Sprintf("user%d", n))}
			defer m.signOutEverybody(t) // also when rapid gives up in the middle, so that the next check finds nothing
			rt.Repeat(map[string]func(*rapid.T){
				"sign in": m.signIn, "use": m.use, "use an ended one": m.useEnded, "sign out": m.signOut,
				"time passes": m.pass, "end idle ones": m.expire, "feed": m.tell, "": func(*rapid.T) {},
			})
		})
	})
}

func (m *sessionModel) signOutEverybody(t *testing.T) {
	if m.live != nil {
		must(t, m.processes[0].SignOut(t.Context(), m.live.Session))
	}
}

func (m *sessionModel) process(rt *rapid.T) int { return rapid.IntRange(0, 1).Draw(rt, "process") }

func (m *sessionModel) idle() bool {
	return !m.f.time.Now().Before(m.live.lastUse.Add(30 * time.Minute))
}

func (m *sessionModel) end(knownTo int) {
	m.live.endedAt = m.f.time.Now()
	m.live.knownTo[knownTo] = true
	m.dead = append(m.dead, m.live)
	m.live = nil
}

func (m *sessionModel) signIn(rt *rapid.T) {
	p, takeOver, now := m.process(rt), rapid.Bool().Draw(rt, "take over"), m.f.time.Now()
	right := rapid.IntRange(0, 3).Draw(rt, "right unless 0") > 0
	password := rightPassword
	if !right {
		password = wrongPassword
	}
	signedIn, err := m.processes[p].SignIn(rt.Context(), m.user.Username, password, takeOver, nil)
	var wrong *WrongPasswordError
	var locked *LockedError
	if now.Before(m.lockedUntil) {
		if !errors.As(err, &locked) || !locked.Until.Equal(m.lockedUntil) {
			rt.Fatalf("%v, want a lock until %v", err, m.lockedUntil)
		}
		return
	}
	if !right {
		m.wrong++
		if !errors.As(err, &wrong) || wrong.AttemptsLeft != 3-m.wrong {
			rt.Fatalf("%v, want %d attempts left", err, 3-m.wrong)
		}
		if m.wrong == 3 {
			m.wrong, m.lockedUntil = 0, now.Add(5*time.Minute)
		}
		return
	}
	m.wrong = 0
	if m.live != nil && !m.idle() && !takeOver {
		if !errors.Is(err, ErrAlreadySignedIn) {
			rt.Fatalf("%v, want ErrAlreadySignedIn", err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	if m.live != nil {
		m.end(p)
	}
	m.live = &modelSession{SignedIn: signedIn, lastUse: now}
}

func (m *sessionModel) use(rt *rapid.T) {
	if m.live == nil {
		rt.Skip("nobody is signed in")
	}
	p := m.process(rt)
	session, err := m.processes[p].Authenticate(rt.Context(), m.live.Token)
	if m.idle() {
		if !errors.Is(err, ErrUnauthenticated) {
			rt.Fatalf("idle since %v: %v", m.live.lastUse, err)
		}
		return
	}
	if err != nil || session.ID != m.live.ID {
		rt.Fatalf("used %v ago: %v", m.f.time.Now().Sub(m.live.lastUse), err)
	}
	m.live.lastUse = m.f.time.Now()
}

func (m *sessionModel) useEnded(rt *rapid.T) {
	if len(m.dead) == 0 {
		rt.Skip("none has ended")
	}
	p, session := m.process(rt), rapid.SampledFrom(m.dead).Draw(rt, "session")
	_, err := m.processes[p].Authenticate(rt.Context(), session.Token)
	known := session.knownTo[p] || m.f.time.Now().Sub(session.endedAt) >= 15*time.Second
	if known && !errors.Is(err, ErrUnauthenticated) {
		rt.Fatalf("ended %v ago: %v", m.f.time.Now().Sub(session.endedAt), err)
	}
}

func (m *sessionModel) signOut(rt *rapid.T) {
	if m.live == nil {
		rt.Skip("nobody is signed in")
	}
	p := m.process(rt)
	if err := m.processes[p].SignOut(rt.Context(), m.live.Session); err != nil {
		rt.Fatal(err)
	}
	m.end(p)
}

// pass lets time pass as it does: every process flushes in time.
func (m *sessionModel) pass(rt *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Second, 14 * time.Second, 15 * time.Second, 5 * time.Minute, 29 * time.Minute, 30*time.Minute - time.Microsecond, 30 * time.Minute}).Draw(rt, "time")
	for d > 0 {
		step := min(d, 15*time.Second)
		m.f.time.advance(step)
		d -= step
		for _, process := range m.processes {
			if err := process.Flush(rt.Context()); err != nil {
				rt.Fatal(err)
			}
		}
	}
}

func (m *sessionModel) expire(rt *rapid.T) {
	p := m.process(rt)
	n, err := m.processes[p].ExpireSessions(rt.Context())
	if err != nil {
		rt.Fatal(err)
	}
	want := 0
	if m.live != nil && m.idle() {
		want = 1
		m.end(p)
	}
	if n != want {
		rt.Fatalf("%d sessions were ended, want %d", n, want)
	}
}

func (m *sessionModel) tell(rt *rapid.T) {
	entries, err := feed.NewLog(m.f.db).Between(rt.Context(), 0, 1<<40, []string{feed.UserTopic(m.user.ID)}, 1000)
	if err != nil {
		rt.Fatal(err)
	}
	if len(entries) != len(m.dead) {
		rt.Fatalf("%d ends are told, want %d", len(entries), len(m.dead))
	}
	for k, e := range entries {
		if _, session := readEnding(rt, e); session != m.dead[k].ID {
			rt.Fatalf("end %d is of %v, want %v", k, session, m.dead[k].ID)
		}
		m.dead[k].knownTo = [2]bool{true, true}
	}
	for _, process := range m.processes {
		process.Published(entries)
	}
}
