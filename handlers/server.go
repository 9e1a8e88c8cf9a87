// Package handlers answers HTTP requests: it finds out who is calling, checks the request against the contract, and hands commands to the intake of their
// lane. It never executes one. Echo is known here and in api, and nowhere else.
package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"guichet/api"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/feed"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/identity"
	"guichet/models/lamport"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/ticket"
)

const (
	// bodyLimit is the largest body, in bytes, that is read where the contract does not say otherwise.
	bodyLimit = 1 << 20
	// bodyPatience is how long a client may take to send a body of that size.
	bodyPatience = 15 * time.Second
)

// Config is what a server needs. All fields but those that say what they are otherwise are required.
type Config struct {
	DB    *database.DB
	Redis redis.UniversalClient
	// RedisOptions are those of Redis, for asynqmon, which opens its own connections.
	RedisOptions *redis.UniversalOptions
	Clock        *lamport.Clock
	IDs          *id.Generator
	Identity     *identity.Identity
	Hub          *feed.Hub
	Log          *feed.Log
	Lanes        []string
	// ExchangeLanes is how many lanes symbols are spread over when they are listed, of those in Lanes; 0 is 1.
	ExchangeLanes int
	LaneDepth     int               // operations that may wait in a lane
	Wake          func(lane string) // tells the workers of this process, if it has any, that something was enqueued
	Metrics       *prometheus.Registry
	Tracer        trace.Tracer // makes the spans of requests; nil for none
	Version       string
	// Hold is for how long tickets of trips and seats of events are held unpaid.
	Hold time.Duration
	// Tickets signs and checks the codes of tickets.
	Tickets *ticket.Signer
	// Publisher tells of what the server itself commits; nil for the hub alone.
	Publisher *feed.Publisher
	// PresenceGrace is for how long a member of a room may be away before they have left it; 0 is 30 s.
	PresenceGrace time.Duration
	// Messages is the log of what is said in rooms.
	Messages *messages.Log
	// RedisIsDurable says that Redis has on disk what it has answered. Else a reservation, or a message, is written to the database before it is acknowledged.
	RedisIsDurable bool
	// Files has the contents of files.
	Files files.Storage
	// FileLimit is how many bytes a file may have, FileQuota how many the files of a user.
	FileLimit, FileQuota int64
	// FilePatience is for how long who sends a file, or takes one, may be silent; 0 is 30 s.
	FilePatience time.Duration
}

// Server is the API of one process.
type Server struct {
	Config
	journal     *operation.Journal
	contract    *contract
	document    []byte // the contract as JSON
	intakes     map[string]*intake
	rates       *laneRates
	streams     openStreams
	roomWatch   roomWatch
	fanout      *fanout
	places      *places
	symbolLanes sync.Map        // the lanes of symbols, by symbol
	ordered     recent[ordered] // which spares most cancellations a look into the store, and those of orders that wait a look into the journal
	box         boxOffice
	rooms       *chat.Register
	presence    *presence
	uploads     uploadCounts
	requests    *prometheus.HistogramVec
	echo        *echo.Echo
	closing     chan struct{}
	auditing    chan struct{}
}

var _ api.StrictServerInterface = (*Server)(nil)

// NewServer returns a server. Run must be running for it to accept operations.
func NewServer(config Config) (*Server, error) {
	config.ExchangeLanes = max(config.ExchangeLanes, 1)
	if config.FilePatience == 0 {
		config.FilePatience = filePatience
	}
	spec, err := api.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("handlers: reading the contract: %w", err)
	}
	document, err := spec.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("handlers: writing the contract: %w", err)
	}
	s := &Server{
		Config: config, journal: operation.NewJournal(config.DB), document: document, contract: newContract(spec),
		intakes: map[string]*intake{}, rates: newLaneRates(), streams: newOpenStreams(), uploads: uploadCounts{open: map[id.ID]int{}}, closing: make(chan struct{}), auditing: make(chan struct{}, 1),
	}
	s.places, s.fanout = newPlaces(s), newFanout(s)
	if s.Publisher == nil {
		s.Publisher = feed.NewPublisher(config.Hub, nil)
	}
	if s.PresenceGrace == 0 {
		s.PresenceGrace = defaultGrace
	}
	s.rooms, s.presence = chat.NewRegister(config.DB), newPresence(chat.NewPresence(config.Redis, s.PresenceGrace))
	s.roomWatch = s.presence
	for _, lane := range config.Lanes {
		s.intakes[lane] = newIntake(lane, s)
	}
	config.Hub.Listen(s)
	config.Hub.Listen(config.Identity)
	seats := events.NewSeats(config.Redis)
	s.box = boxOffice{seats: seats, halls: events.NewHalls(config.DB, config.Clock, seats), durable: config.RedisIsDurable, writer: newRowWriter(config.DB)}
	s.registerMetrics()
	s.echo = s.routes()
	return s, nil
}

// Published is part of feed.Listener.
func (s *Server) Published(entries []feed.Entry) {
	s.rooms.Heard(entries)
	s.closeBanned(entries)
}

// LaneAdvanced is part of feed.Listener.
func (s *Server) LaneAdvanced(lane string, batches []id.ID, ended int) {
	s.rates.add(lane, ended)
	if in := s.intakes[lane]; in != nil && len(batches) > 0 {
		in.dispatcher.advanced(batches)
	}
}

// Run accepts operations until ctx ends and everybody who submitted has been answered.
func (s *Server) Run(ctx context.Context) error {
	if err := operation.EnsureLanes(ctx, s.DB, s.Lanes); err != nil {
		return fmt.Errorf("handlers: %w", err)
	}
	var present sync.WaitGroup
	present.Go(func() { s.presence.run(ctx) })
	defer present.Wait()
	sweeping, stop := context.WithCancel(ctx)
	var sweeper sync.WaitGroup
	sweeper.Go(func() { s.sweepFiles(sweeping) })
	defer sweeper.Wait()
	defer stop()
	if !s.RedisIsDurable && s.Messages != nil {
		go s.Messages.Watch(ctx)
	}
	done := make(chan struct{}, len(s.intakes))
	for _, in := range s.intakes {
		go func() {
			in.run(ctx)
			done <- struct{}{}
		}()
	}
	for range s.intakes {
		<-done
	}
	return nil
}

// CloseFeeds ends the streams, so that an HTTP server can shut down in order. Their readers resume elsewhere.
func (s *Server) CloseFeeds() {
	close(s.closing)
	s.fanout.close()
}

// ServeHTTP is the handler of everything that guichet serves.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = writeProblem
	e.JSONSerializer = jsonBody{}
	if s.Tracer != nil {
		e.Use(s.traceRequest)
	}
	e.Use(s.observe, s.keepTime, recoverPanic)
	s.routeOutside(e)
	// By operation, not by a group: a group catches all paths, and Echo would then answer 404 where a path has other methods.
	check := map[string][]echo.MiddlewareFunc{}
	for _, o := range s.contract.operations {
		middleware := []echo.MiddlewareFunc{s.checkCall(o)}
		if suffix := suffixOf(o.route.Path); suffix != "" {
			middleware = []echo.MiddlewareFunc{cutSuffix(suffix), s.checkCall(o)}
		}
		check[o.route.Operation.OperationID] = middleware
	}
	api.RegisterHandlersWithOptions(e, api.NewStrictHandler(s, nil), api.RegisterHandlersOptions{OperationMiddlewares: check})
	return e
}

// observe measures requests by route and outcome.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		if c.Request().ContentLength != 0 {
			// The HTTP server would read what is left of a body before it sends the answer, for as long as the client likes to take.
			c.Response().Before(func() {
				if c.Get(bodyRead) == nil {
					c.Response().Header().Set(echo.HeaderConnection, "close")
				}
			})
		}
		err := next(c)
		if err != nil {
			c.Error(err) // writes it, so that the status is known
		}
		path := c.Path()
		if path == "" {
			path = "none"
		}
		took := time.Since(began)
		s.requests.WithLabelValues(methodLabel(c.Request().Method), path, statusClass(c.Response().Status)).Observe(took.Seconds())
		logRequest(slog.Default(), c, path, took)
		return nil
	}
}

// methodLabel keeps made-up methods from making series without end.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

func statusClass(status int) string {
	return [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}[min(max(status/100-1, 0), 4)]
}

// keepTime takes the client's Lamport time and gives the server's: one event to receive, one to send.
func (s *Server) keepTime(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Before(func() {
			c.Response().Header().Set("Lamport-Time", s.Clock.Tick().String())
		})
		header, sent := c.Request().Header["Lamport-Time"]
		if !sent {
			return next(c)
		}
		stamp, err := lamport.Parse(strings.Join(header, ","))
		if err != nil {
			return problem.New(problem.Malformed, "Lamport-Time must be a decimal from 0 to 9007199254740991.")
		}
		s.Clock.ReceiveClaim(stamp, time.Now())
		return next(c)
	}
}

// recoverPanic turns a bug in a handler into an answer.
func recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		return next(c)
	}
}

// checkCall lets a request for an operation through to its handler if the caller may make it and it is as the contract says.
func (s *Server) checkCall(o *contractOperation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := s.check(o, c); err != nil {
				return err
			}
			return next(c)
		}
	}
}

func (s *Server) check(o *contractOperation, c echo.Context) error {
	r := c.Request()
	call := &call{trace: s.traceparent(r.Context())}
	if err := s.authenticate(c, o, call); err != nil {
		return err
	}
	arrived := func() {}
	if o.body != nil {
		r.Body = http.MaxBytesReader(c.Response(), r.Body, bodyLimit)
		arrived = hurry(c.Response())
	}
	if o.form {
		call.arrival, call.file = s.arrive(c), true
	}
	canonical, err := o.validate(c)
	arrived()
	if err != nil {
		return err
	}
	call.wait = preferredWait(r.Header["Prefer"])
	if call.key = r.Header.Get("Idempotency-Key"); call.key != "" {
		call.request = hashRequest(r, canonical)
	}
	c.SetRequest(r.WithContext(withCall(r.Context(), call)))
	return nil
}

// bodyRead is the body of a request that has been read.
const bodyRead = "body read"

// hurry cuts a client off that takes too long to send its body. A server-wide ReadTimeout would end the long streams too; and a timer that
// is nearly always stopped costs a tenth of a deadline that is set and taken away.
func hurry(w http.ResponseWriter) (arrived func()) {
	control := http.NewResponseController(w)
	timer := time.AfterFunc(bodyPatience, func() { _ = control.SetReadDeadline(time.Now()) })
	return func() { timer.Stop() }
}

// authenticate finds the session, where the contract asks for one.
func (s *Server) authenticate(c echo.Context, o *contractOperation, call *call) error {
	if len(o.security) == 0 {
		return nil
	}
	ctx := c.Request().Context()
	var session identity.Session
	err := identity.ErrUnauthenticated
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		session, err = s.Identity.Authenticate(ctx, strings.TrimSpace(token))
	case takesTicket(o.security) && c.QueryParam("ticket") != "":
		session, err = s.Identity.RedeemFeedTicket(ctx, c.QueryParam("ticket"))
	}
	switch {
	case errors.Is(err, identity.ErrUnauthenticated):
		return problem.New(problem.Unauthorized, "Sign in at POST /v1/sessions and send the token as Authorization: Bearer.")
	case errors.Is(err, identity.ErrTicket):
		return problem.New(problem.Unauthorized, "The ticket was used, or is too old.")
	case err != nil:
		return err
	}
	call.session = &session
	return nil
}

func takesTicket(security openapi3.SecurityRequirements) bool {
	for _, requirement := range security {
		if _, ok := requirement["ticket"]; ok {
			return true
		}
	}
	return false
}
