//go:build !unix

package handlers

import "syscall"

// socket would write to connections without waiting. Here that cannot be done: what it leaves is written by a goroutine of the reader's own.
type socket struct{}

func newSocket() *socket { return &socket{} }

func (*socket) write(syscall.RawConn, []byte) (int, error) { return 0, nil }

func (*socket) gone(syscall.RawConn) bool { return false }
