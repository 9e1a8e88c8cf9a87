package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// file is what tests look at of a file.
type file struct {
	Name, Room  string
	Size        int64
	ContentType string `json:"content_type"`
	SHA256      string
	UploadedBy  string `json:"uploaded_by"`
	At          time.Time
}

const boundary = "a-boundary-of-tests"

// asForm makes a body a form with one file.
func asForm(name string, content io.Reader) (body io.Reader, is option) {
	head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + "\"\r\nContent-Type: application/octet-stream\r\n\r\n"
	return io.MultiReader(strings.NewReader(head), content, strings.NewReader("\r\n--"+boundary+"--\r\n")), header("Content-Type", "multipart/form-data; boundary="+boundary)
}

// inside is the client when it has entered a room.
func (c *client) inside(room string) *client {
	c.Helper()
	c.enter(room)
	return c
}

// upload sends a file to the lobby.
func (c *client) upload(name, content string, options ...option) answer {
	c.Helper()
	body, is := asForm(name, strings.NewReader(content))
	return c.post("/v1/rooms/lobby/files", body, append([]option{is}, options...)...)
}

// uploaded uploads a file, which must be taken, and checks what is said of it.
func (c *client) uploaded(name, content string, options ...option) (f file) {
	c.Helper()
	c.upload(name, content, options...).into(c, http.StatusCreated, &f)
	sum := sha256.Sum256([]byte(content))
	if f.Name != name || f.Room != "lobby" || f.Size != int64(len(content)) || f.SHA256 != hex.EncodeToString(sum[:]) || f.UploadedBy != c.username || time.Since(f.At).Abs() > time.Hour {
		c.Errorf("%+v", f)
	}
	return f
}

func fileURL(name string) string { return "/v1/rooms/lobby/files/" + url.PathEscape(name) }

// downloads wants a file to have a content.
func (c *client) downloads(name, content string) answer {
	c.Helper()
	a := c.get(fileURL(name)).expect(c, http.StatusOK)
	if string(a.body) != content {
		c.Errorf("%q has %d bytes, not %d: %.60q", name, len(a.body), len(content), a.body)
	}
	return a
}

// deletes deletes a file.
func (c *client) deletes(name string) answer {
	c.Helper()
	return c.do(http.MethodDelete, fileURL(name), nil)
}

// listed are the names of the lobby's files, page by page.
func (c *client) listed() (names []string) {
	c.Helper()
	for cursor := ""; ; {
		var page struct {
			Items      []file
			NextCursor *string `json:"next_cursor"`
		}
		c.get("/v1/rooms/lobby/files?limit=2"+cursor).into(c, http.StatusOK, &page)
		for _, f := range page.Items {
			names = append(names, f.Name)
		}
		if page.NextCursor == nil {
			return names
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

// stored are the files of the storage, complete or not.
func (h *house) stored() []string {
	h.Helper()
	var paths []string
	err := filepath.WalkDir(h.storage(), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		if os.IsNotExist(err) { // since its directory was read
			err = nil
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return paths
}

func (h *house) storage() string { return filepath.Join(h.setting("GUICHET_DATA_DIR"), "files") }

// keeps waits until the storage has so many contents, complete or not.
func (h *house) keeps(n int) {
	h.Helper()
	eventually(h, "contents", func() error {
		if found := h.stored(); len(found) != n {
			return fmt.Errorf("the storage has %d contents, want %d: %v", len(found), n, found)
		}
		return nil
	})
}

// told is how often the feed was told something of the lobby.
func (h *house) told(event string) int64 {
	h.Helper()
	db := h.database()
	defer db.Close() //nolint:errcheck // only read
	return number(h, db, "SELECT COUNT(*) FROM feed_entries WHERE topic = 'room:lobby' AND event = '"+event+"'")
}

// stream is an upload whose content the test writes.
type stream struct {
	testing.TB
	*io.PipeWriter
	answered chan answer
	failed   chan error
}

// stream begins to upload a file.
func (c *client) stream(name string, options ...option) *stream {
	c.Helper()
	from, to := io.Pipe()
	s := &stream{c.TB, to, make(chan answer, 1), make(chan error, 1)}
	body, is := asForm(name, from)
	go func() {
		a, err := c.try(http.MethodPost, "/v1/rooms/lobby/files", body, append([]option{is}, options...)...)
		if err != nil {
			s.failed <- err
			_ = from.CloseWithError(err)
			return
		}
		_ = from.Close()
		s.answered <- a
	}()
	return s
}

func (s *stream) send(content string) {
	s.Helper()
	if _, err := io.WriteString(s, content); err != nil {
		s.Error(err)
	}
}

// end ends the content and waits for the answer.
func (s *stream) end() answer {
	s.Helper()
	_ = s.Close()
	select {
	case a := <-s.answered:
		return a
	case err := <-s.failed:
		s.Fatal(err)
	case <-time.After(patience):
		s.Fatal("no answer")
	}
	return answer{}
}

// of is a content of a size, that is not the same everywhere.
func of(size int) string {
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i*7 + i>>8)
	}
	return string(content)
}
