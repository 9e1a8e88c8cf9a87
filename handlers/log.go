package handlers

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"guichet/models/id"
)

// slowRequest is what nobody should have to wait for without having asked to.
const slowRequest = time.Second

// logRequest writes a line about a request: for who looks into something, and, if it took too long, for everybody.
func logRequest(log *slog.Logger, c echo.Context, path string, took time.Duration) {
	level := slog.LevelDebug
	if took > slowRequest && !asksForTime(c) {
		level = slog.LevelWarn
	}
	ctx := c.Request().Context()
	if !log.Enabled(ctx, level) {
		return
	}
	log.LogAttrs(ctx, level, "request", slog.String("method", c.Request().Method), slog.String("path", path), slog.Int("status", c.Response().Status),
		slog.Int64("took_us", took.Microseconds()), slog.Bool("slow", level == slog.LevelWarn), operationAttr(ctx))
}

// asksForTime says whether the client wants an answer that takes its time: the end of an operation, a stream, or one about a file, which is as slow as the client.
func asksForTime(c echo.Context) bool {
	if call, checked := c.Request().Context().Value(callKey{}).(*call); checked && (call.wait > 0 || call.file) {
		return true
	}
	return c.QueryParam("wait") != "" || strings.HasPrefix(c.Response().Header().Get(echo.HeaderContentType), "text/event-stream")
}

// operationOf is the operation that a request made or asked for; zero for none.
func operationOf(ctx context.Context) id.ID {
	if call, checked := ctx.Value(callKey{}).(*call); checked {
		return call.operation
	}
	return id.ID{}
}

// operationAttr names the operation that a request is about. Without one it is the zero Attr, which is not written.
func operationAttr(ctx context.Context) slog.Attr {
	about := operationOf(ctx)
	if about.IsZero() {
		return slog.Attr{}
	}
	return slog.String("operation_id", about.String())
}

// logAccepted writes a line about each operation of a batch that is in the journal.
func (j *journaling) logAccepted(ctx context.Context, log *slog.Logger) {
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for i := range j.commands {
		c := &j.commands[i]
		log.LogAttrs(c.WithTrace(ctx), slog.LevelDebug, "an operation was accepted", slog.String("operation_id", c.ID.String()), slog.String("lane", j.lane),
			slog.String("kind", c.Kind), slog.String("user_id", c.UserID.String()), slog.Int64("lamport", int64(c.Lamport)), slog.Int("batch", len(j.commands)))
	}
}
