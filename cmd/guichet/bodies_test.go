package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// unread is a body of the given size that is made up while it is sent.
func unread(size int64) io.Reader {
	return io.MultiReader(strings.NewReader(`{"amount":1,"x":"`), io.LimitReader(letters{}, size), strings.NewReader(`"}`))
}

type letters struct{}

func (letters) Read(b []byte) (int, error) {
	copy(b, bytes.Repeat([]byte("x"), len(b)))
	return len(b), nil
}

func TestBodies(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	ada := h.serve().user(t)
	ada.deposit(1)
	path := "/v1/accounts/" + ada.account + "/deposits"
	mime := func(kind string) option { return header("Content-Type", kind) }
	none := func(r *http.Request) { r.Header.Del("Content-Type") }
	deep := strings.Repeat("[", 20_000)
	for name, c := range map[string]struct {
		body    any
		options []option
		status  int
		code    string
	}{
		"an unknown field":          {`{"amount":1,"currency":"EUR"}`, nil, 422, "invalid"},
		"a field in capitals":       {`{"Amount":1}`, nil, 422, "invalid"},
		"a field twice, by case":    {`{"amount":1,"AMOUNT":2}`, nil, 422, "invalid"},
		"an empty name":             {`{"amount":1,"":2}`, nil, 422, "invalid"},
		"an empty object":           {`{}`, nil, 422, "invalid"},
		"an array":                  {`[]`, nil, 422, "invalid"},
		"an array of the object":    {`[{"amount":1}]`, nil, 422, "invalid"},
		"null":                      {`null`, nil, 422, "invalid"},
		"a number":                  {`1`, nil, 422, "invalid"},
		"a string":                  {`"amount"`, nil, 422, "invalid"},
		"nothing":                   {``, nil, 400, "malformed"},
		"spaces":                    {"  \n", nil, 400, "malformed"},
		"no JSON":                   {`amount=1`, nil, 400, "malformed"},
		"half of it":                {`{"amount":`, nil, 400, "malformed"},
		"two values":                {`{"amount":1}{"amount":2}`, nil, 400, "malformed"},
		"a value and rubbish":       {`{"amount":1} x`, nil, 400, "malformed"},
		"a comment":                 {`{"amount":1 /* cents */}`, nil, 400, "malformed"},
		"single quotes":             {`{'amount':1}`, nil, 400, "malformed"},
		"a byte order mark":         {"\xef\xbb\xbf" + `{"amount":1}`, nil, 400, "malformed"},
		"UTF-16":                    {"\xff\xfe{\x00", nil, 400, "malformed"},
		"a zero byte":               {"{\"amount\":1}\x00", nil, 400, "malformed"},
		"deep nesting":              {deep, nil, 400, "malformed"},
		"deep nesting in a field":   {`{"amount":` + deep + strings.Repeat("]", 20_000) + `}`, nil, 400, "malformed"},
		"nesting":                   {`{"amount":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`, nil, 422, "invalid"},
		"no content type":           {`{"amount":1}`, []option{none}, 415, "unsupported_media_type"},
		"a form":                    {`amount=1`, []option{mime("application/x-www-form-urlencoded")}, 415, "unsupported_media_type"},
		"text":                      {`{"amount":1}`, []option{mime("text/plain")}, 415, "unsupported_media_type"},
		"another JSON":              {`{"amount":1}`, []option{mime("application/jsonlines")}, 415, "unsupported_media_type"},
		"a content type of nothing": {`{"amount":1}`, []option{mime(";;")}, 415, "unsupported_media_type"},
		"compressed":                {"\x1f\x8b\x08\x00", []option{header("Content-Encoding", "gzip")}, 400, "malformed"},
		"a large number of fields":  {`{` + strings.Repeat(`"x":1,`, 50_000) + `"amount":1}`, nil, 422, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.body == "" {
				c.body = strings.NewReader("")
			}
			at := *ada
			at.TB = t
			at.post(path, c.body, c.options...).problem(t, c.status, c.code)
		})
	}
	for size, status := range map[int64]int{1<<20 - 19: 422, 1<<20 - 18: 413, 10_000_000: 413, 1 << 40: 413} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			t.Parallel()
			at := *ada
			at.TB = t
			eventually(t, "an answer", func() error { // a connection that is closed while one still sends may take the answer with it
				a, err := at.try(http.MethodPost, path, unread(size))
				if err == nil && a.status != status {
					t.Fatalf("%d %s", a.status, a.body)
				}
				return err
			})
		})
	}
	for _, kind := range []string{"application/json; charset=utf-8", "APPLICATION/JSON", `application/json; charset="UTF-8"`, "application/json;"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			at := *ada
			at.TB = t
			at.post(path, " \r\n\t{ \"amount\" : 1 }\n", mime(kind), header("Prefer", "wait=30")).expect(t, http.StatusOK)
		})
	}
}

// Every error is a problem, also where no operation of the contract is.
func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	ada := h.serve().user(t)
	for _, path := range []string{"/v1", "/v1/", "/v1/nothing", "/v1/users/", "/v1/users/you", "/v1//users/me", "/v1/operations//", "/v2/users", "/nothing", "/v1/users/me/", "/V1/users/me", "/v1/accounts/%2e%2e/users"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			a := ada.do(method, path, nil)
			if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
			if got := a.header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("%s %s: sent as %s", method, path, got)
			}
			if a.header.Get("Lamport-Time") == "" {
				t.Errorf("%s %s: no Lamport-Time", method, path)
			}
		}
	}
	known := map[string][]string{}
	for _, o := range contractOperations(t) {
		known[o.path] = append(known[o.path], o.method)
	}
	for _, o := range contractOperations(t) {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			if slices.Contains(known[o.path], method) {
				continue
			}
			a := ada.do(method, o.fill(nil), nil)
			if o.path == "/v1/operations/{id}/replay" || a.status != http.StatusMethodNotAllowed || a.header.Get("Content-Type") != "application/problem+json" {
				a.problem(t, http.StatusMethodNotAllowed, "method_not_allowed")
			}
			for _, allowed := range known[o.path] {
				if !strings.Contains(a.header.Get("Allow"), allowed) {
					t.Errorf("%s %s: Allow says %q, the contract has %v", method, o.path, a.header.Get("Allow"), known[o.path])
				}
			}
			if strings.Contains(a.header.Get("Allow"), method) {
				t.Errorf("%s %s: is not allowed, and Allow says %q", method, o.path, a.header.Get("Allow"))
			}
		}
	}
}

func TestLamportHeader(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	ada := p.user(t)
	for _, value := range []string{"abc", "-1", "+1", "1.5", "1e3", "0x10", "9007199254740992", "9223372036854775807", "99999999999999999999999999", "1,2", "", "１"} {
		for _, call := range []struct{ method, path string }{{http.MethodGet, "/v1/users/me"}, {http.MethodPost, "/v1/transfers"}, {http.MethodGet, "/v1/feed"}, {http.MethodPost, "/v1/users"}} {
			ada.do(call.method, call.path, nil, header("Lamport-Time", value)).problem(t, http.StatusBadRequest, "malformed")
		}
	}
	twice := func(r *http.Request) { r.Header["Lamport-Time"] = []string{"1", "2"} }
	ada.get("/v1/users/me", twice).problem(t, http.StatusBadRequest, "malformed")
	for _, value := range []string{"0", "1", "0007", "1000000", "9007199254740991"} {
		ada.get("/v1/users/me", header("Lamport-Time", value)).expect(t, http.StatusOK)
	}
	if last := ada.get("/v1/users/me").header.Get("Lamport-Time"); len(last) > 15 {
		t.Errorf("one client has led the clock to %s", last)
	}
}

// Whoever sends too slowly is cut off, and keeps nobody waiting meanwhile.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	ada := p.user(t)
	slow := func(t *testing.T, head string, drip time.Duration, piece string) string {
		t.Helper()
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		answered := make(chan string, 1)
		go func() {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			text, err := io.ReadAll(bufio.NewReader(conn)) // until the server closes
			answered <- fmt.Sprintf("%s%v", text, err)
		}()
		for tick := time.NewTicker(drip); ; {
			select {
			case answer := <-answered:
				tick.Stop()
				return answer
			case <-tick.C:
				_, _ = io.WriteString(conn, piece)
			}
		}
	}
	body := fmt.Sprintf("POST /v1/accounts/%s/deposits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", ada.account, ada.token)
	for name, c := range map[string]struct {
		head, piece, want string
		drip              time.Duration
	}{
		"a body that drips":       {body, " ", "HTTP/1.1 408 ", 100 * time.Millisecond},
		"a body that never comes": {body, "", "HTTP/1.1 408 ", time.Hour},
		"a header that drips":     {"GET /v1/users/me HTTP/1.1\r\nHost: x\r\nX-Long: ", "x", "", 100 * time.Millisecond},
		"nothing at all":          {"", "", "", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := slow(t, c.head, c.drip, c.piece)
			if !strings.HasPrefix(answer, c.want) || strings.Contains(answer, "i/o timeout") {
				t.Errorf("answered %q", answer)
			}
			if c.want != "" && (!strings.Contains(answer, "application/problem+json") || !strings.Contains(answer, `"request_timeout"`) || !strings.Contains(answer, "Lamport-Time")) {
				t.Errorf("answered %q", answer)
			}
		})
	}
	t.Run("meanwhile others are served", func(t *testing.T) {
		t.Parallel()
		ada.deposit(5)
	})
	t.Run("a client that goes away", func(t *testing.T) {
		t.Parallel()
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, body)
		_ = conn.Close()
		ada.balance()
	})
}
