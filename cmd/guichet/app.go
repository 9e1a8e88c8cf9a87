package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"guichet/handlers"
	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/lamport"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/ticket"
	"guichet/workers"
)

// Patience at an orderly stop: for requests in flight, then for envelopes in hand.
const (
	requestPatience  = 10 * time.Second
	envelopePatience = 10 * time.Second
)

// app is a process: an API, workers, or both.
type app struct {
	*stores
	clock         lamport.Clock
	ids           *id.Generator
	registry      *prometheus.Registry
	exchangeLanes int
	presenceGrace time.Duration
	publisher     *feed.Publisher
	tracer        trace.Tracer // nil for none
	tickets       *ticket.Signer
	files         files.Storage

	identity *identity.Identity
	hub      *feed.Hub
	messages *messages.Log
	server   *handlers.Server
	workers  *workers.Workers

	serverDone, workersDone sync.WaitGroup
}

func newApp(ctx context.Context, s settings) (*app, error) {
	opened, err := openStores(ctx, s)
	if err != nil {
		return nil, err
	}
	a := &app{stores: opened, ids: id.NewGenerator(), registry: prometheus.NewRegistry(), exchangeLanes: s.ExchangeLanes, presenceGrace: s.PresenceGrace}
	if err := a.prepare(ctx); err != nil {
		return nil, errors.Join(err, a.close())
	}
	if a.files, err = files.OpenDirectory(filepath.Join(s.DataDir, "files")); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *app) prepare(ctx context.Context) error {
	if err := a.migrate(ctx); err != nil {
		return err
	}
	last, err := operation.LastStamp(ctx, a.db)
	if err != nil {
		return err
	}
	a.clock.Witness(last)
	a.tickets, err = ticket.LoadSigner(ctx, a.db)
	a.publisher = feed.NewPublisher(nil, a.published())
	return err
}

// published is where publications go beside the hub of this process: nowhere, if no other process can share the stores.
func (a *app) published() redis.UniversalClient {
	if a.embedded {
		return nil
	}
	return a.redis
}

// withAPI adds the API.
func (a *app) withAPI(ctx context.Context, s apiSettings) error {
	log := feed.NewLog(a.db)
	a.hub = feed.NewHub(log, &a.clock)
	a.publisher = feed.NewPublisher(a.hub, a.published())
	a.messages = messages.NewLog(a.redis, a.db, &a.clock)
	a.hub.FollowAhead(a.messages)
	if err := a.hub.Start(ctx); err != nil {
		return err
	}
	a.identity = identity.New(a.db, a.ids, &a.clock, identity.Options{IdleTimeout: s.SessionIdle, LockFor: s.LockFor, Publisher: a.publisher})
	lanes := workers.Lanes(a.exchangeLanes)
	if err := operation.EnsureLanes(ctx, a.db, lanes); err != nil {
		return err
	}
	if s.AdminPassword != "" {
		if err := a.ensureAdmin(ctx, s.AdminPassword); err != nil {
			return err
		}
	}
	durable, why := events.Durable(ctx, a.redis)
	if !durable {
		slog.InfoContext(ctx, "Redis does not promise to keep what it has answered: reservations and messages are written to the database before they are acknowledged", "because", why)
	}
	var err error
	a.server, err = handlers.NewServer(handlers.Config{ //nolint:contextcheck // each request has its own
		DB: a.db, Redis: a.redis, RedisOptions: a.options, Clock: &a.clock, IDs: a.ids, Identity: a.identity, Hub: a.hub, Log: log,
		Lanes: lanes, ExchangeLanes: a.exchangeLanes, LaneDepth: s.LaneDepth, Wake: a.wake, Metrics: a.registry, Tracer: a.tracer, Version: version,
		Hold: s.Hold, Tickets: a.tickets, Messages: a.messages, RedisIsDurable: durable, Publisher: a.publisher, PresenceGrace: a.presenceGrace,
		Files: a.files, FileLimit: s.FileLimit, FileQuota: s.FileQuota,
	})
	return err
}

func (a *app) ensureAdmin(ctx context.Context, password string) error {
	return a.identity.EnsureAdmin(ctx, password, func(tx database.Tx, user id.ID) error {
		_, err := bank.OpenAnyAccount(tx, &a.clock, user, time.Now())
		return err
	})
}

// withWorkers adds the workers.
func (a *app) withWorkers() {
	a.workers = &workers.Workers{
		DB: a.db, Redis: a.redis, NewRedis: a.newRedis, Clock: &a.clock, Publisher: a.publisher, Lanes: workers.Lanes(a.exchangeLanes),
		ShutdownTimeout: envelopePatience, OnLost: exitLost, Metrics: a.registry, Tracer: a.tracer, Tickets: a.tickets, Files: a.files,
		PresenceGrace: a.presenceGrace,
	}
}

// exitLost ends the process at once. Its memory is stale, and nothing that it has in hand is its own any more.
func exitLost(err error) {
	slog.Error("this process lost a lane to another and ends", "error", err)
	os.Exit(exitLostLane)
}

// wake tells the workers of this process, and those of others, that something was enqueued.
func (a *app) wake(lane string) {
	if a.workers != nil {
		a.workers.Wake(lane)
	}
	if a.embedded {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := operation.PublishWake(ctx, a.redis, lane); err != nil {
		slog.Debug("a wake-up was lost", "lane", lane, "error", err)
	}
}

// run runs until ctx ends, then stops in order: no new requests, those in flight answered, envelopes in hand finished. ready is called when requests are taken.
func (a *app) run(ctx context.Context, listen string, ready func(address string)) error {
	var listener net.Listener
	if listen != "" { // first, as nothing has to be stopped yet if the port is taken
		var err error
		if listener, err = net.Listen("tcp", listen); err != nil {
			return err
		}
	}
	// The parts outlive ctx, each until those before it have stopped.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	failed := make(chan error, 4)
	run := func(group *sync.WaitGroup, part func() error) {
		group.Go(func() {
			if err := part(); err != nil {
				failed <- err
			}
		})
	}
	if a.workers != nil {
		run(&a.workersDone, func() error { return a.workers.Run(working) })
	}
	httpServer := &http.Server{Handler: a.metricsOnly(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	if a.server != nil {
		httpServer.Handler = a.server
		run(&a.serverDone, func() error { return a.server.Run(serving) })
		a.serverDone.Go(func() { a.identity.Run(serving) })
		a.serverDone.Go(func() { a.hub.Run(serving, a.published()) })
	}
	a.serverDone.Go(func() { returnMemory(serving) })
	if listener != nil {
		go func() {
			if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
		ready(listener.Addr().String())
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	slog.Info("stopping")
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestPatience)
	defer cancel()
	if a.server != nil {
		a.server.CloseFeeds()
	}
	if shutdownErr := httpServer.Shutdown(stopping); shutdownErr != nil {
		slog.Warn("some requests were cut off", "error", shutdownErr)
	}
	stopServing()
	a.serverDone.Wait()
	stopWorking()
	a.workersDone.Wait()
	return err
}

// metricsOnly is what a process without an API serves, if it is given an address: health and metrics.
func (a *app) metricsOnly() http.Handler {
	a.registerProcessMetrics()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status":"ok"}`) })
	return mux
}

func (a *app) registerProcessMetrics() {
	if a.server == nil {
		a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
}
