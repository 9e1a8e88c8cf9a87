package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/problem"
)

// as is the context of a call by a new user.
func (c *counter) as(name string, role identity.Role) context.Context {
	c.t.Helper()
	user := identity.User{ID: c.IDs.Next(), Username: name, Role: role, CreatedAt: time.Now()}
	must(c.t, c.DB.Write(c.t.Context(), func(tx database.Tx) error { return identity.InsertUser(tx, user) }))
	return withCall(c.t.Context(), &call{session: &identity.Session{ID: c.IDs.Next(), UserID: user.ID, Username: name, Role: role}})
}

func (c *counter) enters(ctx context.Context) {
	c.t.Helper()
	_, err := c.EnterRoom(ctx, api.EnterRoomRequestObject{Id: "lobby"})
	must(c.t, err)
}

func (c *counter) moderates(ctx context.Context, name string, change api.MemberChange) {
	c.t.Helper()
	_, err := c.ModerateMember(ctx, api.ModerateMemberRequestObject{Id: "lobby", Username: name, Body: &change})
	must(c.t, err)
}

// refuses expects what each need is refused with; empty for nothing.
func (c *counter) refuses(ctx context.Context, read, takePart, speak problem.Code) {
	c.t.Helper()
	for may, want := range map[*func(context.Context, string) (id.ID, error)]problem.Code{new(c.admitted): read, new(c.entered): takePart, new(c.speaking): speak} {
		room, err := (*may)(ctx, "lobby")
		var refusal *problem.Problem
		switch {
		case want == "" && (err != nil || room != chat.Lobby):
			c.t.Errorf("refused: %v", err)
		case want != "" && (!errors.As(err, &refusal) || refusal.Code != want):
			c.t.Errorf("refused with %v, want %s", err, want)
		}
	}
}

// What is decided holds for the next call here, before the feed has told anything: its hub does not run.
func TestWhoMaySpeak(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		admin, ada := c.as("root", identity.RoleAdmin), c.as("ada", identity.RoleUser)
		c.refuses(ada, "", problem.NotAMember, problem.NotAMember)
		c.enters(ada)
		c.refuses(ada, "", "", "")
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		quiet, err := json.Marshal(until)
		must(t, err)
		c.moderates(admin, "ADA", api.MemberChange{MutedUntil: quiet})
		c.refuses(ada, "", "", problem.Muted)
		if _, err := c.speaking(ada, "lobby"); !strings.Contains(err.Error(), until.Format(time.RFC3339)) {
			t.Errorf("it does not say until when: %v", err)
		}
		c.moderates(admin, "ada", api.MemberChange{MutedUntil: json.RawMessage("null")})
		c.refuses(ada, "", "", "")
		_, err = c.KickMember(admin, api.KickMemberRequestObject{Id: "lobby", Username: "ada"})
		must(t, err)
		c.refuses(ada, "", problem.NotAMember, problem.NotAMember)
		c.enters(ada)
		c.moderates(admin, "ada", api.MemberChange{Banned: new(true)})
		c.refuses(ada, problem.Banned, problem.Banned, problem.Banned)
		c.moderates(admin, "ada", api.MemberChange{Banned: new(false)})
		c.refuses(ada, "", problem.NotAMember, problem.NotAMember)

		// Another process lets her in, of which nobody has told here yet.
		room, err := c.rooms.Room(t.Context(), chat.Lobby)
		must(t, err)
		must(t, c.DB.Write(t.Context(), func(tx database.Tx) error {
			_, entries, err := chat.Enter(tx, c.Clock, &room, caller(ada), time.Now())
			if err != nil {
				return err
			}
			return feed.Append(tx, entries)
		}))
		c.refuses(ada, "", "", "")
	})
}

// Who may speak is known without a question to anybody.
func TestWhoMaySpeakIsRemembered(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		ada, bob := c.as("ada", identity.RoleUser), c.as("bob", identity.RoleUser)
		c.enters(ada)
		c.refuses(ada, "", "", "")
		must(t, c.DB.Close())
		c.refuses(ada, "", "", "")
		if _, err := c.speaking(bob, "lobby"); err == nil {
			t.Error("who is no member may speak")
		}
		began := time.Now()
		const calls = 20_000
		for range calls {
			if _, err := c.speaking(ada, "lobby"); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%v a call", time.Since(began)/calls)
	})
}
