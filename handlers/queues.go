package handlers

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"guichet/models/identity"
	"guichet/models/problem"
)

// routeQueues routes asynqmon, behind the admins' login. It only looks: pausing is the lane's business (PATCH /v1/lanes/{name}), as Redis
// forgets and the lane's row does not.
func (s *Server) routeQueues(e *echo.Echo) {
	view := asynqmon.New(asynqmon.Options{RootPath: "/queues", RedisConnOpt: queueView(s.RedisOptions), ReadOnly: true})
	page := echo.WrapHandler(withPolicy(queuesPolicy, withoutUnwantedLinks(view)))
	login := &adminLogin{identity: s.Identity, known: map[[32]byte]time.Time{}}
	e.GET("/queues", page, login.check)
	e.GET("/queues/*", page, login.check)
}

// queueView is how asynqmon, which opens connections of its own, reaches the queues.
func queueView(o *redis.UniversalOptions) asynq.RedisConnOpt {
	if len(o.Addrs) > 1 {
		return asynq.RedisClusterClientOpt{Addrs: o.Addrs, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig}
	}
	return asynq.RedisClientOpt{Addr: o.Addrs[0], Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig}
}

// unwantedLink is what a page would fetch from another host, and the manifest, which browsers fetch without the login.
var unwantedLink = regexp.MustCompile(`<link[^>]* (href="https?:|rel="manifest")[^>]*>`)

// withoutUnwantedLinks serves pages without those links: asynqmon asks a font service for its letters, and does well with the system's own.
func withoutUnwantedLinks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := &pageWriter{ResponseWriter: w}
		next.ServeHTTP(held, r)
		if held.page.Len() > 0 {
			_, _ = w.Write(unwantedLink.ReplaceAll(held.page.Bytes(), nil))
		}
	})
}

// pageWriter holds back what is written without a content type, which asynqmon's page is, and passes on the rest: scripts and pictures.
type pageWriter struct {
	http.ResponseWriter
	page bytes.Buffer
}

func (w *pageWriter) Write(part []byte) (int, error) {
	if w.Header().Get(echo.HeaderContentType) != "" {
		return w.ResponseWriter.Write(part)
	}
	return w.page.Write(part)
}

// passwordLife is for how long a browser's name and password are taken without hashing them again: the page asks every few seconds.
const passwordLife = time.Minute

// adminLogin lets admins through: with the token of their session, or, as browsers do, with their name and password (RFC 7617).
type adminLogin struct {
	identity *identity.Identity

	mu    sync.Mutex
	known map[[32]byte]time.Time // hashes of headers that an admin has sent, and until when they are taken
}

func (l *adminLogin) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		role, err := l.role(c.Request())
		if locked, ok := errors.AsType[*identity.LockedError](err); ok {
			return problem.New(problem.TooManyAttempts, "Sign-in is locked for a while.").After(time.Until(locked.Until))
		}
		_, wrong := errors.AsType[*identity.WrongPasswordError](err)
		switch {
		case wrong, errors.Is(err, identity.ErrUnknownUsername), errors.Is(err, identity.ErrUnauthenticated):
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Basic realm="guichet queues", charset="UTF-8"`)
			return c.String(http.StatusUnauthorized, "Sign in as an admin.")
		case err != nil:
			return err
		case role != identity.RoleAdmin:
			return problem.New(problem.Forbidden, "This page is for admins only.")
		}
		return next(c)
	}
}

func (l *adminLogin) role(r *http.Request) (identity.Role, error) {
	header := r.Header.Get(echo.HeaderAuthorization)
	if scheme, token, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		session, err := l.identity.Authenticate(r.Context(), token)
		return session.Role, err
	}
	name, password, basic := r.BasicAuth()
	if !basic {
		return "", identity.ErrUnauthenticated
	}
	hash := sha256.Sum256([]byte(header))
	if l.knows(hash) {
		return identity.RoleAdmin, nil
	}
	role, err := l.identity.CheckPassword(r.Context(), name, password)
	if err == nil && role == identity.RoleAdmin {
		l.learn(hash)
	}
	return role, err
}

func (l *adminLogin) knows(hash [32]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.known[hash])
}

func (l *adminLogin) learn(hash [32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.known) // there is one admin, and what was known before is old
	l.known[hash] = time.Now().Add(passwordLife)
}
