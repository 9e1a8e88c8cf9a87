package handlers

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/problem"
	"guichet/models/text"
)

// VisitCreateAnnouncementResponse writes the answer.
func (a jsonAnswer) VisitCreateAnnouncementResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitListAnnouncementsResponse writes the answer.
func (a jsonAnswer) VisitListAnnouncementsResponse(w http.ResponseWriter) error { return a.write(w) }

// ListAnnouncements reads a page of announcements.
func (s *Server) ListAnnouncements(ctx context.Context, request api.ListAnnouncementsRequestObject) (api.ListAnnouncementsResponseObject, error) {
	before, err := numberCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := chat.Announcements(s.DB.Read(ctx), before, limit+1)
	if err != nil {
		return nil, err
	}
	for i := range found {
		s.Clock.Witness(found[i].Lamport)
	}
	found, next := page(found, limit, func(a *chat.Announcement) string { return strconv.FormatInt(a.Sequence, 10) })
	return listAnswer(found, next, func(a *chat.Announcement, b []byte) []byte { return append(b, a.JSON()...) }), nil
}

// CreateAnnouncement tells everybody, beside the queue.
func (s *Server) CreateAnnouncement(ctx context.Context, request api.CreateAnnouncementRequestObject) (api.CreateAnnouncementResponseObject, error) {
	if err := admin(ctx); err != nil {
		return nil, err
	}
	said, err := text.Block(request.Body.Text, chat.MaxAnnouncement)
	if err != nil {
		return nil, invalid([]problem.Field{{Pointer: "/text", Message: err.Error()}})
	}
	var entries []feed.Entry
	answer, err := s.createOnce(ctx, callOf(ctx).idempotencyKey(), func(keep keepAnswer) (any, error) {
		made := chat.Announcement{ID: s.IDs.Next(), Text: said, By: sessionOf(ctx).Username, At: time.Now().UTC().Truncate(time.Microsecond), Lamport: s.Clock.Tick()}
		err := s.DB.Write(ctx, func(tx database.Tx) error {
			entry, err := chat.Announce(tx, &made)
			if err != nil {
				return err
			}
			if err := keep(tx, made.JSON()); err != nil {
				return err
			}
			entries = []feed.Entry{entry}
			return feed.Append(tx, entries)
		})
		if err != nil {
			entries = nil
		}
		return made.JSON(), err
	})
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		s.Publisher.Publish(context.WithoutCancel(ctx), feed.Publication{Entries: entries})
	}
	return answer, nil
}
