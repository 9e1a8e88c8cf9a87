//go:build unix

package handlers

import (
	"errors"
	"syscall"
)

// socket writes to connections, and looks at them, without waiting: one at a time. It is there to spare each call a closure.
type socket struct {
	buffer []byte
	n      int
	err    error
	put    func(descriptor uintptr) (done bool)
	get    func(descriptor uintptr) (done bool)
}

func newSocket() *socket {
	s := &socket{}
	var scratch [512]byte
	s.put = func(descriptor uintptr) bool {
		s.n, s.err = retry(func() (int, error) { return syscall.Write(int(descriptor), s.buffer) })
		return true
	}
	s.get = func(descriptor uintptr) bool {
		s.n, s.err = retry(func() (int, error) { return syscall.Read(int(descriptor), scratch[:]) })
		return true
	}
	return s
}

// retry does what a signal has interrupted again. What would wait is no error, and nothing done: -1.
func retry(do func() (int, error)) (int, error) {
	for {
		n, err := do()
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return -1, nil
		default:
			return n, err
		}
	}
}

// write writes what the connection takes now, and says how much that was.
func (s *socket) write(conn syscall.RawConn, b []byte) (int, error) {
	s.buffer = b
	err := conn.Write(s.put)
	s.buffer = nil
	if err != nil {
		return 0, err
	}
	return max(s.n, 0), s.err
}

// gone says whether the other side has closed the connection. What it sends, which is nothing that was asked for, is thrown away.
func (s *socket) gone(conn syscall.RawConn) bool {
	err := conn.Read(s.get)
	return err != nil || s.err != nil || s.n == 0
}
