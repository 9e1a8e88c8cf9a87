package handlers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/identity"
)

// hall is a server whose lobby somebody is in.
type hall struct {
	*counter
	t       *testing.T
	address string
	token   string
	user    identity.Session
}

func openHall(t *testing.T, c *counter) *hall {
	t.Helper()
	h := &hall{counter: c, t: t}
	c.expect(c.ask("POST", "/v1/users", ada), 201, "")
	h.token = c.signIn(ada)
	var err error
	h.user, err = c.Identity.Authenticate(t.Context(), h.token)
	must(t, err)
	h.exec("INSERT INTO room_members (room_id, user_id, username, entered_at_us, lamport) VALUES (?,?,?,1,1)", chat.Lobby[:], h.user.UserID[:], h.user.Username)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	h.address = server.Listener.Addr().String()
	return h
}

func (h *hall) exec(statement string, args ...any) {
	h.t.Helper()
	must(h.t, h.DB.Write(h.t.Context(), func(tx database.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	}))
}

// contents is how many contents the storage has, complete or not.
func (h *hall) contents() int {
	h.t.Helper()
	whole, err := h.Files.Before(h.t.Context(), time.Now().Add(time.Hour))
	must(h.t, err)
	return len(whole)
}

// sending is an upload of which the test writes the bytes.
type sending struct {
	*hall
	net.Conn
	answers *bufio.Reader
}

// send begins an upload; the headers say how long it is.
func (h *hall) send(headers string) *sending {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.address)
	must(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	s := &sending{h, conn, bufio.NewReader(conn)}
	s.write("POST /v1/rooms/lobby/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + h.token + "\r\n" + headers + "\r\n")
	return s
}

func (s *sending) write(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		s.t.Errorf("writing: %v", err)
	}
}

// answered expects a problem, soon, and returns it.
func (s *sending) answered(status int, code string) map[string]any {
	s.t.Helper()
	must(s.t, s.SetReadDeadline(time.Now().Add(time.Minute)))
	response, err := http.ReadResponse(s.answers, nil)
	if err != nil {
		s.t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(s.t, err)
	var problem map[string]any
	must(s.t, json.Unmarshal(text, &problem))
	if response.StatusCode != status || problem["code"] != code || response.Header.Get("Content-Type") != "application/problem+json" || response.Header.Get("Lamport-Time") == "" {
		s.t.Errorf("%d %v %s, want %d %s", response.StatusCode, response.Header, text, status, code)
	}
	return problem
}

const (
	formHeader = "Content-Type: multipart/form-data; boundary=b\r\n"
	formEnd    = "\r\n--b--\r\n"
)

// fileHead is a form up to the content of its file. The name is written as it is.
func fileHead(name string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name + "\"\r\n\r\n"
}

// whole sends a body of known length.
func (h *hall) whole(body string) *sending {
	h.t.Helper()
	s := h.send(fmt.Sprintf("%sContent-Length: %d\r\n", formHeader, len(body)))
	s.write(body)
	return s
}

// TestFormsRefused: what is wrong with the form or its name is told, and nothing is left.
func TestFormsRefused(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.FilePatience = time.Minute // for slow machines
		h := openHall(t, c)
		names := []string{
			"", ".", "..", "../x", "..\\\\x", "/etc/passwd", "a/b", "C:\\\\x", "a\x00b", "a\tb", "a\x01b", "a\x7fb", "a\u202etxt.exe", "a\u200bb", "\ufeffa", " a", "a ", "a.", "CON", "nul.txt", "COM1", "lpt9.x",
			strings.Repeat("x", 300), strings.Repeat("é", 128), "a\xffb",
		}
		bodies := map[string]string{
			"a name with CR and LF, encoded":  "--b\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''a%0D%0AX-Evil:%20b\r\n\r\nx" + formEnd,
			"a name with a slash, encoded":    "--b\r\nContent-Disposition: form-data; name=file; filename=a; filename*=UTF-8''..%2Fx\r\n\r\nx" + formEnd,
			"a name with CR and LF, as it is": fileHead("a\r\nX-Evil: b") + "x" + formEnd,
			"two names":                       "--b\r\nContent-Disposition: form-data; name=file; filename=a; filename=b\r\n\r\nx" + formEnd,
			"no name":                         "--b\r\nContent-Disposition: form-data; name=file\r\n\r\nx" + formEnd,
			"no disposition":                  "--b\r\nContent-Type: text/plain\r\n\r\nx" + formEnd,
			"another disposition":             "--b\r\nContent-Disposition: attachment; name=file; filename=a\r\n\r\nx" + formEnd,
			"another field":                   "--b\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\nx" + formEnd,
			"a field before it":               "--b\r\nContent-Disposition: form-data; name=title\r\n\r\nx\r\n" + fileHead("a") + "x" + formEnd,
			"a field after it":                fileHead("a") + "x\r\n--b\r\nContent-Disposition: form-data; name=title\r\n\r\nx" + formEnd,
			"two files":                       fileHead("a") + "x\r\n" + fileHead("b") + "x" + formEnd,
			"no field":                        "--b--\r\n",
		}
		for _, name := range names {
			bodies[fmt.Sprintf("the name %.20q", name)] = fileHead(name) + "x" + formEnd
		}
		for name, body := range bodies {
			t.Run(name, func(t *testing.T) {
				at := *h
				at.t = t
				problem := at.whole(body).answered(422, "invalid")
				if errors, _ := problem["errors"].([]any); len(errors) != 1 || errors[0].(map[string]any)["pointer"] != "/file" {
					t.Errorf("%v", problem)
				}
			})
		}
		for name, c := range map[string]struct {
			headers, body string
			status        int
			code          string
		}{
			"no content type":      {"Content-Length: 1\r\n", "x", 415, "unsupported_media_type"},
			"JSON":                 {"Content-Type: application/json\r\nContent-Length: 2\r\n", "{}", 415, "unsupported_media_type"},
			"mixed parts":          {"Content-Type: multipart/mixed; boundary=b\r\nContent-Length: 1\r\n", "x", 415, "unsupported_media_type"},
			"no boundary":          {"Content-Type: multipart/form-data\r\nContent-Length: 1\r\n", "x", 400, "malformed"},
			"no body":              {formHeader + "Content-Length: 0\r\n", "", 400, "malformed"},
			"no form":              {formHeader + "Content-Length: 5\r\n", "hello", 400, "malformed"},
			"half a form":          {formHeader + "Transfer-Encoding: chunked\r\n", chunked(fileHead("a")+"x") + "0\r\n\r\n", 400, "malformed"},
			"a form without end":   {formHeader + "Transfer-Encoding: chunked\r\n", chunked(fileHead("a")+"x\r\n") + "0\r\n\r\n", 400, "malformed"},
			"a long preface":       {formHeader + "Content-Length: 100000\r\n", strings.Repeat("x\r\n", 30_000), 413, "payload_too_large"},
			"a header without end": {formHeader + "Content-Length: 100000\r\n", "--b\r\nX: " + strings.Repeat("x", 90_000), 413, "payload_too_large"},
			"a long epilogue":      {formHeader + "Content-Length: 100200\r\n", fileHead("a") + "x" + formEnd + strings.Repeat("x", 90_000), 413, "payload_too_large"},
		} {
			t.Run(name, func(t *testing.T) {
				at := *h
				at.t = t
				s := at.send(c.headers)
				_, _ = io.WriteString(s, c.body) // the server may have had enough before all is sent
				s.answered(c.status, c.code)
			})
		}
		if n := h.contents(); n != 0 {
			t.Errorf("%d contents are left", n)
		}
		must(t, h.Files.Clean(t.Context()))
	})
}

func chunked(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// TestUploadPatience: whoever sends slowly is waited for, and whoever is silent is not. Nobody waits for them.
func TestUploadPatience(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		h := openHall(t, c)
		silent, mute, unended := h.send(formHeader+"Content-Length: 1000\r\n"), h.send(formHeader+"Content-Length: 1000\r\n"), h.send(formHeader+"Content-Length: 1000\r\n")
		silent.write(fileHead("silent"))
		unended.write(fileHead("unended") + "x" + formEnd)
		for tries := 0; !h.sendSlowly(); tries++ {
			if tries == 10 {
				t.Fatal("the machine is too slow to send slowly")
			}
		}
		for _, s := range []*sending{silent, mute, unended} {
			s.answered(408, "request_timeout")
		}
		if n := h.contents(); n != 0 {
			t.Errorf("%d contents are left", n)
		}
	})
}

// sendSlowly sends for longer than anybody is waited for, with short pauses. It returns false, and has said nothing, if the machine has made a pause too long.
func (h *hall) sendSlowly() bool {
	h.t.Helper()
	last, longest := time.Now(), time.Duration(0)
	slow := h.send(formHeader + "Transfer-Encoding: chunked\r\n")
	write := func(text string) {
		began := time.Now()
		_, _ = io.WriteString(slow, text) // who was waited for too long has been answered
		last, longest = began, max(longest, time.Since(last))
	}
	write(chunked(fileHead("slow")))
	for began := time.Now(); time.Since(began) < 3*h.FilePatience; <-time.After(h.FilePatience / 5) {
		write(chunked("x"))
	}
	write(chunked("\r\n" + fileHead("another")))
	if longest > h.FilePatience*3/4 {
		must(h.t, slow.SetReadDeadline(time.Now().Add(time.Minute)))
		if response, err := http.ReadResponse(slow.answers, nil); err == nil {
			_ = response.Body.Close()
		}
		return false
	}
	slow.answered(422, "invalid") // after all that time: not 408
	return true
}

// TestEarlyRefusals: what cannot become a file is refused before all of it has been sent.
func TestEarlyRefusals(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.FilePatience = time.Minute // for slow machines
		h := openHall(t, c)
		there := h.IDs.Next()
		h.exec("INSERT INTO files (room_id, name_key, id, name, content, size, content_type, sha256, user_id, username, at_us, lamport) VALUES (?,'there.txt',?,'There.txt',?,1,'x',?,?,'Ada',1,1)",
			chat.Lobby[:], there[:], there[:], make([]byte, 32), there[:])
		announced := func(bytes int64) *sending {
			return h.send(fmt.Sprintf("%sContent-Length: %d\r\n", formHeader, bytes))
		}
		streamed := func(name string, bytes int64) *sending {
			s := h.send(formHeader + "Transfer-Encoding: chunked\r\n")
			s.write(chunked(fileHead(name)))
			for ; bytes > 0; bytes -= 4096 {
				s.write(chunked(strings.Repeat("x", int(min(bytes, 4096)))))
			}
			return s
		}
		taken := announced(1 << 20)
		taken.write(fileHead("THERE.TXT"))
		taken.answered(409, "file_exists")
		large := announced(1 << 40)
		large.write(fileHead("large"))
		large.answered(413, "payload_too_large")
		streamed("large", h.FileLimit+1).answered(413, "payload_too_large") // though the client may have more
		h.exec("INSERT INTO file_usage (user_id, bytes, lamport) VALUES (?,?,1)", h.user.UserID[:], h.FileQuota-1000)
		streamed("much", 1001).answered(409, "quota_exceeded")
		much := announced(500_000)
		much.write(fileHead("much"))
		much.answered(409, "quota_exceeded")
		if n := h.contents(); n != 0 {
			t.Errorf("%d contents are left", n)
		}
	})
}

// TestUploadsAtOnce: what is not complete is in no quota, so nobody may have many of those.
func TestUploadsAtOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		c.FilePatience = time.Minute // all are open at once, also on a slow machine
		h := openHall(t, c)
		var open []*sending
		for n := range mostUploads {
			s := h.send(formHeader + "Transfer-Encoding: chunked\r\n")
			s.write(chunked(fileHead(fmt.Sprint(n)) + "x"))
			open = append(open, s)
		}
		deadline := time.Now().Add(time.Minute)
		for ; h.open(h.user.UserID) < mostUploads; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the uploads do not begin")
			}
		}
		h.whole(fileHead("one more")+"x"+formEnd).answered(429, "too_many_requests")
		for _, s := range open {
			must(t, s.Close()) // the client is gone
		}
		for ; h.open(h.user.UserID) > 0; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the uploads do not end")
			}
		}
		if n := h.contents(); n != 0 {
			t.Errorf("%d contents are left", n)
		}
	})
}

func (h *hall) open(user id.ID) int {
	h.uploads.mu.Lock()
	defer h.uploads.mu.Unlock()
	return h.uploads.open[user]
}

// TestStalledDownload: who does not take what they have asked for is cut off.
func TestStalledDownload(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		h := openHall(t, c)
		content, size := h.IDs.Next(), 64<<20 // more than the kernel keeps for a connection
		in, err := h.Files.Create(t.Context(), content)
		must(t, err)
		_, err = in.Write(make([]byte, size))
		must(t, err)
		must(t, in.Commit())
		h.exec("INSERT INTO files (room_id, name_key, id, name, content, size, content_type, sha256, user_id, username, at_us, lamport) VALUES (?,'a',?,'a',?,?,'x',?,?,'Ada',1,1)",
			chat.Lobby[:], content[:], content[:], size, make([]byte, 32), content[:])
		conn, err := net.Dial("tcp", h.address)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /v1/rooms/lobby/files/A HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+h.token+"\r\n\r\n")
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		taken := bufio.NewReader(conn)
		_, err = taken.Peek(1) // it has begun
		must(t, err)
		<-time.After(3 * h.FilePatience)
		must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		response, err := http.ReadResponse(taken, nil)
		must(t, err)
		defer response.Body.Close()
		if n, err := io.Copy(io.Discard, response.Body); err == nil || n >= int64(size) {
			t.Errorf("took %d bytes: %v", n, err)
		}
	})
}

// TestAttachment: whatever a name is, it is one name, and no header.
func TestAttachment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"notes.txt":           `attachment; filename="notes.txt"; filename*=UTF-8''notes.txt`,
		`a"b;c=d\e.txt`:       `attachment; filename="a_b_c_d_e.txt"; filename*=UTF-8''a%22b%3Bc%3Dd%5Ce.txt`,
		"50% ü.txt":           `attachment; filename="50_ _.txt"; filename*=UTF-8''50%25%20%C3%BC.txt`,
		"a\r\nSet-Cookie: b":  `attachment; filename="a__Set-Cookie_ b"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b`,
		"日本.txt":              `attachment; filename="__.txt"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt`,
		"filename*=UTF-8''x'": `attachment; filename="filename__UTF-8__x_"; filename*=UTF-8''filename%2A%3DUTF-8%27%27x%27`,
	} {
		if got := attachment(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
