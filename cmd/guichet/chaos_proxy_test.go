package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// databaseProxy stands between guichet and MariaDB, and can lose the answer to a commit: the one moment when nobody but the database knows what became of
// a transaction.
type databaseProxy struct {
	target string
	server net.Listener

	mu   sync.Mutex
	trap *commitTrap
}

// commitTrap is sprung by the next COMMIT of a transaction that had a statement with the given words.
type commitTrap struct {
	statement string
	hold      chan struct{} // the COMMIT is passed on when this is closed
	held      chan struct{} // closed when the COMMIT is there
	committed chan struct{} // closed when MariaDB has answered it; the answer is lost, and the connection with it
	pass      bool          // or not
	before    func()        // runs before the connection is cut, after the commit
}

// throughProxy puts a proxy before the database of the house.
func (h *house) throughProxy() *databaseProxy {
	h.Helper()
	config, err := mysqldriver.ParseDSN(h.setting("GUICHET_MYSQL_DSN"))
	if err != nil {
		h.Fatal(err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = server.Close() })
	p := &databaseProxy{target: config.Addr, server: server}
	go p.serve()
	config.Addr = server.Addr().String()
	for i, assignment := range h.settings {
		if strings.HasPrefix(assignment, "GUICHET_MYSQL_DSN=") {
			h.settings[i] = "GUICHET_MYSQL_DSN=" + config.FormatDSN()
		}
	}
	return p
}

// set sets a trap.
func (p *databaseProxy) set(t *commitTrap) *commitTrap {
	t.held, t.committed = make(chan struct{}), make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = t
	return t
}

func (p *databaseProxy) serve() {
	for {
		client, err := p.server.Accept()
		if err != nil {
			return
		}
		upstream, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		go (&proxied{proxy: p, client: client, upstream: upstream}).run()
	}
}

// proxied is one connection.
type proxied struct {
	proxy            *databaseProxy
	client, upstream net.Conn

	mu     sync.Mutex
	sprung *commitTrap
	spoke  strings.Builder // the statements of the present transaction
}

func (c *proxied) run() {
	defer c.close()
	go c.answers()
	c.statements()
}

// statements passes packets on, as the protocol has them: three bytes of length, a number, a command.
func (c *proxied) statements() {
	for {
		head := make([]byte, 4)
		if _, err := io.ReadFull(c.client, head); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(append(head[:3:3], 0)))
		if _, err := io.ReadFull(c.client, body); err != nil {
			return
		}
		c.notice(body)
		if _, err := c.upstream.Write(slices.Concat(head, body)); err != nil {
			return
		}
	}
}

func (c *proxied) notice(body []byte) {
	const query = 3
	if len(body) == 0 || body[0] != query {
		return
	}
	text := body[1:]
	if bytes.HasPrefix(text, []byte("START TRANSACTION")) {
		c.spoke.Reset()
	}
	c.spoke.Write(text)
	if !bytes.HasSuffix(text, []byte("COMMIT")) {
		return
	}
	c.proxy.mu.Lock()
	trap := c.proxy.trap
	if trap == nil || !strings.Contains(c.spoke.String(), trap.statement) {
		c.proxy.mu.Unlock()
		return
	}
	c.proxy.trap = nil
	c.proxy.mu.Unlock()
	close(trap.held)
	if trap.hold != nil {
		<-trap.hold
	}
	c.mu.Lock()
	c.sprung = trap
	c.mu.Unlock()
}

func (c *proxied) close() { _ = errors.Join(c.client.Close(), c.upstream.Close()) }

func (c *proxied) answers() {
	defer c.close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.upstream.Read(buffer)
		if err != nil {
			return
		}
		c.mu.Lock()
		trap := c.sprung
		c.sprung = nil
		c.mu.Unlock()
		if trap != nil {
			if trap.before != nil {
				trap.before()
			}
			close(trap.committed)
			if !trap.pass {
				return
			}
		}
		if _, err := c.client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// await fails the test if c is not closed in time.
func await(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-deadline():
		t.Fatalf("%s: never", what)
	}
}
