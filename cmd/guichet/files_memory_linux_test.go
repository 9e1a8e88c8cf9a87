package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// However large a file is, it takes a process no memory: neither to receive it nor to send it.
func TestFilesTakeNoMemory(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	h.binary = filepath.Join(t.TempDir(), "guichet") // as it ships: what a race detector remembers is no memory of a file's
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", h.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	p := h.serve()
	ada := p.user(t).inside("lobby")
	ada.uploaded("small", of(100_000))
	before := p.resident(t)
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				most.Store(max(most.Load(), p.resident(t)))
			}
		}
	}()
	const size, growth = 256 << 20, 32 << 20
	body, is := asForm("large", io.LimitReader(letters{}, size))
	ada.post("/v1/rooms/lobby/files", body, is).expect(t, http.StatusCreated)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ada.base+fileURL("large"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+ada.token)
	response, err := testTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	close(stop)
	<-stopped
	if grown := most.Load() - before; grown > growth {
		t.Errorf("the process has grown by %d bytes, from %d", grown, before)
	}
}

// resident is how many bytes of memory a process has.
func (p *process) resident(t testing.TB) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				t.Error(err)
			}
			return kib << 10
		}
	}
	t.Error("the process has no resident memory")
	return 0
}
