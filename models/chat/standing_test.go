package chat

import (
	"encoding/json"
	"testing"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/problem"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	muted, over := Restriction{MutedUntil: now.Add(time.Microsecond)}, Restriction{MutedUntil: now}
	for name, c := range map[string]struct {
		standing                 Standing
		read, takePart, speaking problem.Code
	}{
		"nobody":               {Standing{}, "", problem.NotAMember, problem.NotAMember},
		"a member":             {Standing{Member: true}, "", "", ""},
		"muted":                {Standing{Member: true, Restriction: muted}, "", "", problem.Muted},
		"muted, and not in":    {Standing{Restriction: muted}, "", problem.NotAMember, problem.NotAMember},
		"no longer muted":      {Standing{Member: true, Restriction: over}, "", "", ""},
		"banned":               {Standing{Restriction: Restriction{Banned: true}}, problem.Banned, problem.Banned, problem.Banned},
		"banned, but a member": {Standing{Member: true, Restriction: Restriction{MutedUntil: muted.MutedUntil, Banned: true}}, problem.Banned, problem.Banned, problem.Banned},
		"without a ticket":     {Standing{Member: true, NoTicket: true}, problem.TicketRequired, problem.TicketRequired, problem.TicketRequired},
	} {
		for need, want := range map[Need]problem.Code{ToRead: c.read, ToTakePart: c.takePart, ToSpeak: c.speaking} {
			got := problem.Code("")
			if refusal := c.standing.Refusal(need, now); refusal != nil {
				got = refusal.Code
			}
			if got != want {
				t.Errorf("%s, need %d: %q, want %q", name, need, got, want)
			}
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	for name, c := range map[string]struct {
		before Restriction
		change Change
		after  Restriction
	}{
		"mute":                        {Restriction{}, mute(later), Restriction{MutedUntil: later}},
		"mute until now":              {Restriction{}, mute(now), Restriction{}},
		"unmute":                      {Restriction{MutedUntil: later, Banned: true}, mute(time.Time{}), Restriction{Banned: true}},
		"ban who is muted":            {Restriction{MutedUntil: later}, ban(true), Restriction{MutedUntil: later, Banned: true}},
		"lift a ban":                  {Restriction{MutedUntil: later, Banned: true}, ban(false), Restriction{MutedUntil: later}},
		"nothing, and a mute is over": {Restriction{MutedUntil: now}, Change{}, Restriction{}},
	} {
		if got := c.change.Apply(c.before, now); got != c.after {
			t.Errorf("%s: %+v, want %+v", name, got, c.after)
		}
	}
}

func TestRoomTexts(t *testing.T) {
	t.Parallel()
	room := id.NewGenerator().Next()
	for _, r := range []id.ID{Lobby, room} {
		if got, err := ParseRoom(RoomText(r)); err != nil || got != r {
			t.Errorf("%s is read as %s, %v", RoomText(r), got, err)
		}
	}
	for _, text := range []string{"", "Lobby", "lobby ", "x", room.String() + "0"} {
		if _, err := ParseRoom(text); err == nil {
			t.Errorf("%q is a room", text)
		}
	}
}

// What is told of somebody's standing is read as it was meant; and nothing else is.
func TestEntriesAreRead(t *testing.T) {
	t.Parallel()
	g := id.NewGenerator()
	m := Member{Room: Lobby, User: g.Next(), Username: "ada", EnteredAt: time.UnixMicro(5).UTC(), Lamport: 7}
	until := time.UnixMicro(9).UTC()
	for want, e := range map[change]feed.Entry{
		{room: Lobby, user: m.User, event: feed.MemberEntered}:                                           m.entered(),
		{room: Lobby, user: m.User, event: feed.MemberLeft}:                                              m.left(Gone, until, 8),
		{room: Lobby, user: m.User, event: feed.MemberRestricted, restriction: Restriction{until, true}}: restricted(Lobby, Person{ID: m.User, Name: "ada"}, Restriction{until, true}, until, 9),
	} {
		if got, ok := changeOf(&e); !ok || got != want {
			t.Errorf("%s is read as %+v", e.Data, got)
		}
	}
	left := m.left(Gone, until, 8)
	if got, want := string(left.Data), `{"room":"lobby","user":"ada","user_id":"`+m.User.String()+`","reason":"gone"}`; got != want || left.Topic != "room:lobby" {
		t.Errorf("%s: %s", left.Topic, got)
	}
	for _, e := range []feed.Entry{
		{Topic: "room:lobby", Event: feed.MessagePosted, Data: left.Data}, {Topic: "user:x", Event: feed.MemberLeft, Data: left.Data}, {Topic: "room:x", Event: feed.MemberLeft, Data: left.Data},
		{Topic: "room:lobby", Event: feed.MemberLeft, Data: json.RawMessage(`{`)}, {Topic: "room:lobby", Event: feed.MemberLeft, Data: json.RawMessage(`{}`)},
	} {
		if got, ok := changeOf(&e); ok {
			t.Errorf("%+v is read as %+v", e, got)
		}
	}
}
