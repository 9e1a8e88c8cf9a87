package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// maxReply bounds what a wire keeps of one answer, in bytes; an answer to a transfer is below 2 KiB.
const maxReply = 1 << 20

// A wire is one persistent HTTP/1.1 connection that sends requests prepared as bytes and reads of the
// answers only what the load needs: status, Retry-After, body. Sending and receiving are apart, so
// that requests may be pipelined.
//
// It is not net/http because the generator runs on the same cores as the servers that it measures:
// net/http's client costs about 25 µs of CPU a request (two goroutines a connection, a header map, a
// body reader, a pool), as much as the service spends on the whole transfer; a wire costs the two
// system calls and little else. The price is that it speaks only to servers that we know.
type wire struct {
	conn  net.Conn
	buf   []byte // buf[read:write] is received and not yet consumed
	read  int
	write int
	chunk []byte // the body of a chunked answer, put together
}

// A reply is an answer as far as the load reads it. Its body is valid until the next receive.
type reply struct {
	status     int
	retryAfter time.Duration // -1: the header is absent
	body       []byte
}

func dialWire(ctx context.Context, address string) (*wire, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, buf: make([]byte, 4096)}, nil
}

func (w *wire) close() { _ = w.conn.Close() }

// roundTrip sends one request and waits for its answer.
func (w *wire) roundTrip(request []byte) (reply, error) {
	if err := w.send(request); err != nil {
		return reply{}, err
	}
	return w.receive()
}

func (w *wire) send(request []byte) error {
	_, err := w.conn.Write(request)
	return err
}

// receive reads the next answer. An answer that this client cannot parse is an error, after which the wire is of no use.
func (w *wire) receive() (reply, error) {
	head, err := w.take([]byte("\r\n\r\n"))
	if err != nil {
		return reply{}, err
	}
	r, length, err := parseHead(head)
	switch {
	case err != nil:
		return reply{}, err
	case length == chunked:
		r.body, err = w.takeChunks()
	default:
		r.body, err = w.takeBytes(length)
	}
	return r, err
}

// chunked stands for the length of a body that comes in chunks.
const chunked = -1

// parseHead reads the status line and the few headers that matter, and the length of the body in bytes.
func parseHead(head []byte) (r reply, length int, err error) {
	r.retryAfter = -1
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return r, 0, fmt.Errorf("status line %q", line)
	}
	if r.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, 0, fmt.Errorf("status line %q", line)
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if value, ok := header(line, "content-length"); ok {
			if length, err = strconv.Atoi(value); err != nil || length < 0 || length > maxReply {
				return r, 0, fmt.Errorf("content length %q", value)
			}
		} else if value, ok := header(line, "transfer-encoding"); ok && value == "chunked" {
			length = chunked
		} else if value, ok := header(line, "retry-after"); ok {
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds < 0 {
				return r, 0, fmt.Errorf("retry after %q", value)
			}
			r.retryAfter = time.Duration(seconds) * time.Second
		}
	}
	return r, length, nil
}

// header returns the value of a header line if it has the given lower-case name.
func header(line []byte, name string) (string, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return "", false
	}
	return string(bytes.TrimSpace(line[len(name)+1:])), true
}

func (w *wire) takeChunks() ([]byte, error) {
	w.chunk = w.chunk[:0]
	for {
		line, err := w.take([]byte("\r\n"))
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSuffix(line, []byte("\r\n"))), 16, 31)
		if err != nil || len(w.chunk)+int(size) > maxReply {
			return nil, fmt.Errorf("chunk size %q", line)
		}
		data, err := w.takeBytes(int(size) + 2)
		if err != nil {
			return nil, err
		}
		w.chunk = append(w.chunk, data[:size]...)
		if size == 0 {
			return w.chunk, nil
		}
	}
}

// take consumes and returns everything up to and with the mark.
func (w *wire) take(mark []byte) ([]byte, error) {
	for seen := 0; ; {
		if at := bytes.Index(w.buf[w.read+seen:w.write], mark); at >= 0 {
			return w.takeBytes(seen + at + len(mark))
		}
		seen = max(0, w.write-w.read-len(mark)+1)
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
}

// takeBytes consumes and returns n bytes, waiting for them if need be.
func (w *wire) takeBytes(n int) ([]byte, error) {
	for w.write-w.read < n {
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
	data := w.buf[w.read : w.read+n]
	w.read += n
	return data, nil
}

// fill receives more, making room first where there is none. It may move what is unread, so that what
// take returned is valid until the next take.
func (w *wire) fill() error {
	if w.read == w.write {
		w.read, w.write = 0, 0
	}
	if w.write == len(w.buf) && w.read > 0 {
		w.write = copy(w.buf, w.buf[w.read:w.write])
		w.read = 0
	}
	if w.write == len(w.buf) {
		if len(w.buf) >= 2*maxReply {
			return errors.New("answer too long")
		}
		w.buf = append(w.buf, make([]byte, len(w.buf))...)
	}
	n, err := w.conn.Read(w.buf[w.write:])
	w.write += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
