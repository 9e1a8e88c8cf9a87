package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stalled is a reader that has stopped reading.
type stalled struct {
	*client
	conn net.Conn
}

// stall opens a feed of what concerns the user, and reads nothing of it.
func (c *client) stall() stalled {
	c.Helper()
	return c.stallOn("me")
}

// stallOn opens a feed of the topics and reads nothing of it. Its window and its segments are small, so that the kernel keeps little for it on either side.
func (c *client) stallOn(topics string) stalled {
	c.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096), syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536))
		})
		return errors.Join(err, failed)
	}}
	conn, err := dialer.DialContext(context.Background(), "tcp", strings.TrimPrefix(c.base, "http://"))
	check(c, err)
	c.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /v1/feed?topics=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", topics, c.token)
	check(c, err)
	return stalled{c, conn}
}

var entryID = regexp.MustCompile(`^id: (\d+)$`)

// wake reads what there is until the server's end, and returns the operations whose end was told whole, and the id to resume from.
func (s stalled) wake() (finished []string, last int64) {
	s.Helper()
	check(s, s.conn.SetReadDeadline(time.Now().Add(patience)))
	lines := bufio.NewScanner(s.conn)
	lines.Buffer(nil, 1<<20)
	var id int64
	var event, operation string
	for lines.Scan() {
		line := lines.Text()
		switch {
		case entryID.MatchString(line):
			id, _ = strconv.ParseInt(entryID.FindStringSubmatch(line)[1], 10, 64)
		case strings.HasPrefix(line, "event: "):
			event = line
		case strings.HasPrefix(line, "data: "):
			_, after, _ := strings.Cut(line, `"id":"`)
			operation, _, _ = strings.Cut(after, `"`)
		case line == "" && id > last:
			if last = id; event == "event: operation.finished" {
				finished = append(finished, operation)
			}
			event = ""
		}
	}
	return finished, last
}

// memory is what the process has in RAM, in bytes: now and at the most.
func (p *process) memory() (now, most int64) {
	p.house.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	check(p.house, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && (fields[0] == "VmRSS:" || fields[0] == "VmHWM:") {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			if fields[0] == "VmRSS:" {
				now = n << 10
			} else {
				most = n << 10
			}
		}
	}
	return now, most
}

// Readers that have stopped reading do not slow the others, and take a bounded amount of memory; they are cut off, and resume where they were.
func TestStalledReaders(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const people, each, senders, transfers = 25, 20, 2, 250
		p := h.serve()
		var stuck []stalled
		crowd := make([]*client, people)
		for i := range crowd {
			crowd[i] = p.user(t)
			for range each {
				stuck = append(stuck, crowd[i].stall())
			}
		}
		eventually(t, "500 streams", func() error { return p.metric("guichet_feed_subscriptions", people*each) })
		ada := p.user(t)
		quick := ada.follow("").ready()
		before, _ := p.memory()

		var load sync.WaitGroup
		made := make([][]string, people)
		var mu sync.Mutex
		for i, c := range crowd {
			for range senders {
				load.Go(func() {
					for range transfers {
						body := map[string]any{"from": c.account, "to": ada.account, "amount": 1, "reference": strings.Repeat("😀", 140)}
						o := c.post("/v1/transfers", body).operation(t, http.StatusAccepted)
						mu.Lock()
						made[i] = append(made[i], o.ID)
						mu.Unlock()
					}
				})
			}
		}
		slowest := time.Duration(0)
		for range 50 { // meanwhile
			began := time.Now()
			quick.finished(ada.deposit(1).ID)
			slowest = max(slowest, time.Since(began))
		}
		load.Wait()
		for i, c := range crowd {
			c.get("/v1/operations/"+made[i][len(made[i])-1]+"?wait=30").operation(t, http.StatusOK)
		}
		eventually(t, "the stalled to be cut off", func() error { return p.metric("guichet_feed_subscriptions", 1) })
		t.Logf("%v readers were cut off because too much waited for them, the others because a write to them took too long", p.scrape(t)["guichet_feed_cut_off_total"])
		after, most := p.memory()
		t.Logf("memory before %d MB, at the most %d MB, after %d MB; an entry took at the most %v to its reader", before>>20, most>>20, after>>20, slowest)
		if most-before > 700<<20 {
			t.Errorf("the memory went from %d MB up to %d MB", before>>20, most>>20)
		}
		if slowest > 10*time.Second {
			t.Errorf("an entry took %v", slowest)
		}
		quick.finished(ada.deposit(1).ID)

		for i, c := range crowd {
			finished, last := stuck[i*each].wake()
			all := len(finished)
			told := map[string]int{}
			for _, id := range finished {
				told[id]++
			}
			resumed := c.after(last)
			for all < senders*transfers {
				for _, e := range resumed.next(1) {
					if e.Event == "operation.finished" {
						told[e.Data.ID]++
						all++
					}
				}
			}
			for _, id := range made[i] {
				if told[id] != 1 {
					t.Errorf("operation %s was told %d times", id, told[id])
				}
			}
			if i == 0 { // one speaks for all
				t.Logf("a stalled reader had had %d of %d operations", len(finished), all)
			}
			resumed.close()
		}
	})
}

// Readers of a room who have stopped reading keep nobody waiting. They are cut off, and resume where they were.
func TestStalledReadersOfARoom(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const people, each = 10, 20
		p := h.serve()
		ada := p.user(t)
		ada.enter("lobby")
		ada.said("lobby", "Hello")
		var stuck []stalled
		for range people {
			c := p.user(t)
			for range each {
				stuck = append(stuck, c.stallOn("room:lobby"))
			}
		}
		eventually(t, "200 streams", func() error { return p.metric("guichet_feed_subscriptions", people*each) })
		quick := ada.listen("room:lobby", func() *process { return p })
		last, text := int64(0), strings.Repeat("世", 4000)
		slowest := time.Duration(0)
		for p.metric("guichet_feed_subscriptions", 1) != nil {
			began := time.Now()
			last = ada.said("lobby", text).Sequence
			quick.heard(last)
			slowest = max(slowest, time.Since(began))
		}
		t.Logf("the stalled were cut off after %d messages of 12 kB; a message took at the most %v", last, slowest)
		if slowest > 10*time.Second {
			t.Errorf("a message took %v", slowest)
		}
		for i, s := range stuck {
			if i%each != 0 { // one speaks for all of a person
				continue
			}
			e := &ear{client: s.client, topics: "room:lobby"}
			check(t, s.conn.SetReadDeadline(time.Now().Add(patience)))
			if err := e.read(bufio.NewReader(s.conn)); err == nil {
				t.Fatal("a stalled stream goes on")
			}
			resumed := s.client.listenFrom(e.place, "room:lobby", func() *process { return p })
			resumed.heard(last)
			if n := len(e.sequences); n > 0 && e.sequences[n-1]+1 != resumed.sequences[0] || n == 0 && resumed.sequences[0] != 2 {
				t.Errorf("the stalled reader had %v, and then %d", e.sequences, resumed.sequences[0])
			}
		}
	})
}
