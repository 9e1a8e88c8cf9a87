package lamport

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Stamp{
		"0": 0, "1": 1, "007": 7, "0000000000000000": 0, "0000000000000042": 42, "9007199254740990": MaxStamp - 1, "9007199254740991": MaxStamp,
	} {
		if got, err := Parse(text); got != want || err != nil {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "+1", "-1", "-0", " 1", "1 ", "1\n", "1.0", "1e3", "0x10", "1_000", "١", "１", "NaN", "1,2", "\x00",
		"9007199254740992",      // 2^53
		"9999999999999999",      // 16 digits
		"00000000000000001",     // 17 digits
		"18446744073709551617",  // 2^64 + 1
		strings.Repeat("9", 99), // and so on
	} {
		if got, err := Parse(text); got != 0 || !errors.Is(err, ErrMalformed) {
			t.Errorf("Parse(%q) = %d, %v; want ErrMalformed", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0", "9007199254740991", "9007199254740992", "+1", "１", "0000000000000000000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text)
		if err != nil {
			return
		}
		if got < 0 || got > MaxStamp {
			t.Errorf("Parse(%q) = %d", text, got)
		}
		if digits := strings.TrimLeft(text, "0"); got.String() != digits && (got != 0 || digits != "") {
			t.Errorf("Parse(%q) = %s", text, got)
		}
	})
}

// TestWorkedExample is the mission's: the client's clock sends 1 and reads 4 after the answer, sends 5 and reads 8, sends 9 and reads 12.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	var client, server Clock
	for turn := range Stamp(3) {
		sent := client.Tick()
		server.Receive(sent)
		read := client.Receive(server.Tick())
		if sent != 4*turn+1 || read != 4*turn+4 {
			t.Errorf("turn %d: sends %d and reads %d", turn, sent, read)
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	var c Clock
	for step, tt := range []struct {
		event func() Stamp
		want  Stamp
	}{
		{c.Now, 0},
		{c.Tick, 1},
		{func() Stamp { return c.Receive(0) }, 2},
		{func() Stamp { return c.Receive(2) }, 3},
		{func() Stamp { return c.Receive(10) }, 11},
		{func() Stamp { c.Witness(5); return c.Now() }, 11},
		{func() Stamp { c.Witness(20); return c.Now() }, 20},
		{func() Stamp { return c.Receive(MaxStamp) }, MaxStamp + 1}, // what came from outside was in range; the clock goes on
		{c.Tick, MaxStamp + 2},
		{c.Now, MaxStamp + 2},
	} {
		if got := tt.event(); got != tt.want {
			t.Errorf("step %d: %d, want %d", step, got, tt.want)
		}
	}
	if text := Stamp(math.MaxInt64).String(); text != "9223372036854775807" {
		t.Errorf("String() = %s", text)
	}
}

// TestHappenedBefore lets processes, each of several threads, send each other messages, and checks along every chain that stamps ascend, and that no
// two events of a process have the same one.
func TestHappenedBefore(t *testing.T) {
	t.Parallel()
	const processes, threads, messages = 3, 4, 2000
	var clocks [processes]Clock
	var stamps [processes][threads][]Stamp
	wires := make([]chan Stamp, processes)
	for p := range wires {
		wires[p] = make(chan Stamp, processes*threads*messages) // never full
	}
	var running sync.WaitGroup
	for p := range processes {
		for thread := range threads {
			running.Go(func() {
				var last Stamp
				seen := make([]Stamp, 0, 2*messages)
				note := func(s Stamp, after Stamp) {
					if s <= after || s <= last {
						t.Errorf("process %d stamped %d what came after %d and %d", p, s, after, last)
					}
					last, seen = s, append(seen, s)
				}
				for n := range messages {
					sent := clocks[p].Tick()
					note(sent, 0)
					wires[(p+1+n%(processes-1))%processes] <- sent
					select {
					case received := <-wires[p]:
						note(clocks[p].Receive(received), received)
					default:
					}
				}
				stamps[p][thread] = seen
			})
		}
	}
	running.Wait()
	for p := range processes {
		all := map[Stamp]bool{}
		for _, seen := range stamps[p] {
			for _, s := range seen {
				if all[s] {
					t.Fatalf("process %d has two events stamped %d", p, s)
				}
				all[s] = true
			}
		}
	}
}

func TestWitnessConcurrently(t *testing.T) {
	t.Parallel()
	var c Clock
	var running sync.WaitGroup
	for n := range Stamp(8) {
		running.Go(func() {
			for i := range Stamp(1000) {
				c.Witness(n*1000 + i)
				if now := c.Now(); now < n*1000+i {
					t.Errorf("the clock reads %d after %d was witnessed", now, n*1000+i)
				}
			}
		})
	}
	running.Wait()
	if c.Now() != 7999 {
		t.Errorf("the clock reads %d", c.Now())
	}
}

func TestReceiveClaim(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name               string
		own, claimed, want Stamp
	}{
		{"nothing", 5, 0, 6},
		{"less", 5, 3, 6},
		{"more", 5, 70, 71},
		{"much more", 5, horizon, horizon + 1},
		{"too much", 5, horizon + 1, 6},
		{"all", 5, MaxStamp, 6},
		{"a stride, up there", horizon + 10, horizon + 10 + stride, horizon + 11 + stride},
		{"more than a stride, up there", horizon + 10, horizon + 11 + stride, horizon + 11},
		{"into the last of it", horizon - 1, horizon - 1 + stride, horizon + stride},
		{"less, up there", horizon + 10, horizon - 10, horizon + 11},
		{"all, when all is used up", MaxStamp - 1, MaxStamp, MaxStamp + 1},
	} {
		var c Clock
		c.Witness(tt.own)
		if got := c.ReceiveClaim(tt.claimed, time.Unix(1e9, 0)); got != tt.want || c.Now() != tt.want {
			t.Errorf("%s: at %d, %d is received as %d, want %d", tt.name, tt.own, tt.claimed, got, tt.want)
		}
	}
}

// Who claims and claims again gets a stride a minute out of it, and steps between.
func TestClaimsDoNotUseTheClockUp(t *testing.T) {
	t.Parallel()
	var c Clock
	c.Witness(horizon)
	now := time.Unix(1e9, 0)
	for range 1000 {
		c.ReceiveClaim(c.Now()+stride, now)
	}
	if got, most := c.Now(), horizon+stride+1001; got > most {
		t.Errorf("the clock was led to %d in a moment, want %d at the most", got, most)
	}
	before := c.Now()
	if got := c.ReceiveClaim(before+stride, now.Add(strideEvery)); got != before+stride+1 {
		t.Errorf("a minute later, %d is received as %d", before+stride, got)
	}
	before = c.Now()
	if got := c.ReceiveClaim(before+step, now.Add(strideEvery)); got != before+step+1 {
		t.Errorf("a step ahead, %d is received as %d", before+step, got)
	}
}
