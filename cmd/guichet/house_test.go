package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"guichet/models/testbed"
)

// The tests of this package run the real program: this test binary, started again with this variable, is guichet. So what is tested has the
// race detector and can be killed.
const beGuichet = "TESTBED_BE_GUICHET"

func TestMain(m *testing.M) {
	if os.Getenv(beGuichet) == "" {
		testbed.Main(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// patience is the deadline of every wait in these tests. It is generous, as the machines are shared and the race detector is slow.
const patience = 60 * time.Second

// eventually waits until try succeeds.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// house is a pair of stores, real or embedded, and the guichet processes on it.
type house struct {
	testing.TB
	settings []string // GUICHET_…=
	binary   string   // of guichet; empty: this test binary
	embedded bool
	mariadb  *testbed.MariaDB     // where the test asked for servers of its own
	redis    *testbed.RedisServer // likewise
}

const adminPassword = "admin-of-the-tests"

// longGrace: nobody is put out of a room because the machine is slow. Tests of who is gone say otherwise.
const longGrace = "GUICHET_PRESENCE_GRACE=1h"

// onBothPairs runs a test on the embedded pair and on MariaDB with Redis.
func onBothPairs(t *testing.T, test func(t *testing.T, h *house)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, newEmbeddedHouse(t))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		test(t, newRealHouse(t))
	})
}

func newEmbeddedHouse(t *testing.T) *house {
	h := &house{TB: t, embedded: true}
	h.settings = []string{"GUICHET_DATA_DIR=" + t.TempDir(), "GUICHET_ADMIN_PASSWORD=" + adminPassword, longGrace}
	return h
}

// newRealHouse has a database of its own on the shared MariaDB, and a Redis of its own.
func newRealHouse(t *testing.T) *house {
	return realHouse(t, testbed.MySQL(t), testbed.Redis(t))
}

// newPrivateHouse has servers of its own, which the test may kill. They keep what they acknowledge.
func newPrivateHouse(t *testing.T) *house {
	mariadb, redis := testbed.PrivateMariaDB(t, testbed.Options{}), testbed.PrivateRedis(t, testbed.Options{})
	if err := mariadb.CreateDatabase(t.Context(), "guichet"); err != nil {
		t.Fatal(err)
	}
	h := realHouse(t, mariadb.DSN("guichet"), redis.URL())
	h.mariadb, h.redis = mariadb, redis
	return h
}

func realHouse(t *testing.T, dsn, redisURL string) *house {
	h := &house{TB: t, settings: []string{"GUICHET_MYSQL_DSN=" + dsn, "GUICHET_REDIS_URL=" + redisURL, "GUICHET_ADMIN_PASSWORD=" + adminPassword, "GUICHET_DATA_DIR=" + t.TempDir(), longGrace}}
	if output, status := h.tool("migrate"); status != 0 {
		t.Fatalf("guichet migrate: status %d\n%s", status, output)
	}
	return h
}

// program is the command line of guichet with the settings of the house, those of extra winning.
func (h *house) program(ctx context.Context, args []string, extra ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, cmp.Or(h.binary, os.Args[0]), args...) //nolint:gosec // this very binary, or one that a test has built
	for _, assignment := range os.Environ() {
		if !strings.HasPrefix(assignment, "GUICHET_") {
			command.Env = append(command.Env, assignment)
		}
	}
	command.Env = append(command.Env, append(append(slices.Clip(h.settings), extra...), beGuichet+"=1")...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// tool runs a command that ends by itself and returns what it printed.
func (h *house) tool(args ...string) (output string, status int) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := h.program(ctx, args).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.Fatal(err)
	}
	if exit != nil {
		status = exit.ExitCode()
	}
	return string(text), status
}

// audit fails the test unless the books hold.
func (h *house) audit() {
	h.Helper()
	if output, status := h.tool("audit"); status != 0 {
		h.Errorf("guichet audit: status %d\n%s", status, output)
	}
}

// process is a running guichet.
type process struct {
	house   *house
	command *exec.Cmd
	address string // empty for a worker
	ended   chan struct{}
	state   *os.ProcessState

	mu  sync.Mutex
	log []string
}

// serve starts an all-in-one process and waits until it is ready. It is stopped when the test ends.
func (h *house) serve(extra ...string) *process { return h.start([]string{"serve"}, extra...) }

// start starts a process: serve, api or worker.
func (h *house) start(args []string, extra ...string) *process {
	h.Helper()
	if args[0] != "worker" {
		extra = append([]string{"GUICHET_LISTEN=127.0.0.1:0"}, extra...)
	}
	p := &process{house: h, command: h.program(context.Background(), args, extra...), ended: make(chan struct{})}
	stderr, err := p.command.StderrPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		h.Fatal(err)
	}
	address := make(chan string, 1)
	go p.readLog(stderr, address)
	h.Cleanup(func() {
		p.kill()
		if h.Failed() {
			h.Logf("log of %v:\n%s", args, p.tail(60))
		}
	})
	if args[0] == "worker" {
		return p
	}
	select {
	case p.address = <-address:
	case <-p.ended:
		h.Fatalf("guichet %v ended: %v\n%s", args, p.state, p.tail(60))
	case <-time.After(patience):
		h.Fatalf("guichet %v does not listen\n%s", args, p.tail(60))
	}
	eventually(h, "readiness", func() error {
		response, err := http.Get("http://" + p.address + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s", response.Status)
		}
		return nil
	})
	return p
}

// readLog keeps the log, finds the address in it, and reaps the process when it has ended.
func (p *process) readLog(stderr io.Reader, address chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.log = append(p.log, lines.Text())
		p.mu.Unlock()
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			address <- line.Address
		}
	}
	_ = p.command.Wait()
	p.state = p.command.ProcessState
	close(p.ended)
}

// tail is the end of the log.
func (p *process) tail(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log[max(0, len(p.log)-n):], "\n")
}

// logged says whether a line of the log has all the words.
func (p *process) logged(words ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

func (p *process) signal(s syscall.Signal) { _ = p.command.Process.Signal(s) }

// kill ends the process with SIGKILL and waits for its end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop ends the process in order and returns its exit status.
func (p *process) stop() int {
	p.house.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.house.Errorf("a process does not stop\n%s", p.tail(60))
		p.kill()
	}
	return p.state.ExitCode()
}
