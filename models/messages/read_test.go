package messages

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"guichet/models/chat"
	"guichet/models/feed"
	"guichet/models/id"
)

// What the feed asks: from the table, from the log, and across the two, also when the log has let go of much.
func TestBetween(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		rooms := []id.ID{p.room(), p.room()}
		var said []Message
		say := func(n int) {
			for i := range n {
				said = append(said, p.post(rooms[i%3/2], fmt.Sprint(i)))
			}
		}
		if head, err := p.log.Head(p.Context()); head != 0 || err != nil {
			p.Errorf("the head is %d, %v", head, err)
		}
		check := func(what string) {
			p.Helper()
			for after := range said {
				for _, until := range []int{after, after + 1, (after + len(said)) / 2, len(said) - 1} {
					for _, topics := range [][]string{nil, {"me", chat.Topic(rooms[1])}, {chat.Topic(rooms[0]), chat.Topic(rooms[1])}, {"me"}} {
						for _, limit := range []int{1, 3, 1000} {
							if until >= len(said) {
								continue
							}
							var want []Message
							for _, m := range said[after+1 : max(until, after)+1] {
								if (topics == nil || slices.Contains(topics, chat.Topic(m.Room))) && len(want) < limit {
									want = append(want, m)
								}
							}
							got, err := p.log.Between(p.Context(), said[after].Offset, said[until].Offset, topics, limit)
							must(p, err)
							p.wantEntries(fmt.Sprintf("%s: after %d until %d of %v, at most %d", what, after, until, topics, limit), got, want)
						}
					}
				}
			}
			p.wantEntries(what+": who follows", p.listen(said[0].Offset).hears(p, len(said)-1), said[1:])
		}
		say(6)
		check("in the log alone")
		p.storeAll()
		say(5)
		check("in both")
		must(p, p.client.XTrimMinID(p.Context(), logKey, entryID(said[5].Offset+1)).Err())
		check("partly in one, partly in the other")
		p.storeAll()
		must(p, p.client.XTrimMaxLen(p.Context(), logKey, 0).Err())
		say(1)
		check("nearly all let go of")
		p.storeAll()
		p.wipe()
		say(3)
		check("made anew")
		head, err := p.log.Head(p.Context())
		if err != nil || head != said[len(said)-1].Offset {
			p.Errorf("the head is %d, %v; want %d", head, err, said[len(said)-1].Offset)
		}
	})
}

// The log keeps the newest that the table has, and lets go of the others.
func TestTrim(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		text := strings.Repeat("x", 100)
		for range 26 {
			together(500, func(int) {
				if _, err := p.log.Post(p.Context(), draftIn(room, text)); err != nil {
					p.Error(err)
				}
			})
		}
		p.storeAll()
		entries, err := p.client.XRangeN(p.Context(), logKey, "-", "+", 1).Result()
		must(p, err)
		batches, err := decodeAll(entries, nil)
		must(p, err)
		if s := p.state(); s.offset-batches[0].first() > kept+2*mostTogether || s.offset-batches[0].first() < kept-1 {
			p.Errorf("the log has all from %d to %d", batches[0].first(), s.offset)
		}
		rows := p.table()
		p.wantEntries("who follows from the start", p.listen(rows[0].Offset-1).hears(p, len(rows)), rows)
	})
}

// Pages of a room's history, forward and back, from everywhere, wherever the border between table and log is.
func TestHistory(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room, other := p.room(), p.room()
		var said []Message
		say := func(n int) {
			for range n {
				p.post(other, "noise")
				said = append(said, p.post(room, "x"))
			}
		}
		check := func(what string) {
			p.Helper()
			n := int64(len(said))
			for _, limit := range []int{1, 2, 5, 200} {
				for from := int64(0); from <= n+2; from++ {
					var back, forward []Message
					for _, m := range slices.Backward(said) {
						if (from == 0 || m.Sequence < from) && len(back) < limit {
							back = append(back, m)
						}
					}
					for _, m := range said {
						if m.Sequence > from && len(forward) < limit {
							forward = append(forward, m)
						}
					}
					for _, f := range []bool{false, true} {
						got, err := p.log.History(p.Context(), Page{Room: room, Forward: f, From: from, Limit: limit})
						must(p, err)
						want := back
						if f {
							want = forward
						}
						p.wantSame(fmt.Sprintf("%s: from %d, forward %t, at most %d", what, from, f, limit), got, want)
					}
				}
			}
			for i := range said {
				got, err := p.log.Get(p.Context(), room, said[i].ID())
				if err != nil || got != said[i] {
					p.Fatalf("%s: %+v, %v; want %+v", what, got, err, said[i])
				}
			}
		}
		check("empty")
		say(6)
		check("in the log alone")
		p.storeAll()
		check("in both")
		say(4)
		check("partly in the log alone")
		must(p, p.client.XTrimMinID(p.Context(), logKey, entryID(said[6].Offset-1)).Err())
		check("what the table has is let go of")
		p.storeAll()
		p.wipe()
		check("made anew")
		say(3)
		check("and on")
		m := said[0]
		for _, named := range []struct {
			room, message id.ID
		}{{other, m.ID()}, {room, ids.Next()}, {room, id.ID{}}, {room, m.ID().WithIndex(0xfe)}, {ids.Next(), m.ID()}} {
			if got, err := p.log.Get(p.Context(), named.room, named.message); err != ErrUnknown { //nolint:errorlint // it is not wrapped
				p.Errorf("%v: %+v, %v", named, got, err)
			}
		}
	})
}

// While Redis is away nothing is taken, and whoever posts is told soon.
func TestRedisAway(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		room := p.room()
		p.post(room, "first")
		away := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true, MaxRetries: -1})
		defer away.Close() //nolint:errcheck // nothing was opened
		p.log.client = away
		together(5, func(int) {
			if _, err := p.log.Post(p.Context(), draftIn(room, "nobody hears")); err == nil {
				p.Error("it was taken")
			}
		})
		if err := p.log.Follow(p.Context(), 0, func([]feed.Entry) {}); err == nil {
			p.Error("it was followed")
		}
		p.log.client = p.client
		if m := p.post(room, "again"); m.Sequence != 2 {
			p.Errorf("%+v", m)
		}
	})
}
