package handlers

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"guichet/models/id"
	"guichet/models/problem"
)

const (
	// filePatience is for how long who sends a file, or takes one, may be silent.
	filePatience = 30 * time.Second
	// formRoom is how many bytes a form may have before its file, and after it: the lines that say what it is.
	formRoom = 64 << 10
	// arrivalBuffer is how much of a body is read at a time.
	arrivalBuffer = 64 << 10
	// mostUploads is how many files of one user may be on their way at once, to one process: until they are complete, they are not in the quota.
	mostUploads = 8
)

// arrival is a body that is read while it arrives. However long that takes, its sender must not be silent for long.
type arrival struct {
	*bufio.Reader
	announced int64 // bytes; -1 if the client does not say
	patience  time.Duration
	allowed   int64 // bytes that may still be read
}

// arrive makes a body one that is read while it arrives.
func (s *Server) arrive(c echo.Context) *arrival {
	r := c.Request()
	sender := &sender{body: r.Body, control: http.NewResponseController(c.Response()), patience: s.FilePatience, ended: func() { c.Set(bodyRead, true) }}
	a := &arrival{bufio.NewReaderSize(sender, arrivalBuffer), r.ContentLength, s.FilePatience, formRoom}
	r.Body = struct {
		io.Reader
		io.Closer
	}{a, r.Body}
	return a
}

// errFormTooLarge says that the form has more beside its file than forms have.
var errFormTooLarge = errors.New("handlers: too much beside the file")

func (a *arrival) Read(p []byte) (int, error) {
	if a.allowed <= 0 {
		return 0, errFormTooLarge
	}
	n, err := a.Reader.Read(p[:min(int64(len(p)), a.allowed)])
	a.allowed -= int64(n)
	return n, err
}

// allow says how many bytes may be read from now on.
func (a *arrival) allow(bytes int64) { a.allowed = bytes }

// finish reads what comes after the form, which should be nothing. Only then the body is complete, and the connection can be used again.
func (a *arrival) finish() error {
	a.allow(formRoom)
	_, err := io.Copy(io.Discard, struct{ io.Reader }{a})
	return err
}

// problem tells why a body cannot be read on.
func (a *arrival) problem(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errFormTooLarge):
		return problem.Newf(problem.PayloadTooLarge, "The form has more than %d bytes beside its file.", formRoom)
	case errors.As(err, &timeout) && timeout.Timeout():
		return problem.Newf(problem.RequestTimeout, "No byte of the body has arrived for %s.", a.patience)
	default:
		return problem.New(problem.Malformed, "The body is no form, or ended too early.").Because(err)
	}
}

// sender is who sends a body.
type sender struct {
	body     io.Reader
	control  *http.ResponseController
	patience time.Duration
	ended    func() // called when the body has been read to its end
}

func (s *sender) Read(p []byte) (int, error) {
	_ = s.control.SetReadDeadline(time.Now().Add(s.patience)) // what is no connection has none, and is not waited for
	n, err := s.body.Read(p)
	if errors.Is(err, io.EOF) {
		_ = s.control.SetReadDeadline(time.Time{}) // the server listens on, for whether the client is still there
		s.ended()
	}
	return n, err
}

// receiver is who takes an answer.
type receiver struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func newReceiver(w http.ResponseWriter, patience time.Duration) *receiver {
	return &receiver{w, http.NewResponseController(w), patience}
}

func (r *receiver) Write(p []byte) (int, error) {
	_ = r.control.SetWriteDeadline(time.Now().Add(r.patience)) // as above
	return r.ResponseWriter.Write(p)
}

// taken ends the patience: the connection may be used for another request.
func (r *receiver) taken() { _ = r.control.SetWriteDeadline(time.Time{}) }

// uploadCounts counts the files of each user that are on their way.
type uploadCounts struct {
	mu   sync.Mutex
	open map[id.ID]int
}

// enter counts one more, unless there are too many.
func (c *uploadCounts) enter(user id.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[user] >= mostUploads {
		return false
	}
	c.open[user]++
	return true
}

func (c *uploadCounts) leave(user id.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[user]--; c.open[user] == 0 {
		delete(c.open, user)
	}
}
