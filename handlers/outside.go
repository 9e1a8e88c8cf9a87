package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	swgui "github.com/swaggest/swgui/v5emb"

	"guichet/api"
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

	s.routeQueues(e)
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

// readyPatience is how long a store may take to give a sign of life.
const readyPatience = 2 * time.Second

// ready tells the truth about both stores, asked at the same time: one that does not answer must not use up the other's patience.
func (s *Server) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyPatience)
	defer cancel()
	redis := make(chan error, 1)
	go func() { redis <- s.Redis.Ping(ctx).Err() }()
	errs := map[string]error{"database": s.DB.Ping(ctx)}
	errs["redis"] = <-redis
	status, answer := http.StatusOK, map[string]string{}
	for store, err := range errs {
		answer[store] = "ok"
		if err != nil {
			slog.WarnContext(ctx, "not ready", "store", store, "error", err)
			status, answer[store] = http.StatusServiceUnavailable, "away"
		}
	}
	return c.JSON(status, answer)
}
