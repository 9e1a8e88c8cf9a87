package main

import (
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// oneByteConn gives what it reads a byte at a time, as a network may.
type oneByteConn struct {
	net.Conn
	text *strings.Reader
}

func (c oneByteConn) Read(p []byte) (int, error) { return iotest.OneByteReader(c.text).Read(p) }

func wireReading(text string) *wire {
	return &wire{conn: oneByteConn{text: strings.NewReader(text)}, buf: make([]byte, 16)}
}

func TestWireReadsPipelinedAnswers(t *testing.T) {
	t.Parallel()
	w := wireReading("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" +
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n" +
		"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfir\r\n2\r\nst\r\n0\r\n\r\n" +
		"HTTP/1.1 204 No Content\r\n\r\n")
	want := []struct {
		status     int
		retryAfter time.Duration
		body       string
	}{{200, -1, "hello"}, {503, 2 * time.Second, ""}, {202, -1, "first"}, {204, -1, ""}}
	for _, answer := range want {
		got, err := w.receive()
		if err != nil {
			t.Fatal(err)
		}
		if got.status != answer.status || got.retryAfter != answer.retryAfter || string(got.body) != answer.body {
			t.Errorf("got %d %s %q, want %+v", got.status, got.retryAfter, got.body, answer)
		}
	}
	if _, err := w.receive(); err == nil {
		t.Error("the end of the stream is an answer")
	}
}

func TestWireRefusesWhatItCannotParse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
		"HTTP/1.1 503 No\r\nRetry-After: soon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
	} {
		if got, err := wireReading(text).receive(); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
