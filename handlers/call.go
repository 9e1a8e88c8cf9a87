package handlers

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/operation"
	"guichet/models/problem"
)

// longestWait is the most that Prefer: wait and ?wait= are honoured with.
const longestWait = 30 * time.Second

// call is what the middleware found out about a request before its handler runs.
type call struct {
	session *identity.Session // nil if the call needs none
	wait    time.Duration     // as preferred, 0 for none
	key     string            // Idempotency-Key, empty for none
	request [32]byte          // hash of method, path and body; set if there is a key
	arrival *arrival          // the body, if the handler reads it while it arrives; nil otherwise
	file    bool              // the body or the answer is a file, and takes its time
	trace   string            // W3C traceparent of the server's span, empty when tracing is off
	// operation is what the request is about: the one that it made or asked for. Zero for none.
	operation id.ID
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// sessionOf is the caller's session: the contract says which calls have one.
func sessionOf(ctx context.Context) *identity.Session { return callOf(ctx).session }

// admin returns the problem that the caller is no admin, or nil.
func admin(ctx context.Context) error {
	if sessionOf(ctx).Role != identity.RoleAdmin {
		return problem.New(problem.Forbidden, "This call is for admins only.")
	}
	return nil
}

// idempotencyKey is the key of the request, or nil.
func (c *call) idempotencyKey() *operation.Key {
	if c.key == "" {
		return nil
	}
	key := &operation.Key{Hash: operation.HashKey(c.key), Request: c.request}
	if c.session != nil {
		key.User = c.session.UserID
	}
	return key
}

// hashRequest is what tells whether a key was used for the same request. The query is part of it, as it says what a DELETE is about. The body is canonical
// JSON: spaces and the order of members do not matter.
func hashRequest(r *http.Request, canonicalBody []byte) [32]byte {
	h := sha256.New()
	target := r.URL.Path
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.Query().Encode() // by name
	}
	h.Write([]byte(r.Method + " " + target + "\n"))
	h.Write(canonicalBody)
	return [32]byte(h.Sum(nil))
}

// hashFile adds a file to the hash of a request whose body was not known when it was made: the request is the same if the name and the content are.
func (c *call) hashFile(name string, content [32]byte) {
	c.request = sha256.Sum256(slices.Concat(c.request[:], content[:], []byte(name)))
}

// preferredWait reads Prefer headers (RFC 7240). Preferences that cannot be read are ignored, as the RFC has it; too long a wait is cut.
func preferredWait(headers []string) time.Duration {
	for _, header := range headers {
		for preference := range strings.SplitSeq(header, ",") {
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value, _, _ = strings.Cut(value, ";")
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err == nil || errors.Is(err, strconv.ErrRange) { // which gives the largest there is
				return min(time.Duration(seconds)*time.Second, longestWait)
			}
		}
	}
	return 0
}

// parseID reads an id that names something; what is no id names nothing.
func parseID(s string) (id.ID, error) {
	parsed, err := id.Parse(s)
	if err != nil {
		return id.ID{}, problem.New(problem.NotFound, "There is no such thing, or it is not yours.")
	}
	return parsed, nil
}

// idOf is the id that a filter names; zero if what it names is no id, and so nothing has it.
func idOf(s string) id.ID {
	parsed, _ := id.Parse(s)
	return parsed
}
