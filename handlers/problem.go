package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/problem"
)

// retryLater is the Retry-After of a store that is away.
const retryLater = time.Second

// writeProblem answers every error, whichever layer it comes from, as RFC 9457 has it. Causes are logged and not shown.
func writeProblem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := asProblem(err)
	// A full lane is no fault, and refuses thousands a second.
	if p.Code.Status() >= http.StatusInternalServerError && p.Code != problem.LaneFull && !errors.Is(err, context.Canceled) {
		ctx := c.Request().Context()
		// The error as text: a problem as JSON is without its cause.
		slog.LogAttrs(ctx, slog.LevelError, "a request failed", slog.String("method", c.Request().Method), slog.String("path", c.Path()),
			slog.String("code", string(p.Code)), slog.String("error", err.Error()), operationAttr(ctx))
	}
	body, err := json.Marshal(p)
	if err != nil { // it is made of strings and numbers
		panic(err)
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "application/problem+json")
	if p.RetryAfter > 0 {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(p.RetryAfterSeconds()))
	}
	if p.Code == problem.Unauthorized {
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="guichet"`)
	}
	c.Response().WriteHeader(p.Code.Status())
	if c.Request().Method != http.MethodHead {
		_, _ = c.Response().Write(body) // the client is gone if this fails
	}
}

func asProblem(err error) *problem.Problem {
	var p *problem.Problem
	var fromEcho *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &fromEcho):
		return echoProblem(fromEcho)
	case database.IsTransient(err), isRedisAway(err), errors.Is(err, events.ErrNotLoaded):
		return problem.New(problem.Unavailable, "A store is away; please try again.").After(retryLater).Because(err)
	default:
		return problem.New(problem.Internal, "Something went wrong; it has been logged.").Because(err)
	}
}

// isRedisAway says whether an error is that Redis does not answer, or not yet: it is starting, or another of its servers takes over.
func isRedisAway(err error) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) {
		return true
	}
	for _, prefix := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// echoProblem translates what Echo's router and binder refuse by themselves.
func echoProblem(err *echo.HTTPError) *problem.Problem {
	switch err.Code {
	case http.StatusNotFound:
		return problem.New(problem.NotFound, "There is nothing at this path.")
	case http.StatusMethodNotAllowed:
		return problem.New(problem.MethodNotAllowed, "This path does not have this method; Allow says which it has.")
	case http.StatusRequestEntityTooLarge:
		return problem.New(problem.PayloadTooLarge, "The body is too large.")
	case http.StatusUnsupportedMediaType:
		return problem.New(problem.UnsupportedMediaType, "The body must be JSON.")
	case http.StatusBadRequest:
		// 1.0 and 1e3 are integers to a schema, and none to Go, nor to the contract: anything but plain digits is refused.
		if number := new(json.UnmarshalTypeError); errors.As(err, &number) {
			return invalid([]problem.Field{{Pointer: "/" + strings.ReplaceAll(number.Field, ".", "/"), Message: "must be a whole number in plain digits"}})
		}
		return problem.New(problem.Malformed, "The request cannot be read.").Because(err)
	default:
		return problem.New(problem.Internal, "Something went wrong; it has been logged.").Because(err)
	}
}
