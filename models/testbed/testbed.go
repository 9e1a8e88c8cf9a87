// Package testbed runs private, real MariaDB and Redis servers for tests and benchmarks: each on a loopback port and in a directory of its own, none
// of them the machine's services. Servers can be killed, frozen, restarted and wiped, and never outlive the process that started them (on Linux).
// Only _test.go files, models/testbed/stores, cmd/testbed and cmd/bench import it; it knows nothing of guichet.
//
// Data lives under TMPDIR, so that variable also says which disk a benchmark writes to. When the servers are not installed, tests fail and say how to
// install them; no test is skipped.
package testbed

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQLDSNVariable names the environment variable with the DSN of a server for MySQL to use instead of starting one. Its user must be allowed to
// create databases; the database that the DSN names, if any, is left alone.
const MySQLDSNVariable = "TESTBED_MYSQL_DSN"

// dropTimeout bounds how long dropping a test's database may wait for transactions that the test has left open.
const dropTimeout = time.Minute

// shared is the MariaDB of this process, started when the first test asks for it.
var shared struct {
	mu     sync.Mutex
	server *MariaDB
	err    error
}

// Main runs a package's tests and then stops the servers that they share:
//
//	func TestMain(m *testing.M) { testbed.Main(m) }
//
// A package that has its own TestMain calls Stop before it exits.
func Main(m *testing.M) {
	m.Run() // the testing package exits with its status after TestMain has returned
	if err := Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// Stop ends the servers that the tests of this process share and removes their data. The next call of MySQL starts a new one.
func Stop() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	server := shared.server
	shared.server, shared.err = nil, nil
	if server == nil {
		return nil
	}
	return server.Close()
}

// MySQL returns the DSN of a fresh, empty database, dropped when the test ends. It is on the server that TESTBED_MYSQL_DSN names, else on one that the
// tests of this process share. That server does not wait for the disk; a test that kills its server uses PrivateMariaDB.
func MySQL(tb testing.TB) string {
	tb.Helper()
	dsn, err := sharedDSN(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text()[:16])
	if err := execute(tb.Context(), dsn, createDatabase(name)); err != nil {
		tb.Fatalf("testbed: creating database %s: %v", name, err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if err := execute(ctx, dsn, "DROP DATABASE "+name); err != nil {
			tb.Errorf("testbed: dropping database %s (is a transaction still open?): %v", name, err)
		}
	})
	return withDatabase(dsn, name)
}

func sharedDSN(ctx context.Context) (string, error) {
	if dsn := os.Getenv(MySQLDSNVariable); dsn != "" {
		if _, err := mysql.ParseDSN(dsn); err != nil {
			return "", fmt.Errorf("testbed: %s: %w", MySQLDSNVariable, err)
		}
		return dsn, nil
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		// The server outlives the test that happens to be first, so it is not that test's context which bounds its start.
		shared.server, shared.err = StartMariaDB(context.WithoutCancel(ctx), Options{Relaxed: true})
	}
	if shared.err != nil {
		return "", shared.err
	}
	return shared.server.DSN(""), nil
}

// Redis returns the URL of a fresh Redis that belongs to this test and ends with it. It is durable, as PrivateRedis says.
func Redis(tb testing.TB) string {
	tb.Helper()
	return PrivateRedis(tb, Options{}).URL()
}

// PrivateMariaDB starts a MariaDB that belongs to this test and ends with it, to be killed, frozen and restarted.
func PrivateMariaDB(tb testing.TB, options Options) *MariaDB {
	tb.Helper()
	return private(tb, StartMariaDB, options)
}

// PrivateRedis starts a Redis that belongs to this test and ends with it, to be killed, frozen, restarted and wiped.
func PrivateRedis(tb testing.TB, options Options) *RedisServer {
	tb.Helper()
	return private(tb, StartRedis, options)
}

func private[S interface{ Close() error }](tb testing.TB, start func(context.Context, Options) (S, error), options Options) S {
	tb.Helper()
	s, err := start(tb.Context(), options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("testbed: %v", err)
		}
	})
	return s
}
