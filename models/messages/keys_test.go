package messages

import (
	"testing"
	"time"

	"guichet/models/operation"
	"guichet/models/problem"
)

// Keys that Redis has lost are known to the database alone, for as long as they are promised to be known.
func TestRemembersKeys(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		remembers := func(in time.Duration) bool {
			p.Helper()
			known, err := p.log.RemembersKeys(p.Context(), time.Now().Add(in))
			must(p, err)
			return known
		}
		if remembers(0) {
			p.Error("of a log that is not there")
		}
		p.posts(p.room(), 2) // the first that there are
		if !remembers(0) {
			p.Error("keys could have been used before there were messages")
		}
		p.storeAll()
		p.wipe()
		p.state()
		if remembers(0) || remembers(day-time.Minute) || !remembers(day) {
			p.Error("a log that was made beside messages that it knows no keys of")
		}
	})
}

// Who waits is told of offsets, which a Redis that was set back gives again: it is their message that the table must have.
func TestAwaitStoredOfAnother(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		posted, err := p.log.Post(p.Context(), draftIn(p.room(), "lost"))
		must(p, err)
		answer := make(chan error, 1)
		go func() { answer <- p.log.AwaitStored(p.Context(), &posted) }()
		eventually(p, p.log.watch.anybody)
		p.log.watch.note(posted.base, posted.Offset)
		if err := <-answer; !refused(err, problem.Unavailable) {
			p.Errorf("a message that the table does not have: %v", err)
		}
	})
}

// Redis knows what was posted with a key, today or yesterday, before the database does.
func TestPostedBefore(t *testing.T) {
	onAllPairs(t, func(p *pair) {
		draft := draftIn(p.room(), "once")
		draft.Key = keyOf(draft.UserID, "key", "request")
		look := func(key *operation.Key) (Posted, bool, error) {
			asked := *draft
			asked.Key = key
			return p.process().PostedBefore(p.Context(), &asked)
		}
		if _, found, err := look(draft.Key); found || err != nil {
			p.Errorf("before: found: %t, %v", found, err)
		}
		first, err := p.log.Post(p.Context(), draft)
		must(p, err)
		for _, when := range []string{"today", "yesterday"} {
			if got, found, err := look(draft.Key); err != nil || !found || !got.Replayed || got.Message != first.Message {
				p.Errorf("%s: found: %t, %v, %+v; want %+v", when, found, err, got, first)
			}
			if _, found, err := look(keyOf(draft.UserID, "key", "another")); !found || !refused(err, problem.IdempotencyKeyReused) {
				p.Errorf("%s, another request: found: %t, %v", when, found, err)
			}
			if _, found, err := look(keyOf(ids.Next(), "key", "request")); found || err != nil {
				p.Errorf("%s, somebody else: found: %t, %v", when, found, err)
			}
			if when == "today" {
				today := time.Now().UnixMilli() / day.Milliseconds()
				must(p, p.client.Rename(p.Context(), keysOf(today), keysOf(today-1)).Err())
			}
		}
	})
}
