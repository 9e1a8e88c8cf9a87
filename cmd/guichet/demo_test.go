package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// screen is what a program has printed.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// shows waits until patterns are on the screen, one after the other.
func (s *screen) shows(t testing.TB, patterns ...string) {
	t.Helper()
	whole := regexp.MustCompile("(?s)" + strings.Join(patterns, ".*"))
	eventually(t, "what the README promises", func() error {
		if text := s.String(); !whole.MatchString(text) {
			return fmt.Errorf("%s is not in\n%s", whole, text)
		}
		return nil
	})
}

// startDemo starts --demo and waits until it has said how to go on.
func (h *house) startDemo() (*process, *screen) {
	h.Helper()
	p := &process{house: h, command: h.program(context.Background(), []string{"--demo"}, "GUICHET_LISTEN=127.0.0.1:0"), ended: make(chan struct{})}
	printed := &screen{}
	p.command.Stdout = printed
	stderr, err := p.command.StderrPipe()
	check(h, err)
	check(h, p.command.Start())
	address := make(chan string, 1)
	go p.readLog(stderr, address)
	h.Cleanup(p.kill)
	printed.shows(h, "API ", "Docs ", "Queues ", "ada / ", "grace / ", "admin / ", "TCB", "Sign in:\n")
	p.address = <-address
	return p, printed
}

// readmeSteps are the commands of the README's first minute, after the one that starts the demonstration.
func readmeSteps(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	check(t, err)
	_, minute, found := strings.Cut(string(text), "## The first minute\n")
	minute, _, ended := strings.Cut(minute, "### For real\n")
	if !found || !ended {
		t.Fatal("the README has no first minute")
	}
	var steps strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(minute, -1) {
		if !strings.HasPrefix(block[1], "go run ") {
			steps.WriteString(block[1])
		}
	}
	return steps.String()
}

// What the README's tickets and seats are to show, one after the other.
var (
	tripsInTheReadme = []string{
		`"kind":"purchase","lane":"trips","status":"succeeded"[^\n]*"total":3800,"status":"held"`,
		`"kind":"purchase_confirmation"[^\n]*"status":"paid"[^\n]*"tickets":\["[0-9A-Z]+","[0-9A-Z]+"\]`,
		`"kind":"purchase_cancellation"[^\n]*"status":"refunded"[^\n]*"refunded":3800`,
		`"paused":true`, `"status":"queued","position":1`, `"paused":false`, `"status":"succeeded","position":null[^\n]*"quantity":2`,
	}
	eventsInTheReadme = []string{
		`\.{9}ss\.{9}`,
		`"seats":\["A-1-1","A-1-2"\][^\n]*"status":"held"`,
		`"code":"seat_taken"`,
		`"seats":\["B-1-[0-9]+","B-1-[0-9]+"\][^\n]*"status":"held"`,
		`"hh\.{7}ss`,
		`"kind":"reservation_payment","lane":"events","status":"succeeded"[^\n]*"status":"paid"`,
		`"status":"used"[^\n]*"used_where":"North 2"`, `"code":"ticket_used"`,
		`"kind":"reservation_refund"[^\n]*"status":"refunded"`,
		`"seats":\["A-5-20"\][^\n]*"status":"released"`,
	}
	chatInTheReadme = []string{
		`"room":"lobby","user":"alan"`, `"sequence":4,"user":"alan","text":"Good evening"`, `"items":\[{[^\n]*"sequence":4[^\n]*"sequence":1`,
		`"name":"ticket.png"[^\n]*"content_type":"image/png"`, `"code":"file_exists"`,
		`"status":"playing"[^\n]*"turn":"alan"`, `"turn":"grace"[^\n]*"moves":\[{"row":7,"column":7}\]`, `"status":"ended"[^\n]*"winner":"alan","reason":"resignation"`,
		`{"drawn":0,"lost":0,"user":"alan","won":1}`, `"text":"The house closes in ten minutes."`,
	}
)

// The README's first minute, as it stands there.
func TestDemoAsInTheReadme(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p, _ := h.startDemo()
	steps := readmeSteps(t)
	pasted := strings.NewReplacer("127.0.0.1:8080", p.address, "the password that was printed", adminPassword).Replace(steps)
	for _, part := range []string{p.address, "/orders", "/purchases", "/reservations", "/rooms/lobby", adminPassword} {
		if !strings.Contains(pasted, part) {
			t.Fatalf("these are not the steps, as they have no %s:\n%s", part, steps)
		}
	}
	shell := exec.Command("bash")
	shell.Dir = t.TempDir()
	shell.Stdin = strings.NewReader(pasted + "\nwait\n")
	shown := &screen{}
	shell.Stdout, shell.Stderr = shown, shown
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(t, shell.Start())
	stop := sync.OnceFunc(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) // with the feed that runs in the background
		_ = shell.Wait()
	})
	t.Cleanup(stop)

	shown.shows(t, `"kind":"transfer","lane":"bank","status":"succeeded"`)
	shown.shows(t, `"kind":"order","lane":"exchange-0","status":"succeeded".*"filled_quantity":50`)
	shown.shows(t, "event: order.filled\ndata: [^\n]*\"id\":\"TCB-1-buy\"[^\n]*\"quantity\":50,\"price\":32,\"fee\":0[^\n]*\"order_complete\":true")
	shown.shows(t, `"symbol":"TCB","quantity":50,"held":0,"available":50`)
	shown.shows(t, `"notices":\[{[^\n]*"fee":160,"id":"TCB-1-sell"[^\n]*"kind":"order.filled"`)
	shown.shows(t, `"amount":1440[^\n]*"kind":"trade"`)
	shown.shows(t, tripsInTheReadme...)
	shown.shows(t, eventsInTheReadme...)
	shown.shows(t, chatInTheReadme...)
	shown.shows(t, "event: message\ndata: [^\n]*\"text\":\"Good evening\"")
	shown.shows(t, "event: announcement\ndata: [^\n]*\"text\":\"The house closes in ten minutes.\"")
	stop()
	if strings.Contains(shown.String(), "problem\":{") {
		t.Errorf("something was refused:\n%s", shown)
	}

	// Everybody has what the worked example says.
	drawn, err := os.Open(filepath.Join(shell.Dir, "ticket.png"))
	check(t, err)
	t.Cleanup(func() { _ = drawn.Close() })
	if _, err := png.Decode(drawn); err != nil {
		t.Errorf("ticket.png is no picture: %v", err)
	}

	const spent = 2 * 4500 // what is refunded is there again
	for name, want := range map[string]int64{"alan": 1000 - 550 + 1600 - 1600 + 30_000 - spent, "grace": demoCash + 1440, "ada": demoCash + 550 - demoSeatsCost} {
		c := p.client(t)
		c.username, c.password = name, map[string]string{"alan": "enigma-enigma", "grace": demoPeople[1].password, "ada": demoPeople[0].password}[name]
		c.signIn()
		if got := c.balance(); got != want {
			t.Errorf("%s has %d, want %d", name, got, want)
		}
	}
	if fees := h.fees("TCB"); fees != 160 {
		t.Errorf("the fees are %d", fees)
	}
	h.audit()
}

// Somebody who has just come can buy and sell each symbol at once; and a second start leaves everything as it is.
func TestDemoExchange(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p, _ := h.startDemo()
		c := p.user(t)
		c.deposit(100_000)
		for _, s := range demoSymbols {
			c.place(market(s.Symbol, "buy", 2*s.Lot)).is(t, "filled", 2*s.Lot, 0, 0)
			c.place(market(s.Symbol, "sell", 2*s.Lot)).is(t, "filled", 2*s.Lot, 0, 0)
		}
		before := c.state("TCB")
		if status := p.stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		again, _ := h.startDemo()
		c = c.at(again)
		if after := c.state("TCB"); after != before {
			t.Errorf("before: %s\nafter:  %s", before, after)
		}
		h.audit()
	})
}
