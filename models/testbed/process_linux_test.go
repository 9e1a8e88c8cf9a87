package testbed

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestServersDieWithAKilledParent(t *testing.T) {
	t.Parallel()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), orphanMakerVariable+"=1")
	output, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	lines := bufio.NewScanner(output)
	var pids, dirs [2]string
	for i := range pids {
		pids[i], dirs[i] = readLine(t, lines), readLine(t, lines)
		if _, err := strconv.Atoi(pids[i]); err != nil {
			t.Fatalf("no server was started: %s", pids[i])
		}
		if !runs(pids[i]) {
			t.Fatalf("process %s does not run", pids[i])
		}
	}
	must(t, parent.Process.Kill())
	_ = parent.Wait() // it was killed
	for _, pid := range pids {
		await(t, "end of process "+pid, func() bool { return !runs(pid) })
	}
	// What they have left behind goes when the next process starts a server.
	await(t, "removal of the data", func() bool {
		must(t, removeAbandoned(filepath.Dir(dirs[0])))
		_, err1 := fs.Stat(os.DirFS("/"), dirs[0][1:])
		_, err2 := fs.Stat(os.DirFS("/"), dirs[1][1:])
		return err1 != nil && err2 != nil
	})
}

func readLine(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("no line: %v", lines.Err())
	}
	return lines.Text()
}

// runs says whether a process is there and not a zombie that nobody has reaped yet.
func runs(pid string) bool {
	// The command line of a zombie is empty.
	text, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	return err == nil && len(text) > 0
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		case <-ticker.C:
		}
	}
}
