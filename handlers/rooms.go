package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/problem"
	"guichet/models/text"
)

var (
	errUnknownRoom   = problem.New(problem.UnknownRoom, "There is no such room.")
	errUnknownMember = problem.New(problem.UnknownMember, "They are not in this room.")
)

// VisitCreateRoomResponse writes the answer.
func (a jsonAnswer) VisitCreateRoomResponse(w http.ResponseWriter) error { return a.write(w) }

// chatProblem tells the client what rooms refuse. Other errors it returns as they are.
func chatProblem(err error) error {
	switch {
	case errors.Is(err, chat.ErrUnknownRoom):
		return errUnknownRoom
	case errors.Is(err, chat.ErrRoomExists):
		return problem.New(problem.RoomExists, "There is a room with this name, or of this event or symbol.")
	case errors.Is(err, chat.ErrUnknownMember):
		return errUnknownMember
	default:
		return err
	}
}

// caller is who calls, as rooms know them.
func caller(ctx context.Context) chat.Person {
	session := sessionOf(ctx)
	return chat.Person{ID: session.UserID, Name: session.Username, Admin: admin(ctx) == nil}
}

// admitted finds a room that the caller may be in, or is a problem: there is none, or they are banned, or have no ticket. It is what reading needs.
func (s *Server) admitted(ctx context.Context, room string) (id.ID, error) {
	return s.may(ctx, room, chat.ToRead)
}

// entered finds a room that the caller is a member of.
func (s *Server) entered(ctx context.Context, room string) (id.ID, error) {
	return s.may(ctx, room, chat.ToTakePart)
}

// speaking is entered for who may also speak now.
func (s *Server) speaking(ctx context.Context, room string) (id.ID, error) {
	return s.may(ctx, room, chat.ToSpeak)
}

// may finds a room in which the caller may do what they want to. The call of a member is noted as a sign of life.
func (s *Server) may(ctx context.Context, text string, need chat.Need) (id.ID, error) {
	room, err := chat.ParseRoom(text)
	if err != nil {
		return id.ID{}, errUnknownRoom
	}
	who := caller(ctx)
	standing, err := s.standing(ctx, room, who, need)
	if err != nil {
		return id.ID{}, err
	}
	if standing.Member {
		s.presence.note(room, who.ID)
	}
	return room, nil
}

// standing is how somebody stands with a room in which they may do what they want to; else it is the problem that they may not. What this process remembers decides; if it
// says that they may not, the database is asked, as another process may have let them just now.
func (s *Server) standing(ctx context.Context, room id.ID, who chat.Person, need chat.Need) (chat.Standing, error) {
	now := time.Now()
	standing, err := s.rooms.Standing(ctx, room, who, now)
	if err == nil && standing.Refusal(need, now) != nil {
		standing, err = s.rooms.AskAgain(ctx, room, who)
	}
	if err != nil {
		return chat.Standing{}, chatProblem(err)
	}
	if refusal := standing.Refusal(need, now); refusal != nil {
		return chat.Standing{}, refusal
	}
	return standing, nil
}

// room finds a room, whoever may be in it.
func (s *Server) room(ctx context.Context, text string) (chat.Room, error) {
	parsed, err := chat.ParseRoom(text)
	if err != nil {
		return chat.Room{}, errUnknownRoom
	}
	room, err := s.rooms.Room(ctx, parsed)
	return room, chatProblem(err)
}

// decideInRoom runs a transaction that changes who is in a room or what they may do there, and tells of the entries that decide returns: first to this process, so that what
// was decided holds here when it is answered.
func (s *Server) decideInRoom(ctx context.Context, decide func(tx database.Tx, at time.Time) ([]feed.Entry, error)) error {
	var entries []feed.Entry
	err := s.DB.Write(ctx, func(tx database.Tx) (err error) {
		if entries, err = decide(tx, time.Now().UTC().Truncate(time.Microsecond)); err != nil {
			return err
		}
		return feed.Append(tx, entries)
	})
	if err != nil {
		return chatProblem(err)
	}
	if len(entries) > 0 {
		s.rooms.Decided(entries)
		s.closeBanned(entries)
		s.Publisher.Publish(context.WithoutCancel(ctx), feed.Publication{Entries: entries})
	}
	return nil
}

// closeBanned closes the streams that follow a room from which their users are banned.
func (s *Server) closeBanned(entries []feed.Entry) {
	for i := range entries {
		if room, user, banned := chat.BannedBy(&entries[i]); banned {
			s.streams.closeTopic(user, chat.Topic(room))
		}
	}
}

// ListRooms reads a page of rooms.
func (s *Server) ListRooms(ctx context.Context, request api.ListRoomsRequestObject) (api.ListRoomsResponseObject, error) {
	opened, after, err := timeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := chat.Rooms(s.DB.Read(ctx), opened, after, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(r *chat.Room) string { return timeKey(r.OpenedAt, r.ID) })
	list := api.ListRooms200JSONResponse{Items: make([]api.Room, len(found)), NextCursor: encodeCursor(next)}
	for i := range found {
		list.Items[i] = s.showRoom(&found[i])
	}
	return list, nil
}

// showRoom is the room as the contract has it. It takes note of its stamp: the answer is sent after what it shows.
func (s *Server) showRoom(r *chat.Room) api.Room {
	s.Clock.Witness(r.Lamport)
	shown := api.Room{Id: chat.RoomText(r.ID), Name: r.Name, Topic: r.Topic}
	if !r.Event.IsZero() {
		event := r.Event.String()
		shown.Event = &event
	}
	if r.Symbol != "" {
		shown.Symbol = &r.Symbol
	}
	return shown
}

// GetRoom reads one room.
func (s *Server) GetRoom(ctx context.Context, request api.GetRoomRequestObject) (api.GetRoomResponseObject, error) {
	room, err := s.room(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	return api.GetRoom200JSONResponse(s.showRoom(&room)), nil
}

// CreateRoom opens a room, beside the queue.
func (s *Server) CreateRoom(ctx context.Context, request api.CreateRoomRequestObject) (api.CreateRoomResponseObject, error) {
	if request.Body.Event != nil || request.Body.Symbol != nil {
		if err := admin(ctx); err != nil {
			return nil, err
		}
	}
	room, err := s.newRoom(ctx, request.Body)
	if err != nil {
		return nil, err
	}
	answer, err := s.createOnce(ctx, callOf(ctx).idempotencyKey(), func(keep keepAnswer) (any, error) {
		room.Lamport = s.Clock.Tick()
		made := s.showRoom(&room)
		err := s.DB.Write(ctx, func(tx database.Tx) error {
			if err := chat.InsertRoom(tx, &room); err != nil {
				return err
			}
			return keep(tx, made)
		})
		return made, chatProblem(err)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// newRoom reads a room, or says what it cannot be. The event or symbol that it belongs to stays, once there is one.
func (s *Server) newRoom(ctx context.Context, body *api.NewRoom) (chat.Room, error) {
	name, nameErr := text.Line(body.Name, chat.MaxName)
	room := chat.Room{ID: s.IDs.Next(), Name: name, OpenedBy: sessionOf(ctx).UserID, OpenedAt: time.Now().UTC().Truncate(time.Microsecond)}
	var fields []problem.Field
	if nameErr != nil {
		fields = append(fields, problem.Field{Pointer: "/name", Message: nameErr.Error()})
	}
	if topic := given(body.Topic); topic != "" {
		var err error
		if room.Topic, err = text.Line(topic, chat.MaxTopic); err != nil {
			fields = append(fields, problem.Field{Pointer: "/topic", Message: err.Error()})
		}
	}
	if body.Event != nil && body.Symbol != nil {
		fields = append(fields, problem.Field{Pointer: "/symbol", Message: "must not be given together with event"})
	}
	if len(fields) > 0 {
		return room, invalid(fields)
	}
	if room.Symbol = given(body.Symbol); room.Symbol != "" {
		_, err := s.laneOf(ctx, room.Symbol)
		return room, err
	}
	if body.Event == nil {
		return room, nil
	}
	var err error
	if room.Event, err = id.Parse(*body.Event); err != nil {
		return room, errUnknownEvent
	}
	_, err = events.GetEvent(s.DB.Read(ctx), room.Event)
	return room, eventProblem(err)
}

// mutedUntil reads a time up to which somebody is muted; the zero time if it is null.
func mutedUntil(given json.RawMessage) (time.Time, error) {
	var at *time.Time
	if json.Unmarshal(given, &at) != nil {
		return time.Time{}, errors.New("must be a time as RFC 3339 has it, or null")
	}
	if at == nil {
		return time.Time{}, nil
	}
	until := at.UTC().Truncate(time.Microsecond)
	if year := until.Year(); year < 0 || year > 9999 {
		return time.Time{}, errors.New("must be in the years 0000 to 9999, UTC")
	}
	return until, nil
}
