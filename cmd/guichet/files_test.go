package main

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFiles(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t).inside("lobby"), p.user(t).inside("lobby"), p.admin(t).inside("lobby")
		text := ada.uploaded("Notes ü.txt", "some notes\n")
		picture := grace.uploaded("picture", "\x89PNG\r\n\x1a\n and so on")
		empty := ada.uploaded(".empty", "")
		if text.ContentType != "text/plain; charset=utf-8" || picture.ContentType != "image/png" || empty.ContentType != "text/plain; charset=utf-8" {
			t.Errorf("types %q, %q and %q", text.ContentType, picture.ContentType, empty.ContentType)
		}
		if got := grace.listed(); !slices.Equal(got, []string{".empty", "picture", "Notes ü.txt"}) {
			t.Errorf("the lobby has %q", got)
		}

		// A download is a file to be saved, by its name, whatever its content is.
		page := grace.uploaded(`<a "b"; c>.html`, "<html><script>alert(1)</script></html>")
		a := ada.downloads(page.Name, "<html><script>alert(1)</script></html>")
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Content-Disposition": `attachment; filename="_a _b__ c_.html"; filename*=UTF-8''%3Ca%20%22b%22%3B%20c%3E.html`, "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-cache", "ETag": `"` + page.SHA256 + `"`, "Accept-Ranges": "bytes",
			"Last-Modified": page.At.UTC().Format(http.TimeFormat), "Content-Length": "38",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		grace.downloads(".empty", "")
		grace.downloads("NOTES Ü.TXT", "some notes\n")
		grace.get(fileURL("nothing")).problem(t, http.StatusNotFound, "unknown_file")
		grace.get(fileURL("..")).problem(t, http.StatusNotFound, "unknown_file")
		grace.get("/v1/rooms/lobby/files/%00").problem(t, http.StatusNotFound, "unknown_file")

		// Names are taken whatever their case and form.
		for _, name := range []string{"Notes ü.txt", "NOTES Ü.TXT", "notes u\u0308.txt"} {
			grace.upload(name, "x").problem(t, http.StatusConflict, "file_exists")
		}

		grace.deletes("Notes ü.txt").problem(t, http.StatusForbidden, "not_your_file")
		if a := ada.deletes("notes Ü.txt").expect(t, http.StatusNoContent); len(a.body) > 0 {
			t.Errorf("%s", a.body)
		}
		ada.deletes("Notes ü.txt").problem(t, http.StatusNotFound, "unknown_file")
		ada.get(fileURL("Notes ü.txt")).problem(t, http.StatusNotFound, "unknown_file")
		admin.deletes("picture").expect(t, http.StatusNoContent)
		grace.uploaded("Notes ü.txt", "others")
		grace.downloads("Notes ü.txt", "others")
		h.keeps(3)
		if up, down := h.told("file.uploaded"), h.told("file.deleted"); up != 5 || down != 2 {
			t.Errorf("%d uploads and %d deletions were told", up, down)
		}
		h.audit()
	})
}

// Of two that come with one name at once, one is first, and nothing is left of the other.
func TestFilesWithOneName(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		const rivals = 6
		var streams [rivals]*stream
		for i := range streams {
			streams[i] = p.user(t).inside("lobby").stream([]string{"One.txt", "ONE.TXT"}[i%2])
			streams[i].send(of(100_000))
		}
		h.keeps(rivals)
		ada := p.user(t).inside("lobby")
		ada.get(fileURL("One.txt")).problem(t, http.StatusNotFound, "unknown_file") // until it is complete
		if names := ada.listed(); len(names) != 0 {
			t.Errorf("the lobby has %q", names)
		}
		statuses := map[int]int{}
		var ending sync.WaitGroup
		var mu sync.Mutex
		for _, s := range streams {
			ending.Go(func() {
				a := s.end()
				mu.Lock()
				defer mu.Unlock()
				if statuses[a.status]++; a.status != http.StatusCreated {
					a.problem(t, http.StatusConflict, "file_exists")
				}
			})
		}
		ending.Wait()
		if statuses[http.StatusCreated] != 1 || statuses[http.StatusConflict] != rivals-1 {
			t.Errorf("%v", statuses)
		}
		if left := h.stored(); len(left) != 1 {
			t.Errorf("the storage has %v", left)
		}
		ada.downloads("one.txt", of(100_000))
		h.audit()
	})
}

// What a client sends in part leaves nothing, and a file that is deleted is read to its end by whoever reads it.
func TestFilesInPart(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t).inside("lobby")
		s := ada.stream("half")
		s.send(of(1 << 20))
		h.keeps(1)
		_ = s.CloseWithError(fmt.Errorf("the client is gone"))
		h.keeps(0)
		ada.get(fileURL("half")).problem(t, http.StatusNotFound, "unknown_file")

		const size = 40 << 20 // more than the kernel keeps for a connection
		ada.uploaded("long", of(size))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ada.base+fileURL("long"), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+ada.token)
		response, err := testTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		ada.deletes("long").expect(t, http.StatusNoContent)
		ada.uploaded("LONG", "another")
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != of(size) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
		ada.downloads("long", "another")
		h.keeps(1)
		h.audit()
	})
}

func TestFilesRanges(t *testing.T) {
	t.Parallel()
	h := newEmbeddedHouse(t)
	p := h.serve()
	ada := p.user(t).inside("lobby")
	const content = "0123456789"
	etag := `"` + ada.uploaded("ten", content).SHA256 + `"`
	ada.uploaded("none", "")
	for name, c := range map[string]struct {
		file, headers string // name: value, line by line
		status        int
		content, part string // Content-Range
	}{
		"all":                             {"ten", "", 200, content, ""},
		"the first":                       {"ten", "Range: bytes=0-0", 206, "0", "bytes 0-0/10"},
		"the last":                        {"ten", "Range: bytes=9-9", 206, "9", "bytes 9-9/10"},
		"from the middle":                 {"ten", "Range: bytes=4-", 206, "456789", "bytes 4-9/10"},
		"from the end":                    {"ten", "Range: bytes=-3", 206, "789", "bytes 7-9/10"},
		"more from the end than there is": {"ten", "Range: bytes=-30", 206, content, "bytes 0-9/10"},
		"beyond the end":                  {"ten", "Range: bytes=8-99", 206, "89", "bytes 8-9/10"},
		"in capitals":                     {"ten", "Range: BYTES=2-3", 206, "23", "bytes 2-3/10"},
		"behind the end":                  {"ten", "Range: bytes=10-", 416, "", "bytes */10"},
		"nothing from the end":            {"ten", "Range: bytes=-0", 416, "", "bytes */10"},
		"nothing, and the last":           {"ten", "Range: bytes=-00, 9-", 206, "9", "bytes 9-9/10"},
		"nothing at all":                  {"ten", "Range: bytes=", 200, content, ""},
		"backwards":                       {"ten", "Range: bytes=5-2", 416, "", "bytes */10"},
		"no numbers":                      {"ten", "Range: bytes=a-b", 416, "", "bytes */10"},
		"negative":                        {"ten", "Range: bytes=--1", 416, "", "bytes */10"},
		"of too large a number":           {"ten", "Range: bytes=0-99999999999999999999", 416, "", "bytes */10"},
		"another unit":                    {"ten", "Range: lines=1-2", 200, content, ""},
		"two, of which one is":            {"ten", "Range: bytes=20-30,3-4", 206, "34", "bytes 3-4/10"},
		"many that are more than all":     {"ten", "Range: bytes=0-,0-,0-,0-", 200, content, ""},
		"if it is the same":               {"ten", "Range: bytes=1-2\nIf-Range: " + etag, 206, "12", "bytes 1-2/10"},
		"if it is another":                {"ten", `Range: bytes=1-2` + "\n" + `If-Range: "x"`, 200, content, ""},
		"if it is about the same":         {"ten", "Range: bytes=1-2\nIf-Range: W/" + etag, 200, content, ""},
		"unless it is the same":           {"ten", "If-None-Match: " + etag, 304, "", ""},
		"unless it is about the same":     {"ten", "If-None-Match: W/" + etag, 304, "", ""},
		"unless it is one of those":       {"ten", `If-None-Match: "x", ` + etag, 304, "", ""},
		"unless there is any":             {"ten", "If-None-Match: *", 304, "", ""},
		"unless it is another":            {"ten", `If-None-Match: "x"`, 200, content, ""},
		"a part unless it is the same":    {"ten", "Range: bytes=1-2\nIf-None-Match: " + etag, 304, "", ""},
		"of nothing, all":                 {"none", "Range: bytes=0-", 200, "", ""},
		"of nothing, the last":            {"none", "Range: bytes=-1", 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var options []option
			for line := range strings.SplitSeq(c.headers, "\n") {
				if name, value, found := strings.Cut(line, ": "); found {
					options = append(options, header(name, value))
				}
			}
			at := *ada
			at.TB = t
			a := at.get(fileURL(c.file), options...)
			if a.status == http.StatusRequestedRangeNotSatisfiable {
				a.problem(t, http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable")
				a.body = nil
			}
			if got := a.header.Get("Content-Range"); a.status != c.status || string(a.body) != c.content || got != c.part {
				t.Errorf("%d %q %q, want %d %q %q", a.status, a.body, got, c.status, c.content, c.part)
			}
			if a.status < 400 && c.file == "ten" && a.header.Get("ETag") != etag {
				t.Errorf("ETag %q", a.header.Get("ETag"))
			}
		})
	}
	several := ada.get(fileURL("ten"), header("Range", "bytes=0-1,8-")).expect(t, http.StatusPartialContent)
	kind, parameters, err := mime.ParseMediaType(several.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("%v %v", several.header, err)
	}
	parts := multipart.NewReader(strings.NewReader(string(several.body)), parameters["boundary"])
	for want, content := range map[string]string{"bytes 0-1/10": "01"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if err != nil || string(text) != content || part.Header.Get("Content-Range") != want {
			t.Errorf("%q %v %v", text, part.Header, err)
		}
	}
	if part, err := parts.NextPart(); err != nil || part.Header.Get("Content-Range") != "bytes 8-9/10" {
		t.Errorf("%v %v", part, err)
	}
}

// To the byte: what is left of the quota, and of the limit.
func TestFilesQuota(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve("GUICHET_FILE_LIMIT=600", "GUICHET_FILE_QUOTA=1000")
		ada, grace, admin := p.user(t).inside("lobby"), p.user(t).inside("lobby"), p.admin(t).inside("lobby")
		ada.upload("large", of(601)).problem(t, http.StatusRequestEntityTooLarge, "payload_too_large")
		ada.uploaded("a", of(600))
		ada.upload("b", of(401)).problem(t, http.StatusConflict, "quota_exceeded")
		ada.uploaded("b", of(400))
		ada.upload("c", "x").problem(t, http.StatusConflict, "quota_exceeded")
		ada.uploaded("nothing", "")
		grace.uploaded("hers", of(600))
		admin.deletes("b").expect(t, http.StatusNoContent) // it is Ada's quota all the same
		ada.uploaded("c", of(399))
		ada.uploaded("d", "x")
		ada.upload("e", "x").problem(t, http.StatusConflict, "quota_exceeded")
		ada.deletes("a").expect(t, http.StatusNoContent)

		// Together they are too much, and each of them is not.
		first, second := ada.stream("first"), ada.stream("second")
		first.send(of(500))
		second.send(of(500))
		h.keeps(6)
		statuses := []int{first.end().status, second.end().status}
		if slices.Sort(statuses); !slices.Equal(statuses, []int{http.StatusCreated, http.StatusConflict}) {
			t.Errorf("%v", statuses)
		}
		h.keeps(5)
		h.audit()
	})
}

func TestFilesIdempotency(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve("GUICHET_FILE_QUOTA=1000")
		ada, grace := p.user(t).inside("lobby"), p.user(t).inside("lobby")
		key := header("Idempotency-Key", "a-key")
		first := ada.upload("Notes", of(600), key).expect(t, http.StatusCreated)
		for range 3 { // though the name is taken, and the quota used up
			again := ada.upload("Notes", of(600), key).expect(t, http.StatusCreated)
			if string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("%v %s", again.header, again.body)
			}
		}
		ada.upload("Notes", of(599), key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		ada.upload("NOTES", of(600), key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		ada.post("/v1/accounts/"+ada.account+"/deposits", map[string]any{"amount": 1}, key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
		grace.upload("Notes", of(600), key).problem(t, http.StatusConflict, "file_exists") // it is not her key
		grace.uploaded("hers", "x", key)
		ada.deletes("Notes").expect(t, http.StatusNoContent)
		if again := ada.upload("Notes", of(600), key).expect(t, http.StatusCreated); string(again.body) != string(first.body) {
			t.Errorf("%s", again.body) // what was answered is answered again, and nothing is done
		}
		ada.get(fileURL("Notes")).problem(t, http.StatusNotFound, "unknown_file")

		// At once.
		var created, replayed int
		var mu sync.Mutex
		var sending sync.WaitGroup
		for range 6 {
			sending.Go(func() {
				a := ada.upload("once", of(300), header("Idempotency-Key", "another"))
				mu.Lock()
				defer mu.Unlock()
				if a.status == http.StatusCreated {
					created++
				}
				if a.header.Get("Idempotency-Replayed") == "true" {
					replayed++
				}
			})
		}
		sending.Wait()
		if created != 6 || replayed != 5 {
			t.Errorf("%d were created, of which %d are repeated", created, replayed)
		}
		h.keeps(2)
		h.audit()
	})
}

// While the lane is paused nobody waits for long, and what was accepted is kept for it.
func TestFilesPausedLane(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t).inside("lobby"), p.admin(t)
		ada.uploaded("old", "x")
		pause := func(paused bool) {
			admin.do(http.MethodPatch, "/v1/lanes/chat-files", map[string]any{"paused": paused}).expect(t, http.StatusOK)
		}
		pause(true)
		var waiting []outcome
		var mu sync.Mutex
		var sending sync.WaitGroup
		for _, submit := range []func() answer{
			func() answer { return ada.upload("new", "new") }, func() answer { return ada.upload("NEW", "other") }, func() answer { return ada.deletes("old") },
		} {
			sending.Go(func() {
				began := time.Now()
				o := submit().operation(t, http.StatusAccepted)
				mu.Lock()
				defer mu.Unlock()
				if waiting = append(waiting, o); o.Lane != "chat-files" || o.Status != "queued" || time.Since(began) < 9*time.Second {
					t.Errorf("%+v after %v", o, time.Since(began))
				}
			})
		}
		sending.Wait()
		h.keeps(3)
		pause(false)
		statuses := map[string]int{}
		for _, o := range waiting {
			statuses[ada.get("/v1/operations/"+o.ID+"?wait=30").operation(t, http.StatusOK).Status]++
		}
		if statuses["succeeded"] != 2 || statuses["rejected"] != 1 {
			t.Errorf("%v", statuses)
		}
		if got := string(ada.get(fileURL("new")).expect(t, http.StatusOK).body); got != "new" && got != "other" {
			t.Errorf("%q", got)
		}
		h.keeps(1)
		h.audit()
	})
}

// A process that is killed leaves half a content, and the next one removes it. What was complete and has become nothing goes after a day.
func TestFilesSurviveKills(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada := p.user(t).inside("lobby")
		ada.uploaded("kept", of(3000))
		s := ada.stream("half")
		s.send(of(20 << 20))
		h.keeps(2)
		p.kill()
		_ = s.CloseWithError(io.ErrClosedPipe) // the client would wait for more to send
		if err := <-s.failed; err == nil {
			t.Error("half a file was answered")
		}
		if left := h.stored(); len(left) != 2 {
			t.Errorf("nothing was left: %v", left)
		}
		kept := h.stored()[0]
		if strings.Contains(kept, "incoming") {
			kept = h.stored()[1]
		}
		nobodys := kept[:len(kept)-4] + "0000"
		if err := os.WriteFile(nobodys, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		p = h.serve()
		ada = ada.at(p)
		h.keeps(2)
		ada.downloads("kept", of(3000))
		ada.get(fileURL("half")).problem(t, http.StatusNotFound, "unknown_file")
		ada.uploaded("half", "whole")
		yesterday := time.Now().Add(-25 * time.Hour)
		for _, path := range h.stored() {
			if err := os.Chtimes(path, yesterday, yesterday); err != nil {
				t.Fatal(err)
			}
		}
		p.kill()
		p = h.serve()
		ada = ada.at(p)
		h.keeps(2)
		ada.downloads("kept", of(3000))
		ada.downloads("half", "whole")
		h.audit()
	})
}
