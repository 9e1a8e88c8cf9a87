package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"guichet/api"
	"guichet/models/exchange"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/problem"
)

const (
	// heartbeat keeps proxies from closing a quiet stream.
	heartbeat = 15 * time.Second
	// writePatience is how long one write may take before the reader is cut off. It resumes from where it was.
	writePatience = 10 * time.Second
	// mostStreams bounds the streams that one session has open on one process: what waits for each of them is memory.
	mostStreams = 20
	// backlogPage is how many entries of the past are read at once.
	backlogPage = 500
)

// GetFeed opens a stream. What can be refused is refused before the first byte: here, but for one stream too many.
func (s *Server) GetFeed(ctx context.Context, request api.GetFeedRequestObject) (api.GetFeedResponseObject, error) {
	stream := &stream{Server: s, ctx: ctx, session: *sessionOf(ctx)}
	var err error
	if stream.topics, err = s.resolveTopics(ctx, &stream.session, request.Params.Topics); err != nil {
		return nil, err
	}
	last := request.Params.LastEventID
	if last == nil {
		last = request.Params.LastEventId
	}
	if last == nil || *last == "" {
		return stream, nil
	}
	position, known := feed.ParsePosition(*last)
	if !known {
		return nil, problem.New(problem.Malformed, "Last-Event-ID is not the id of an entry of this feed.")
	}
	stream.resume, stream.after = true, position
	return stream, nil
}

// streamCounts counts the open streams of each session.
type streamCounts struct {
	mu   sync.Mutex
	open map[id.ID]int
}

// enter counts one more, unless there are too many: looking and counting are one step, or two that come at once would both find room for one.
func (c *streamCounts) enter(session id.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[session] >= mostStreams {
		return false
	}
	c.open[session]++
	return true
}

func (c *streamCounts) leave(session id.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[session]--; c.open[session] == 0 {
		delete(c.open, session)
	}
}

// resolveTopics turns the topics that a client names into those of the log.
func (s *Server) resolveTopics(ctx context.Context, session *identity.Session, named *string) ([]string, error) {
	topics := []string{}
	names := "me"
	if named != nil {
		names = *named
	}
	for name := range strings.SplitSeq(names, ",") {
		topic, err := s.resolveTopic(ctx, session, strings.TrimSpace(name))
		if errors.Is(err, errUnknownSymbol) || errors.Is(err, errUnknownEvent) {
			return nil, problem.Newf(problem.UnknownTopic, "There is no topic %q.", name)
		}
		if err != nil {
			return nil, err
		}
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics), nil
}

// resolveTopic finds one topic; errUnknownSymbol means that there is none of the name.
func (s *Server) resolveTopic(ctx context.Context, session *identity.Session, name string) (string, error) {
	if name == "me" {
		return feed.UserTopic(session.UserID), nil
	}
	for _, kind := range []string{feed.TradesTopic, feed.BookTopic, feed.CandlesTopic} {
		if symbol, found := strings.CutPrefix(name, kind); found && exchange.ValidSymbol(symbol) {
			_, err := s.laneOf(ctx, symbol)
			return name, err
		}
	}
	if event, found := strings.CutPrefix(name, feed.EventTopic); found {
		known, err := s.hall(ctx, event)
		if err != nil {
			return "", err
		}
		return feed.EventTopic + known.Event().String(), nil
	}
	return "", errUnknownSymbol
}

// stream is one reader's connection. It is written by hand: the generated layer would send a stream only when it has ended.
type stream struct {
	*Server
	ctx     context.Context
	session identity.Session
	topics  []string
	resume  bool
	after   int64 // the position of the last entry that was written, or that the reader has

	w       http.ResponseWriter
	control *http.ResponseController
	line    *inLine // nil without the topic `me`
}

// VisitGetFeedResponse writes entries until the reader leaves, falls behind, or its session ends.
func (f *stream) VisitGetFeedResponse(w http.ResponseWriter) error {
	if !f.streams.enter(f.session.ID) {
		return problem.Newf(problem.TooManyRequests, "The session has %d streams open; close one.", mostStreams).After(time.Second)
	}
	defer f.streams.leave(f.session.ID)
	f.w, f.control = w, http.NewResponseController(w)
	// What the HTTP server writes at the end may not wait for the reader either.
	defer func() { _ = f.control.SetWriteDeadline(time.Now().Add(writePatience)) }()
	live := f.Hub.Subscribe(f.topics)
	defer live.Close()
	if slices.Contains(f.topics, feed.UserTopic(f.session.UserID)) {
		f.line = f.places.follow(f.ctx, f.session.UserID) // after Subscribe, so that what has ended before is in no look of theirs
		defer f.places.leave(f.line)
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold entries back
	header.Set("Connection", "close")     // its deadline is for streams
	w.WriteHeader(http.StatusOK)
	if f.resume {
		ended, err := f.catchUp(live.From())
		if ended || err != nil {
			return nil // the status is sent: there is nobody to tell, and the reader resumes
		}
	} else {
		f.after = live.From()
	}
	// The position at once, so that a reader that is cut off before its first entry resumes without a gap too. Without data it is no event.
	if f.write([]byte("retry: 1000\nid: "+strconv.FormatInt(f.after, 10)+"\n\n")) != nil {
		return nil
	}
	f.follow(live)
	return nil
}

func (f *stream) write(b []byte) error {
	_ = f.control.SetWriteDeadline(time.Now().Add(writePatience))
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	return f.control.Flush()
}

// catchUp writes what the reader missed, up to the position where live entries start.
func (f *stream) catchUp(until int64) (ended bool, err error) {
	start, err := f.Log.Start(f.ctx)
	if err != nil {
		return false, err
	}
	head := until
	if f.after > until { // another process has told the reader more than this one has heard of yet, or the id is made up
		if head, err = f.Log.Head(f.ctx); err != nil {
			return false, err
		}
	}
	if f.after > head || f.after < start {
		if err := f.tellGap(until, start); err != nil {
			return false, err
		}
	}
	for f.after < until {
		entries, err := f.Log.Between(f.ctx, f.after, until, f.topics, backlogPage)
		if err != nil {
			return false, err
		}
		var text []byte
		for i := range entries {
			text = entries[i].Frames(text, f.after)
			f.after = entries[i].Position
			ended = ended || f.endsSession(entries[i].Event, entries[i].Data)
		}
		if len(text) > 0 {
			if err := f.write(text); err != nil {
				return false, err
			}
		}
		if ended {
			return true, nil
		}
		if len(entries) < backlogPage {
			f.after = until
		}
	}
	return false, nil
}

// tellGap says that entries between the reader's position and what is kept are not to be had any more.
func (f *stream) tellGap(until, start int64) error {
	missed := f.after
	f.after = min(max(f.after, start), until)
	gap := feed.Entry{Position: f.after, Event: feed.Gap, At: time.Now(), Lamport: f.Clock.Now(), Data: json.RawMessage(`{"last_event_id":"` + strconv.FormatInt(missed, 10) + `"}`)}
	return f.write(gap.Frames(nil, -1))
}

// follow writes entries as they happen.
func (f *stream) follow(live *feed.Subscription) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.closing:
			return
		case <-beat.C:
			if f.write([]byte(": still here\n\n")) != nil || !f.stillSignedIn() {
				return
			}
		case <-live.More():
			if f.writePending(live) {
				return
			}
		case look := <-f.line.news():
			if text := f.line.tell(look, time.Now()); len(text) > 0 && f.write(text) != nil {
				return
			}
		}
	}
}

// writePending writes everything that is pending in one go, and says whether that was the end.
func (f *stream) writePending(live *feed.Subscription) (ended bool) {
	pending, err := live.Take()
	var text []byte
	for _, frames := range pending {
		if frames.Position > f.after {
			text = frames.After(text, f.after)
			f.after = frames.Position
			f.line.note(frames.Entry)
			ended = ended || f.endsSession(frames.Event, frames.Data)
		}
	}
	if len(text) > 0 && f.write(text) != nil {
		return true
	}
	return ended || err != nil
}

// endsSession says whether the entry tells that the session of this stream has ended; the user may have had others.
func (f *stream) endsSession(event string, data []byte) bool {
	if event != feed.SessionEnded {
		return false
	}
	var ended struct {
		SessionID id.ID `json:"session_id"`
	}
	return json.Unmarshal(data, &ended) == nil && ended.SessionID == f.session.ID
}

// stillSignedIn counts an open stream as use of the session: who watches is not idle. A store that is away ends no session; if one has ended all the same, the
// feed tells.
func (f *stream) stillSignedIn() bool {
	return !errors.Is(f.Identity.Touch(f.ctx, f.session), identity.ErrUnauthenticated)
}
