package chat

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
)

// How long somebody may be away before they have left: at least a second, so that a connection can be made again.
const (
	MinGrace = time.Second
	MaxGrace = time.Hour
)

// longestBeat is the longest pause between two writings of who is there.
const longestBeat = 3 * time.Second

// Presence is who was seen in rooms, and when. It is kept in Redis, by one clock: that of the server which has the keys, which share a hash tag.
//
//	{chat}:seen:ROOM  sorted set: users by when they were last seen there, in milliseconds; those not seen for long are dropped
//	{chat}:watch      hash: when Redis was last written to or asked (at), and since when that was never long ago (since)
//
// A Redis that was away, wiped or set back knows nothing of who was there meanwhile: then since is when it was found so, and nobody is taken for gone before a grace
// period from there is over. No key's time to live decides who is gone.
type Presence struct {
	client redis.UniversalClient
	grace  time.Duration
}

// NewPresence returns the presence in a Redis, with a grace period from MinGrace to MaxGrace that is the same for all processes.
func NewPresence(client redis.UniversalClient, grace time.Duration) *Presence {
	return &Presence{client, grace}
}

// Beat is how often those who are there are to be written down. What is noted between two beats may be lost to those who look, for a beat.
func (p *Presence) Beat() time.Duration { return min(p.grace/4, longestBeat) }

// watchScript takes note that Redis is there, and returns its time and since when it has been all along. Its argument is how long it may go without, in milliseconds.
var watchScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at = tonumber(redis.call('HGET', KEYS[1], 'at'))
local since = tonumber(redis.call('HGET', KEYS[1], 'since'))
if not at or not since or now < at or now - at > tonumber(ARGV[1]) then
	since = now
	redis.call('HSET', KEYS[1], 'since', string.format('%.0f', since))
end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now))
return {now, since}`)

const watchKey = "{chat}:watch"

func seenKey(room id.ID) string { return "{chat}:seen:" + RoomText(room) }

// watch returns the time and since when Redis has been there, in milliseconds since 1970.
func (p *Presence) watch(ctx context.Context) (now, since int64, err error) {
	answer, err := watchScript.Run(ctx, p.client, []string{watchKey}, (p.grace / 2).Milliseconds()).Int64Slice()
	if err == nil && len(answer) != 2 {
		err = fmt.Errorf("chat: Redis has answered %v", answer)
	}
	if err != nil {
		return 0, 0, err
	}
	return answer[0], answer[1], nil
}

// keepSeen is for how long Redis keeps a room that nobody is seen in any more.
const keepSeen = 2 * MaxGrace

// seenAtOnce bounds the users of one command.
const seenAtOnce = 1000

// Seen writes down that users are in rooms now.
func (p *Presence) Seen(ctx context.Context, users map[id.ID][]id.ID) error {
	now, _, err := p.watch(ctx)
	if err != nil || len(users) == 0 {
		return err
	}
	_, err = p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for room, all := range users {
			for some := range slices.Chunk(all, seenAtOnce) {
				seen := make([]redis.Z, len(some))
				for i := range some {
					seen[i] = redis.Z{Score: float64(now), Member: some[i][:]}
				}
				pipe.ZAdd(ctx, seenKey(room), seen...)
			}
			pipe.Expire(ctx, seenKey(room), keepSeen)
		}
		return nil
	})
	return err
}

// Present says which of the users were seen in a room within the last two beats.
func (p *Presence) Present(ctx context.Context, room id.ID, users []id.ID) ([]bool, error) {
	present := make([]bool, len(users))
	if len(users) == 0 {
		return present, nil
	}
	now, _, err := p.watch(ctx)
	if err != nil {
		return nil, err
	}
	members := make([]string, len(users))
	for i := range users {
		members[i] = string(users[i][:])
	}
	seen, err := p.client.ZMScore(ctx, seenKey(room), members...).Result()
	if err == nil && len(seen) != len(users) {
		err = fmt.Errorf("chat: Redis has answered about %d of %d users", len(seen), len(users))
	}
	if err != nil {
		return nil, err
	}
	for i := range present {
		present[i] = now-int64(seen[i]) <= (2 * p.Beat()).Milliseconds()
	}
	return present, nil
}

// Gone returns those of the members who were seen nowhere in their rooms for longer than the grace period, and the beat that may not have been written. The members are
// to have been read before: who entered since is not among them, and who said so again was seen before that was committed.
func (p *Presence) Gone(ctx context.Context, members []Member) ([]Member, error) {
	now, since, err := p.watch(ctx)
	if err != nil || len(members) == 0 {
		return nil, err
	}
	latest := now - (p.grace + p.Beat()).Milliseconds() // who was seen at that time or later is not gone
	seen, err := p.seenSince(ctx, roomsOf(members), latest)
	if err != nil || since > latest {
		return nil, err
	}
	var gone []Member
	for i := range members {
		m := &members[i]
		if !seen[m.Room][m.User] && m.EnteredAt.UnixMilli() < latest {
			gone = append(gone, *m)
		}
	}
	return gone, nil
}

// seenSince reads who was seen in rooms at a time or later, and drops the others.
func (p *Presence) seenSince(ctx context.Context, rooms []id.ID, since int64) (map[id.ID]map[id.ID]bool, error) {
	answers := make([]*redis.StringSliceCmd, len(rooms))
	least := strconv.FormatInt(since, 10)
	_, err := p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, room := range rooms {
			pipe.ZRemRangeByScore(ctx, seenKey(room), "-inf", "("+least)
			answers[i] = pipe.ZRange(ctx, seenKey(room), 0, -1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	seen := make(map[id.ID]map[id.ID]bool, len(rooms))
	for i, room := range rooms {
		users := answers[i].Val()
		seen[room] = make(map[id.ID]bool, len(users))
		for _, user := range users {
			if len(user) == len(id.ID{}) {
				seen[room][id.ID([]byte(user))] = true
			}
		}
	}
	return seen, nil
}

// roomsOf are the rooms of members who are in the order of AllMembers.
func roomsOf(members []Member) (rooms []id.ID) {
	for i := range members {
		if i == 0 || members[i].Room != members[i-1].Room {
			rooms = append(rooms, members[i].Room)
		}
	}
	return rooms
}
