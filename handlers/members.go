package handlers

import (
	"context"
	"errors"
	"time"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/problem"
)

var errUnknownUser = problem.New(problem.UnknownUser, "Nobody has this user name.")

// ListMembers reads a page of who is in a room.
func (s *Server) ListMembers(ctx context.Context, request api.ListMembersRequestObject) (api.ListMembersResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	after, err := decodeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := chat.Members(s.DB.Read(ctx), room, after, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(m *chat.Member) string { return m.Username })
	users := make([]id.ID, len(found))
	for i := range found {
		users[i] = found[i].User
	}
	present, err := s.presence.Present(ctx, room, users)
	if err != nil {
		return nil, err
	}
	list := api.ListMembers200JSONResponse{Items: make([]api.Member, len(found)), NextCursor: encodeCursor(next)}
	for i := range found {
		list.Items[i] = s.showMember(&found[i], present[i])
	}
	return list, nil
}

// showMember is the member as the contract has it. It takes note of its stamp: the answer is sent after what it shows.
func (s *Server) showMember(m *chat.Member, present bool) api.Member {
	s.Clock.Witness(m.Lamport)
	return api.Member{Room: chat.RoomText(m.Room), User: m.Username, EnteredAt: m.EnteredAt, Present: present}
}

// EnterRoom makes the caller a member, beside the queue.
func (s *Server) EnterRoom(ctx context.Context, request api.EnterRoomRequestObject) (api.EnterRoomResponseObject, error) {
	room, err := s.room(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	who := caller(ctx)
	s.presence.arrive(ctx, room.ID, who.ID)
	var member chat.Member
	err = s.decideInRoom(ctx, func(tx database.Tx, at time.Time) (entries []feed.Entry, err error) {
		member, entries, err = chat.Enter(tx, s.Clock, &room, who, at)
		return entries, err
	})
	if err != nil {
		return nil, err
	}
	return api.EnterRoom200JSONResponse(s.showMember(&member, true)), nil
}

// LeaveRoom ends the caller's membership, beside the queue. Who is no member has left already.
func (s *Server) LeaveRoom(ctx context.Context, request api.LeaveRoomRequestObject) (api.LeaveRoomResponseObject, error) {
	room, err := s.room(ctx, request.Id)
	if err == nil {
		err = s.remove(ctx, room.ID, sessionOf(ctx).UserID, chat.Left)
	}
	if err != nil && !errors.Is(err, errUnknownMember) {
		return nil, err
	}
	return api.LeaveRoom204Response{}, nil
}

// KickMember ends somebody's membership, beside the queue.
func (s *Server) KickMember(ctx context.Context, request api.KickMemberRequestObject) (api.KickMemberResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	room, err := s.room(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	user, err := identity.FindUser(s.DB.Read(ctx), request.Username)
	if errors.Is(err, identity.ErrUnknownUsername) {
		return nil, errUnknownMember
	}
	if err != nil {
		return nil, err
	}
	return api.KickMember204Response{}, s.remove(ctx, room.ID, user.ID, chat.Kicked)
}

func (s *Server) remove(ctx context.Context, room, user id.ID, reason chat.Reason) error {
	return s.decideInRoom(ctx, func(tx database.Tx, at time.Time) ([]feed.Entry, error) {
		return chat.Remove(tx, s.Clock, room, user, reason, at)
	})
}

// ModerateMember changes what somebody may not do in a room, beside the queue.
func (s *Server) ModerateMember(ctx context.Context, request api.ModerateMemberRequestObject) (api.ModerateMemberResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	change := chat.Change{Banned: request.Body.Banned}
	if request.Body.MutedUntil != nil {
		until, err := mutedUntil(request.Body.MutedUntil)
		if err != nil {
			return nil, invalid([]problem.Field{{Pointer: "/muted_until", Message: err.Error()}})
		}
		change.MutedUntil = &until
	}
	room, err := s.room(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	user, err := identity.FindUser(s.DB.Read(ctx), request.Username)
	if errors.Is(err, identity.ErrUnknownUsername) {
		return nil, errUnknownUser
	}
	if err != nil {
		return nil, err
	}
	var holds chat.Restriction
	err = s.decideInRoom(ctx, func(tx database.Tx, at time.Time) (entries []feed.Entry, err error) {
		holds, entries, err = chat.Moderate(tx, s.Clock, room.ID, chat.Person{ID: user.ID, Name: user.Username}, change, at)
		return entries, err
	})
	if err != nil {
		return nil, err
	}
	shown := api.ModerateMember200JSONResponse{Room: chat.RoomText(room.ID), User: user.Username, Banned: holds.Banned}
	if !holds.MutedUntil.IsZero() {
		shown.MutedUntil = &holds.MutedUntil
	}
	return shown, nil
}
