package testbed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below the range that Linux gives to outgoing connections by default (32768 and up): while a killed server is down, no client
// can be given its port by chance, and it can start again on it.
const (
	firstPort = 12000
	endPort   = 32768
)

// place is a port and a directory that belong to one server. The lock on a file beside the directory says so to other processes; the kernel releases it
// when this process ends, and what a killed process has left behind is removed by the next one that starts a server.
type place struct {
	port int
	dir  string
	lock *os.File
}

// reserve finds a free port and makes an empty directory for it.
func reserve() (*place, error) {
	root, err := placesRoot()
	if err != nil {
		return nil, err
	}
	for range 100 {
		port := firstPort + rand.IntN(endPort-firstPort) //nolint:gosec // which port it is need not be secret
		p, err := claim(root, port)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if isFree(port) {
			return p, os.Mkdir(p.dir, 0o700)
		}
		if err := p.release(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("testbed: no free port found")
}

var placesRoot = sync.OnceValues(func() (string, error) {
	root := filepath.Join(os.TempDir(), fmt.Sprintf("guichet-testbed-%d", os.Getuid()))
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", err
	}
	return root, removeAbandoned(root)
})

// removeAbandoned removes the directories of processes that did not live to do it.
func removeAbandoned(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		port, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p, err := claim(root, port)
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		if err := p.release(); err != nil {
			return err
		}
	}
	return nil
}

// claim takes a port for this process and removes what an earlier owner has left. It returns nil if a living process has the port.
func claim(root string, port int) (*place, error) {
	dir := filepath.Join(root, strconv.Itoa(port))
	lock, err := tryLock(dir + ".lock")
	if lock == nil || err != nil {
		return nil, err
	}
	return &place{port: port, dir: dir, lock: lock}, os.RemoveAll(dir)
}

// release removes the directory and gives the port back.
func (p *place) release() error {
	// The lock file is removed while it is still held, so that nobody can hold a lock on a file that is being removed.
	return errors.Join(os.RemoveAll(p.dir), os.Remove(p.lock.Name()), p.lock.Close())
}

// tryLock returns nil if another holds the lock.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, file.Close()
	}
	mine, err1 := file.Stat()
	current, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(mine, current) {
		return nil, file.Close() // its holder has just removed it
	}
	return file, nil
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp4", address(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
