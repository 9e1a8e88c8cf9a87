package handlers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	swgui "github.com/swaggest/swgui/v5emb"

	"guichet/api"
	"guichet/models/identity"
	"guichet/models/problem"
)

// routeOutside routes what stands outside the contract: the contract itself, health, metrics, and two pages for people.
func (s *Server) routeOutside(e *echo.Echo) {
	e.GET("/", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/docs/") })
	e.GET("/openapi.json", func(c echo.Context) error { return c.JSONBlob(http.StatusOK, s.document) })
	e.GET("/openapi.yaml", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", api.Document) })
	e.GET("/healthz", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"status": "ok", "version": s.Version})
	})
	e.GET("/readyz", s.ready)
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})))

	// From YAML, because in the JSON the calls are in the alphabet's order, and in the contract in that of their use.
	docs := echo.WrapHandler(withPolicy(docsPolicy, swgui.New("guichet", "/openapi.yaml", "/docs/")))
	e.GET("/docs", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/docs/") })
	e.GET("/docs/*", docs)

	queues := echo.WrapHandler(withPolicy(queuesPolicy, withoutUnwantedLinks(asynqmon.New(asynqmon.Options{
		RootPath:     "/queues",
		RedisConnOpt: s.QueueView,
		ReadOnly:     true, // pausing is the lane's business (PATCH /v1/lanes/{name}); Redis forgets, the lane's row does not
	}))))
	for _, path := range []string{"/queues", "/queues/*"} {
		e.GET(path, queues, s.adminLogin)
	}
}

// The pages bring their own scripts and styles; nothing comes from another host. Both write styles, and asynqmon a script, into the page.
const (
	docsPolicy   = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
	queuesPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; object-src 'none'"
)

func withPolicy(policy string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
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

// adminLogin lets admins through: with the token of their session, or, as browsers do, with their name and password (RFC 7617).
func (s *Server) adminLogin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx := c.Request().Context()
		name, password, basic := c.Request().BasicAuth()
		var role identity.Role
		var err error
		if scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " "); strings.EqualFold(scheme, "Bearer") {
			var session identity.Session
			session, err = s.Identity.Authenticate(ctx, token)
			role = session.Role
		} else if basic {
			role, err = s.Identity.CheckPassword(ctx, name, password)
		} else {
			err = identity.ErrUnauthenticated
		}
		var locked *identity.LockedError
		switch {
		case errors.As(err, &locked):
			return problem.New(problem.TooManyAttempts, "Sign-in is locked for a while.").After(time.Until(locked.Until))
		case err != nil:
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Basic realm="guichet queues", charset="UTF-8"`)
			return c.String(http.StatusUnauthorized, "Sign in as an admin.")
		case role != identity.RoleAdmin:
			return problem.New(problem.Forbidden, "This page is for admins only.")
		}
		return next(c)
	}
}

// readyPatience is how long a store may take to give a sign of life.
const readyPatience = 2 * time.Second

// ready tells the truth about both stores.
func (s *Server) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyPatience)
	defer cancel()
	status, answer := http.StatusOK, map[string]string{"database": "ok", "redis": "ok"}
	for store, ping := range map[string]func(context.Context) error{
		"database": s.DB.Ping,
		"redis":    func(ctx context.Context) error { return s.Redis.Ping(ctx).Err() },
	} {
		if err := ping(ctx); err != nil {
			slog.WarnContext(ctx, "not ready", "store", store, "error", err)
			status, answer[store] = http.StatusServiceUnavailable, "away"
		}
	}
	return c.JSON(status, answer)
}
