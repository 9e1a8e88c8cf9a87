package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"guichet/models/audit"
	"guichet/models/database"
)

func (o output) fail(err error) int {
	fmt.Fprintln(o.stderr, "guichet:", err)
	return exitFault
}

func (c *serveCommand) run(ctx context.Context, s settings, out output) int {
	return runApp(ctx, s, out, parts{api: &c.apiSettings, workers: true, demo: c.Demo, listen: c.Listen})
}

func (c *apiCommand) run(ctx context.Context, s settings, out output) int {
	if s.MySQLDSN == "" {
		return out.fail(errors.New("an API of its own needs stores that others can reach: set GUICHET_MYSQL_DSN and GUICHET_REDIS_URL, or use `guichet serve`"))
	}
	return runApp(ctx, s, out, parts{api: &c.apiSettings, listen: c.Listen})
}

func (c *workerCommand) run(ctx context.Context, s settings, out output) int {
	if s.MySQLDSN == "" {
		return out.fail(errors.New("a worker of its own needs stores that others can reach: set GUICHET_MYSQL_DSN and GUICHET_REDIS_URL, or use `guichet serve`"))
	}
	return runApp(ctx, s, out, parts{workers: true, listen: c.Listen})
}

// serveProfiles serves net/http/pprof, for whoever looks into why something is slow.
func serveProfiles(listen string) {
	if listen == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { slog.Error("profiles are not served", "error", server.ListenAndServe()) }()
}

// parts are what a process consists of.
type parts struct {
	api     *apiSettings // nil for none
	workers bool
	demo    bool
	listen  string // empty for none
}

func runApp(ctx context.Context, s settings, out output, p parts) int {
	serveProfiles(s.Pprof)
	tracing, err := startTracing(ctx, out.stdout)
	if err != nil {
		fmt.Fprintln(out.stderr, "guichet:", err)
		return exitUsage
	}
	defer tracing.stop(ctx)
	a, err := newApp(ctx, s)
	if err != nil {
		return out.fail(err)
	}
	defer func() { _ = a.close() }()
	a.tracer = tracing.tracer()
	if p.api != nil {
		if err := a.withAPI(ctx, *p.api); err != nil {
			return out.fail(err)
		}
	}
	if p.workers {
		a.withWorkers()
	}
	err = a.run(ctx, p.listen, func(address string) {
		slog.Info("listening", "address", address, "embedded", a.embedded, "version", version)
		switch {
		case p.demo:
			go a.runDemo(ctx, address, p.api.AdminPassword, out)
		case p.api != nil:
			welcome(out.stdout, address)
		}
	})
	if err != nil {
		return out.fail(err)
	}
	return 0
}

func (a *app) runDemo(ctx context.Context, address, adminPassword string, out output) {
	if err := a.demo(ctx, address, adminPassword, out.stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(out.stderr, "guichet: --demo:", err)
	}
}

func welcome(w io.Writer, address string) {
	fmt.Fprintf(w, "API     http://%[1]s/v1\nDocs    http://%[1]s/docs/\nQueues  http://%[1]s/queues (admins)\n", address)
}

func (*migrateCommand) run(ctx context.Context, s settings, out output) int {
	opened, err := openStoresForMigration(ctx, s)
	if err != nil {
		return out.fail(err)
	}
	defer func() { _ = opened.close() }()
	n, err := opened.db.Migrate(ctx)
	if err != nil {
		return out.fail(err)
	}
	fmt.Fprintf(out.stdout, "%d migrations applied; the schema is up to date\n", n)
	return 0
}

// openStoresForMigration opens the database alone: a migration has no use for Redis.
func openStoresForMigration(ctx context.Context, s settings) (*stores, error) {
	opened := &stores{embedded: s.MySQLDSN == ""}
	if opened.embedded {
		return openStores(ctx, s)
	}
	err := opened.openDatabase(database.OpenMySQL(ctx, s.MySQLDSN))
	return opened, err
}

func (*auditCommand) run(ctx context.Context, s settings, out output) int {
	db, err := openForAudit(ctx, s)
	if err != nil {
		return out.fail(err)
	}
	defer func() { _ = db.Close() }()
	report, err := audit.Run(ctx, db)
	if err != nil {
		return out.fail(err)
	}
	for _, check := range report.Checks {
		verdict := "holds"
		if !check.Holds() {
			verdict = "DOES NOT HOLD"
		}
		fmt.Fprintf(out.stdout, "%-28s %-14s %d checked\n", check.Name, verdict, check.Checked)
		for _, finding := range check.Findings {
			fmt.Fprintf(out.stdout, "    %s\n", finding)
		}
	}
	fmt.Fprintf(out.stdout, "took %s\n", report.Took.Round(time.Millisecond))
	if !report.Holds() {
		fmt.Fprintln(out.stdout, "the books do NOT hold")
		return exitUnsound
	}
	fmt.Fprintln(out.stdout, "the books hold")
	return 0
}

// openForAudit opens the database beside a server that may be running on it.
func openForAudit(ctx context.Context, s settings) (*database.DB, error) {
	if s.MySQLDSN != "" {
		return database.OpenMySQL(ctx, s.MySQLDSN)
	}
	if _, err := os.Stat(filepath.Join(s.DataDir, database.SQLiteFile)); err != nil {
		return nil, fmt.Errorf("there is no embedded store to audit: %w", err)
	}
	return database.OpenSQLite(ctx, s.DataDir)
}

func (c *healthCommand) run(ctx context.Context, _ settings, out output) int {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Listen+"/healthz", nil)
	if err != nil {
		return out.fail(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return out.fail(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return out.fail(fmt.Errorf("the server answers %s", response.Status))
	}
	return 0
}

func (*versionCommand) run(_ context.Context, _ settings, out output) int {
	built := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		built = " " + info.GoVersion
	}
	fmt.Fprintf(out.stdout, "guichet %s%s\n", version, built)
	return 0
}
