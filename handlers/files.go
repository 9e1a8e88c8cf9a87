package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"guichet/api"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/problem"
)

var errUnknownFile = problem.New(problem.UnknownFile, "The room has no file with this name.")

// VisitListFilesResponse writes the answer.
func (a jsonAnswer) VisitListFilesResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitDeleteFileResponse writes the answer, which says nothing of what is gone.
func (a decidedAnswer) VisitDeleteFileResponse(w http.ResponseWriter) error {
	if a.decided == nil {
		return a.write(w)
	}
	w.WriteHeader(a.decided.status)
	return nil
}

// ListFiles reads a page of a room's files.
func (s *Server) ListFiles(ctx context.Context, request api.ListFilesRequestObject) (api.ListFilesResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	before, err := idCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := files.List(s.DB.Read(ctx), room, before, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(f *files.File) string { return f.ID.String() })
	for i := range found {
		s.Clock.Witness(found[i].Lamport) // the answer is sent after what it shows
	}
	return listAnswer(found, next, (*files.File).AppendJSON), nil
}

// DeleteFile has the lane take a file out of its room.
func (s *Server) DeleteFile(ctx context.Context, request api.DeleteFileRequestObject) (api.DeleteFileResponseObject, error) {
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	found, err := s.file(ctx, room, request.Name)
	if err != nil {
		return nil, err
	}
	session := sessionOf(ctx)
	command := files.DeletionCommand{Room: room, Name: found.Name, File: found.ID, Uploader: found.UserID, Admin: session.Role == identity.RoleAdmin}
	if found.UserID != session.UserID && !command.Admin {
		return nil, files.NotYours()
	}
	return s.decide(ctx, files.Lane, files.KindDeletion, command, http.StatusNoContent)
}

// file reads a file of a room, and takes note of its stamp. What cannot be the name of a file names none.
func (s *Server) file(ctx context.Context, room id.ID, name string) (*files.File, error) {
	_, key, err := files.Name(name)
	if err != nil {
		return nil, errUnknownFile
	}
	found, err := files.Get(s.DB.Read(ctx), room, key)
	if errors.Is(err, files.ErrUnknownFile) {
		return nil, errUnknownFile
	}
	if err != nil {
		return nil, err
	}
	s.Clock.Witness(found.Lamport)
	return found, nil
}

const (
	// sweepEvery is how often contents are looked for that nobody needs.
	sweepEvery = time.Hour
	// keepContents is for how long they stay: much longer than it takes to submit what is stored, or to learn that it was not.
	keepContents = 24 * time.Hour
)

// sweepFiles removes what is left of uploads whose process has died, and contents that no file has, from the start until ctx ends.
func (s *Server) sweepFiles(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		removed, err := files.Sweep(ctx, s.DB, s.Files, time.Now().Add(-keepContents))
		switch {
		case err != nil && ctx.Err() == nil:
			slog.WarnContext(ctx, "contents of files that nobody needs are left for later", "error", err)
		case removed > 0:
			slog.InfoContext(ctx, "contents of files that nobody needs were removed", "contents", removed)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
