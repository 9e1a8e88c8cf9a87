package main

import (
	"net/http"
	"testing"
	"time"
)

// What tests look at of the resources of rooms.
type (
	room struct {
		ID, Name, Topic string
		Event, Symbol   *string
	}
	member struct {
		Room, User string
		EnteredAt  time.Time `json:"entered_at"`
		Present    bool
	}
	restriction struct {
		Room, User string
		MutedUntil *time.Time `json:"muted_until"`
		Banned     bool
	}
	// comingOrGoing is what member.entered and member.left tell.
	comingOrGoing struct {
		Room, User, Reason string
		UserID             string     `json:"user_id"`
		EnteredAt          *time.Time `json:"entered_at"`
	}
)

// open opens a room.
func (c *client) open(definition map[string]any) (r room) {
	c.Helper()
	c.post("/v1/rooms", definition).into(c, http.StatusCreated, &r)
	return r
}

func (c *client) tryEnter(room string) answer {
	c.Helper()
	return c.do(http.MethodPut, "/v1/rooms/"+room+"/members/me", nil)
}

func (c *client) enter(room string) (m member) {
	c.Helper()
	c.tryEnter(room).into(c, http.StatusOK, &m)
	return m
}

func (c *client) leave(room string) {
	c.Helper()
	c.do(http.MethodDelete, "/v1/rooms/"+room+"/members/me", nil).expect(c, http.StatusNoContent)
}

// members are the members of a room.
func (c *client) members(room string) []member {
	c.Helper()
	return allOf[member](c, "/v1/rooms/"+room+"/members?limit=200")
}

func (c *client) kick(room string, who *client) answer {
	c.Helper()
	return c.do(http.MethodDelete, "/v1/rooms/"+room+"/members/"+who.username, nil)
}

// moderate changes what somebody may not do in a room.
func (c *client) moderate(room string, who *client, change map[string]any) (r restriction) {
	c.Helper()
	c.do(http.MethodPatch, "/v1/rooms/"+room+"/restrictions/"+who.username, change).into(c, http.StatusOK, &r)
	return r
}

// followRoom follows a room.
func (c *client) followRoom(room string) *feedReader {
	c.Helper()
	return c.follow("?topics=room:" + room).ready()
}

// sees waits for what is told of somebody, and fails the test if anything is told before it of somebody else.
func (f *feedReader) sees(t testing.TB, event string, who *client, reason string) comingOrGoing {
	t.Helper()
	entries := f.until(func(e feedEntry) bool { return e.Event == event })
	last := decode[comingOrGoing](t, entries[len(entries)-1])
	if last.User != who.username || last.Reason != reason || last.UserID == "" {
		t.Errorf("told of %+v, want %s %s %s", last, event, who.username, reason)
	}
	return last
}

// count is how many entries of an event about somebody the feed has had.
func (f *feedReader) count(t testing.TB, event string, who *client) (n int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, told := range ofEvent[comingOrGoing](t, f.entries, event) {
		if told.User == who.username {
			n++
		}
	}
	return n
}
