package handlers

import (
	"slices"
	"sync"

	"guichet/models/id"
)

// mostStreams bounds the streams that one session has open on one process: what waits for each of them is memory.
const mostStreams = 20

// roomWatch is told which users follow which rooms on this process: once for each stream, when it begins and when it has ended. It must not block.
type roomWatch interface {
	opened(rooms []id.ID, user id.ID)
	closed(rooms []id.ID, user id.ID)
}

// openStreams are the streams of this process.
type openStreams struct {
	mu        sync.Mutex
	bySession map[id.ID]int
	byUser    map[id.ID][]*openStream
	closed    int64 // how often closeTopic was called
}

// openStream is what others may know of a stream.
type openStream struct {
	session, user id.ID
	topics        []string
	ended         bool
	// Both are of openStreams.mu, and change when the fan-out takes the stream over.
	end   func()
	check func() // ends the stream if its reader is gone; nil if that is noticed at once
}

func newOpenStreams() openStreams {
	return openStreams{bySession: map[id.ID]int{}, byUser: map[id.ID][]*openStream{}}
}

// enter counts one more, unless there are too many, which is nil: looking and counting are one step, or two that come at once would both find room for one.
func (o *openStreams) enter(session, user id.ID, topics []string, end func()) *openStream {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bySession[session] >= mostStreams {
		return nil
	}
	o.bySession[session]++
	stream := &openStream{session: session, user: user, topics: topics, end: end}
	o.byUser[user] = append(o.byUser[user], stream)
	return stream
}

func (o *openStreams) leave(stream *openStream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bySession[stream.session]--; o.bySession[stream.session] == 0 {
		delete(o.bySession, stream.session)
	}
	others := slices.DeleteFunc(o.byUser[stream.user], func(other *openStream) bool { return other == stream })
	if o.byUser[stream.user] = others; len(others) == 0 {
		delete(o.byUser, stream.user)
	}
}

// passOn has other ways to end a stream and to check it from now on, unless it is to end already.
func (o *openStreams) passOn(stream *openStream, end, check func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	stream.end, stream.check = end, check
	return !stream.ended
}

// check ends those of a user's streams whose readers are gone.
func (o *openStreams) check(user id.ID) {
	var checks []func()
	o.mu.Lock()
	for _, stream := range o.byUser[user] {
		if stream.check != nil {
			checks = append(checks, stream.check)
		}
	}
	o.mu.Unlock()
	for _, check := range checks {
		check()
	}
}

// closeTopic ends the streams of a user that follow a topic: who may not be there any more is told nothing more of it.
func (o *openStreams) closeTopic(user id.ID, topic string) {
	var ends []func()
	o.mu.Lock()
	o.closed++
	for _, stream := range o.byUser[user] {
		if slices.Contains(stream.topics, topic) {
			stream.ended = true
			ends = append(ends, stream.end)
		}
	}
	o.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

// closings is how often streams were closed so. Who has looked whether a user may follow a topic looks again if it has changed when the stream is known here.
func (o *openStreams) closings() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}
