package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"guichet/models/chat"
	"guichet/models/exchange"
	"guichet/models/files"
	"guichet/models/trips"
)

// settings are flags of every command that has use for them; each is an environment variable too, and the flag wins.
type settings struct {
	DataDir       string        `env:"GUICHET_DATA_DIR" default:"./data" help:"Directory of the embedded store and of uploaded files; for these, processes on real stores share it." placeholder:"DIR"`
	MySQLDSN      string        `env:"GUICHET_MYSQL_DSN" name:"mysql-dsn" help:"MySQL or MariaDB, as user:password@tcp(host:port)/database. Goes with the Redis URL; without both, the embedded pair is used." placeholder:"DSN"`
	RedisURL      string        `env:"GUICHET_REDIS_URL" name:"redis-url" help:"Redis, as redis://[user:password@]host:port[/db] (rediss:// for TLS; several ?addr= for a cluster)." placeholder:"URL"`
	ExchangeLanes int           `env:"GUICHET_EXCHANGE_LANES" name:"exchange-lanes" default:"1" help:"Lanes that symbols are spread over when they are listed, 1 to 64. The same for all processes; never less than it was." placeholder:"N"`
	PresenceGrace time.Duration `env:"GUICHET_PRESENCE_GRACE" name:"presence-grace" default:"30s" help:"For how long a member of a room may be away before they have left it: 1s to 1h. The same for all processes." placeholder:"DURATION"`
	Pprof         string        `env:"GUICHET_PPROF_LISTEN" name:"pprof-listen" help:"Loopback address for profiles (net/http/pprof); none unless it is given." placeholder:"HOST:PORT"`
	LogLevel      slog.Level    `env:"GUICHET_LOG_LEVEL" default:"info" help:"debug, info, warn or error. Logs are JSON lines on standard error." placeholder:"LEVEL"`
}

type apiSettings struct {
	Listen        string        `env:"GUICHET_LISTEN" default:"127.0.0.1:8080" help:"Address to listen on." placeholder:"HOST:PORT"`
	AdminPassword string        `env:"GUICHET_ADMIN_PASSWORD" help:"Creates the user admin with this password, or gives it to them." placeholder:"PASSWORD"`
	LaneDepth     int           `env:"GUICHET_LANE_DEPTH" default:"10000" help:"Operations that may wait in a lane before more are refused." placeholder:"N"`
	SessionIdle   time.Duration `env:"GUICHET_SESSION_IDLE" default:"30m" help:"A session that is not used for so long ends." placeholder:"DURATION"`
	Hold          time.Duration `env:"GUICHET_HOLD" default:"10m" help:"For how long tickets of trips and seats of events are held unpaid, in whole seconds: 1s to 24h." placeholder:"DURATION"`
	FileLimit     int64         `env:"GUICHET_FILE_LIMIT" default:"2147483648" help:"Bytes that a file may have." placeholder:"BYTES"`
	FileQuota     int64         `env:"GUICHET_FILE_QUOTA" default:"10737418240" help:"Bytes that all files of a user may have." placeholder:"BYTES"`
	LockFor       time.Duration `env:"GUICHET_LOCK_FOR" default:"5m" help:"For how long three wrong passwords in a row lock sign-in." placeholder:"DURATION"`
}

type commandLine struct {
	settings
	Serve   serveCommand   `cmd:"" default:"withargs" help:"API and workers in one process (the default)."`
	API     apiCommand     `cmd:"" name:"api" help:"The API alone. Any number may run beside each other."`
	Worker  workerCommand  `cmd:"" help:"The workers alone. One holds each lane; others stand by."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's schema up to date."`
	Audit   auditCommand   `cmd:"" help:"Prove the books. Exit status 0: they hold; 3: they do not."`
	Health  healthCommand  `cmd:"" help:"Ask a running server whether it is alive (for container health checks)."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type serveCommand struct {
	apiSettings
	Demo bool `help:"Fill an empty store with things to play with, and print how to sign in. On loopback addresses only."`
}

type apiCommand struct{ apiSettings }

type workerCommand struct {
	Listen string `env:"GUICHET_LISTEN" help:"Address for health and metrics; none unless it is given." placeholder:"HOST:PORT"`
}

type migrateCommand struct{}

type auditCommand struct{}

type healthCommand struct {
	Listen string `env:"GUICHET_LISTEN" default:"127.0.0.1:8080" help:"Address that the server listens on." placeholder:"HOST:PORT"`
}

type versionCommand struct{}

// output is where commands write.
type output struct{ stdout, stderr io.Writer }

// parse reads the command line and the environment into something to run; nil if all that was asked for was help.
func parse(args, environment []string, stdout, stderr io.Writer) (func(context.Context) int, error) {
	var line commandLine
	helped := false
	parser, err := kong.New(&line,
		kong.Name("guichet"),
		kong.Description("Five counters behind one contract: see the README. Every flag that names a variable can be set by it."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.Resolvers(environmentResolver(environment)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, err
	}
	if err := checkEnvironment(parser.Model, environment); err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(args)
	if helped {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := line.check(); err != nil {
		return nil, err
	}
	target := parsed.Selected().Target.Addr().Interface()
	if checked, ok := target.(interface{ check() error }); ok {
		if err := checked.check(); err != nil {
			return nil, err
		}
	}
	out := output{stdout, stderr}
	slog.SetDefault(slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: line.LogLevel})))
	redis.SetLogger(redisLog{})
	command, ok := target.(interface {
		run(context.Context, settings, output) int
	})
	if !ok {
		return nil, fmt.Errorf("%s cannot be run", parsed.Command())
	}
	return func(ctx context.Context) int { return command.run(ctx, line.settings, out) }, nil
}

// check refuses settings that cannot be meant, before anything is opened.
func (l *commandLine) check() error {
	s := l.settings
	if (s.MySQLDSN == "") != (s.RedisURL == "") {
		return errors.New("GUICHET_MYSQL_DSN and GUICHET_REDIS_URL go together: set both for MySQL and Redis, or neither for the embedded pair")
	}
	if s.MySQLDSN != "" {
		if config, err := mysqldriver.ParseDSN(s.MySQLDSN); err != nil {
			return fmt.Errorf("GUICHET_MYSQL_DSN: %w", err)
		} else if config.DBName == "" {
			return errors.New("GUICHET_MYSQL_DSN names no database: user:password@tcp(host:port)/database")
		}
		if _, err := redisOptions(s.RedisURL); err != nil {
			return fmt.Errorf("GUICHET_REDIS_URL: %w", err)
		}
	}
	if s.ExchangeLanes < 1 || s.ExchangeLanes > exchange.MaxLanes {
		return fmt.Errorf("GUICHET_EXCHANGE_LANES: 1 to %d", exchange.MaxLanes)
	}
	if s.PresenceGrace < chat.MinGrace || s.PresenceGrace > chat.MaxGrace {
		return errors.New("GUICHET_PRESENCE_GRACE: 1s to 1h")
	}
	if s.Pprof != "" && !isLoopback(s.Pprof) {
		return fmt.Errorf("GUICHET_PPROF_LISTEN: profiles are served on loopback addresses only, not on %s", s.Pprof)
	}
	return nil
}

func (c *serveCommand) check() error {
	if c.Demo && !isLoopback(c.Listen) {
		return fmt.Errorf("--demo makes users with known passwords, so it listens on loopback addresses only, not on %s", c.Listen)
	}
	return c.apiSettings.check()
}

func (a *apiSettings) check() error {
	if _, _, err := net.SplitHostPort(a.Listen); err != nil {
		return fmt.Errorf("GUICHET_LISTEN: %w", err)
	}
	if n := len(a.AdminPassword); n > 0 && (n < 8 || n > 256) {
		return errors.New("GUICHET_ADMIN_PASSWORD: 8 to 256 characters")
	}
	if a.LaneDepth < 1 || a.LaneDepth > 100_000 {
		return errors.New("GUICHET_LANE_DEPTH: 1 to 100000")
	}
	if a.SessionIdle < time.Second || a.LockFor < time.Second {
		return errors.New("GUICHET_SESSION_IDLE and GUICHET_LOCK_FOR: at least 1s")
	}
	if a.Hold < trips.MinHold || a.Hold > trips.MaxHold || a.Hold%time.Second != 0 {
		return errors.New("GUICHET_HOLD: 1s to 24h, in whole seconds")
	}
	if a.FileLimit < 1 || a.FileLimit > files.MaxBytes || a.FileQuota < 1 || a.FileQuota > files.MaxBytes {
		return fmt.Errorf("GUICHET_FILE_LIMIT and GUICHET_FILE_QUOTA: 1 to %d", int64(files.MaxBytes))
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// environmentResolver looks settings up in the given environment, which in tests is not that of the process.
func environmentResolver(environment []string) kong.Resolver {
	values := map[string]string{}
	for _, assignment := range environment {
		name, value, _ := strings.Cut(assignment, "=")
		values[name] = value
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if value, set := values[name]; set && value != "" {
				return value, nil
			}
		}
		return nil, nil
	})
}

// checkEnvironment refuses variables that look like settings and are none: a misspelt one would be ignored otherwise.
func checkEnvironment(model *kong.Application, environment []string) error {
	var known []string
	collect := func(node *kong.Node) {
		for _, flag := range node.Flags {
			known = append(known, flag.Envs...)
		}
	}
	collect(model.Node)
	for _, child := range model.Children {
		collect(child)
	}
	for _, assignment := range environment {
		name, _, _ := strings.Cut(assignment, "=")
		if strings.HasPrefix(name, "GUICHET_") && !slices.Contains(known, name) {
			slices.Sort(known)
			return fmt.Errorf("there is no setting %s; there are %s", name, strings.Join(slices.Compact(known), ", "))
		}
	}
	return nil
}

// redisOptions reads a Redis URL. With several addresses it means a cluster.
func redisOptions(url string) (*redis.UniversalOptions, error) {
	cluster, err := redis.ParseClusterURL(url)
	if err != nil {
		return nil, err
	}
	single, err := redis.ParseURL(strings.SplitN(url, "?", 2)[0])
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{
		Addrs: cluster.Addrs, Username: cluster.Username, Password: cluster.Password, DB: single.DB, TLSConfig: cluster.TLSConfig,
		ContextTimeoutEnabled: true, DialTimeout: 2 * time.Second, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
	}, nil
}
