package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"guichet/api"
	"guichet/models/chat"
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
	// roomPatience is how long it may take to find out whether the rooms of a stream still admit its user: others wait for that, and meanwhile it goes on.
	roomPatience = time.Second
)

// GetFeed opens a stream. What can be refused is refused before the first byte: here, but for one stream too many.
func (s *Server) GetFeed(ctx context.Context, request api.GetFeedRequestObject) (api.GetFeedResponseObject, error) {
	stream := &stream{ctx: ctx, named: request.Params.Topics, closings: s.streams.closings(), listener: &listener{Server: s, session: *sessionOf(ctx)}}
	var err error
	if stream.topics, err = s.resolveTopics(ctx, &stream.session, stream.named); err != nil {
		return nil, err
	}
	stream.topics = append(stream.topics, feed.AnnouncementTopic)
	last := request.Params.LastEventID
	if last == nil {
		last = request.Params.LastEventId
	}
	if last == nil || *last == "" {
		return stream, nil
	}
	var known bool
	if stream.at, known = feed.ParsePlace(*last); !known {
		return nil, problem.New(problem.Malformed, "Last-Event-ID is not the id of an entry of this feed.")
	}
	stream.resume = true
	return stream, nil
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
		if errors.Is(err, errUnknownSymbol) || errors.Is(err, errUnknownEvent) || errors.Is(err, chat.ErrUnknownRoom) {
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
	if room, found := strings.CutPrefix(name, feed.RoomTopic); found {
		return s.resolveRoom(ctx, room)
	}
	return "", errUnknownSymbol
}

// resolveRoom finds the topic of a room that the caller may be in.
func (s *Server) resolveRoom(ctx context.Context, room string) (string, error) {
	if _, err := chat.ParseRoom(room); err != nil {
		return "", err
	}
	known, err := s.admitted(ctx, room)
	if refusal, ok := errors.AsType[*problem.Problem](err); ok && refusal.Code == problem.UnknownRoom {
		return "", chat.ErrUnknownRoom
	}
	return chat.Topic(known), err
}

// listener is who a stream is for, and how far it has been told.
type listener struct {
	*Server
	session identity.Session
	topics  []string
	at      feed.Place  // up to which the reader has been told, or has what is told
	line    *inLine     // nil without the topic `me`
	open    *openStream // while it is open
}

// rooms are those that the listener follows.
func (l *listener) rooms() []id.ID { return chat.RoomsOf(l.topics) }

// enter counts the stream, of which end ends it, or is the problem that it may not be opened.
func (l *listener) enter(end func()) error {
	if l.open = l.streams.enter(l.session.ID, l.session.UserID, l.topics, end); l.open == nil {
		l.streams.check(l.session.UserID)
		l.open = l.streams.enter(l.session.ID, l.session.UserID, l.topics, end)
	}
	if l.open == nil {
		return problem.Newf(problem.TooManyRequests, "The session has %d streams open; close one.", mostStreams).After(time.Second)
	}
	if rooms := l.rooms(); l.roomWatch != nil && len(rooms) > 0 {
		l.roomWatch.opened(rooms, l.session.UserID)
	}
	return nil
}

// leave is the end of it.
func (l *listener) leave() {
	l.streams.leave(l.open)
	if l.line != nil {
		l.places.leave(l.line)
	}
	if rooms := l.rooms(); l.roomWatch != nil && len(rooms) > 0 {
		l.roomWatch.closed(rooms, l.session.UserID)
	}
}

// note is told of an entry that is written, and says whether the stream ends with it.
func (l *listener) note(e *feed.Entry) (ended bool) {
	l.line.note(e)
	return l.endsSession(e.Event, e.Data)
}

// endsSession says whether the entry tells that the session of this stream has ended; the user may have had others.
func (l *listener) endsSession(event string, data []byte) bool {
	if event != feed.SessionEnded {
		return false
	}
	var ended struct {
		SessionID id.ID `json:"session_id"`
	}
	return json.Unmarshal(data, &ended) == nil && ended.SessionID == l.session.ID
}

// stillSignedIn counts an open stream as use of the session: who watches is not idle. A store that is away ends no session; if one has ended all the same, the
// feed tells.
func (l *listener) stillSignedIn(ctx context.Context) bool {
	return !errors.Is(l.Identity.Touch(ctx, l.session), identity.ErrUnauthenticated)
}

// stillWelcome says whether the stream may go on: its session has not ended, and the rooms that it follows still admit its user.
func (l *listener) stillWelcome(ctx context.Context) bool {
	if !l.stillSignedIn(ctx) {
		return false
	}
	admitted, _ := l.stillAdmitted(ctx)
	return admitted
}

// stillAdmitted says whether the rooms that the stream follows still admit its user, who may have given a ticket back. A store that is away shuts nobody out: then the
// error says why that is not known. It counts as no sign of life, as the stream itself is one.
func (l *listener) stillAdmitted(ctx context.Context) (admitted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, roomPatience)
	defer cancel()
	who := caller(withCall(ctx, &call{session: &l.session}))
	for _, room := range l.rooms() {
		_, err := l.standing(ctx, room, who, chat.ToRead)
		if _, refused := errors.AsType[*problem.Problem](err); refused {
			return false, nil
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// stream is one reader's connection while it is the request's. It is written by hand: the generated layer would send a stream only when it has ended.
type stream struct {
	*listener
	ctx      context.Context
	named    *string
	closings int64 // when the topics were resolved
	resume   bool

	w       http.ResponseWriter
	control *http.ResponseController
}

// VisitGetFeedResponse writes what the reader missed, and leaves the connection to the fan-out.
func (f *stream) VisitGetFeedResponse(w http.ResponseWriter) error {
	f.w, f.control = w, http.NewResponseController(w)
	var cancel context.CancelFunc
	f.ctx, cancel = context.WithCancel(f.ctx)
	defer cancel()
	if err := f.enter(cancel); err != nil {
		return err
	}
	passedOn := false
	defer func() {
		if !passedOn {
			// What the HTTP server writes at the end may not wait for the reader either.
			_ = f.control.SetWriteDeadline(time.Now().Add(writePatience))
			f.leave()
		}
	}()
	if f.streams.closings() != f.closings { // somebody was banned meanwhile
		if _, err := f.resolveTopics(f.ctx, &f.session, f.named); err != nil {
			return err
		}
	}
	live := f.Hub.Subscribe(f.topics)
	defer live.Close()
	if slices.Contains(f.topics, feed.UserTopic(f.session.UserID)) {
		f.line = f.places.follow(f.ctx, f.session.UserID) // after Subscribe, so that what has ended before is in no look of theirs
	}
	if !f.begin(live.From()) {
		return nil // the status is sent: there is nobody to tell, and the reader resumes
	}
	conn, _, err := f.control.Hijack()
	if passedOn = err == nil; passedOn {
		f.fanout.take(f.listener, conn, live)
	} else if errors.Is(err, http.ErrNotSupported) {
		f.follow(live)
	}
	return nil
}

// begin sends the status and what the reader missed up to a place, and says whether the stream goes on from there.
func (f *stream) begin(from feed.Place) bool {
	header := f.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")       // nginx would hold entries back
	header.Set("Connection", "close")           // its deadline is for streams
	header.Set("Transfer-Encoding", "identity") // no chunks, which the fan-out would have to write; the HTTP server sends no such header
	f.w.WriteHeader(http.StatusOK)
	if !f.resume {
		f.at = from
	} else if ended, err := f.catchUp(from); ended || err != nil {
		return false
	}
	// The place at once, so that a reader that is cut off before its first entry resumes without a gap too. Without data it is no event.
	return f.write(append(f.at.Append([]byte("retry: 1000\nid: ")), "\n\n"...)) == nil
}

func (f *stream) write(b []byte) error {
	_ = f.control.SetWriteDeadline(time.Now().Add(writePatience))
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	return f.control.Flush()
}

// catchUp writes what the reader missed, up to the place where live entries start.
func (f *stream) catchUp(until feed.Place) (ended bool, err error) {
	backlog := f.Hub.Backlog(f.topics, f.at, until)
	from, gap, err := backlog.Begin(f.ctx)
	if err != nil {
		return false, err
	}
	if gap {
		if err := f.tellGap(from); err != nil {
			return false, err
		}
	}
	looked := time.Now()
	for f.at = from; ; {
		select {
		case <-f.closing:
			return true, nil
		default:
		}
		if time.Since(looked) >= heartbeat { // who has much to catch up on takes long
			if looked = time.Now(); !f.stillWelcome(f.ctx) {
				return true, nil
			}
		}
		entries, err := backlog.Next(f.ctx)
		if err != nil {
			return false, err
		}
		if len(entries) == 0 {
			f.at = backlog.End()
			return false, nil
		}
		var text []byte
		for i := range entries {
			text, f.at = entries[i].Frames(text, f.at)
			ended = f.endsSession(entries[i].Event, entries[i].Data) || ended
		}
		if len(text) > 0 {
			if err := f.write(text); err != nil {
				return false, err
			}
		}
		if ended {
			return true, nil
		}
	}
}

// tellGap says that entries between the reader's place and what is kept are not to be had any more.
func (f *stream) tellGap(from feed.Place) error {
	gap := feed.Entry{Event: feed.Gap, At: time.Now(), Lamport: f.Clock.Now(), Data: json.RawMessage(`{"last_event_id":"` + f.at.String() + `"}`)}
	return f.write(gap.FrameAt(nil, from))
}

// follow writes entries as they happen, where the connection cannot be had from the HTTP server: one goroutine a reader, and one write for what has come since
// the last.
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
			if f.write([]byte(stillHere)) != nil || !f.stillWelcome(f.ctx) {
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
	text, ended := f.textOf(pending)
	if len(text) > 0 && f.write(text) != nil {
		return true
	}
	return ended || err != nil
}

// textOf is what of some entries the reader has not been told, as one text, and whether the stream ends with it.
func (l *listener) textOf(pending []feed.Frames) (text []byte, ended bool) {
	for _, frames := range pending {
		before := len(text)
		if text, l.at = frames.After(text, l.at); len(text) > before && l.note(frames.Entry) {
			ended = true
		}
	}
	return text, ended
}
