package events

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
)

//go:embed scripts/*.lua
var sources embed.FS

// The scripts. What they share is put before each.
var (
	reserveScript     = script{redis.NewScript("local function library()\n" + source("common", "room") + "return expire, finish, enter, count\nend\n" + source("reserve"))}
	reserveManyScript = newScript("reserve_many")
	releaseScript     = newScript("release")
	expireScript      = newScript("room", "expire")
	claimScript       = newScript("claim")
	settleScript      = newScript("settle")
	syncedScript      = newScript("synced")
	loadScript        = newScript("load")
	yieldScript       = newScript("yield")
	mendScript        = newScript("mend")
	placeScript       = newScript("room", "place")
	setRoomScript     = newScript("room", "room_set")
	forgetScript      = newScript("forget")
)

// script is run by its hash, and sent whole only to a Redis that does not know it yet.
type script struct{ *redis.Script }

func newScript(parts ...string) script {
	return script{redis.NewScript(source("common") + source(parts...))}
}

// source is files one after the other.
func source(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		text, err := sources.ReadFile("scripts/" + part + ".lua")
		if err != nil {
			panic(err) // the program was built without it
		}
		b.Write(text)
	}
	return b.String()
}

// run runs the script on the keys of an event. Its first argument is the time.
func (s script) run(ctx context.Context, client redis.Scripter, keys []string, now time.Time, arguments ...any) *redis.Cmd {
	return s.Run(ctx, client, keys, append([]any{milliText(now)}, arguments...)...)
}

// milliText is a time as scripts read it.
func milliText(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// keys is what the names of an event's keys begin with.
type keys string

func keysOf(event id.ID) keys { return keys("event:{" + event.String() + "}:") }

func (k keys) hall() string         { return string(k) + "hall" }
func (k keys) text() string         { return string(k) + "map" }
func (k keys) tickets() string      { return string(k) + "tickets" }
func (k keys) reservations() string { return string(k) + "reservations" }
func (k keys) holds() string        { return string(k) + "holds" }
func (k keys) users() string        { return string(k) + "users" }
func (k keys) unsynced() string     { return string(k) + "unsynced" }
func (k keys) waiting() string      { return string(k) + "waiting" }
func (k keys) admitted() string     { return string(k) + "admitted" }
func (k keys) loading() string      { return string(k) + "loading" }

// made is where the idempotency keys of a day are.
func (k keys) made(day int64) string { return string(k) + "keys:" + strconv.FormatInt(day, 10) }

// all are the keys that every script takes, in the order in which it takes them.
func (k keys) all(others ...string) []string {
	return append([]string{k.hall(), k.text(), k.tickets(), k.reservations(), k.holds(), k.users(), k.unsynced(), k.waiting(), k.admitted()}, others...)
}

// reply is what a script has answered: texts and numbers one after the other.
type reply struct {
	rest []any
	err  error
}

func replyOf(cmd *redis.Cmd) *reply {
	rest, err := cmd.Slice()
	return &reply{rest, err}
}

func (r *reply) next() any {
	if len(r.rest) == 0 {
		r.fail("is short")
		return nil
	}
	next := r.rest[0]
	r.rest = r.rest[1:]
	return next
}

func (r *reply) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: the answer of a script %s", ErrMalformed, why)
	}
	r.rest = nil
}

func (r *reply) text() string {
	text, ok := r.next().(string)
	if !ok {
		r.fail("has no text where one should be")
	}
	return text
}

// number reads an integer, also one that was written as a text because it is stored as one.
func (r *reply) number() int64 {
	switch v := r.next().(type) {
	case int64:
		return v
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	r.fail("has no number where one should be")
	return 0
}
