package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
	"time"
)

// upload sends one large file to the lobby and reads it again, and measures what that takes the process that it goes through: its memory must not grow with the file,
// and who posts messages meanwhile must not wait for it.
type upload struct{}

const (
	uploadSize = 1 << 30 // bytes
	// uploadSample is how often the memory is looked at meanwhile.
	uploadSample = 10 * time.Millisecond
)

// uploadShapes are the embedded pair, and an API of its own.
var uploadShapes = []shape{splitShape, embeddedShape}

func (upload) name() string { return "upload" }

func (u upload) run(ctx context.Context, l *lab) error {
	for _, s := range uploadShapes {
		h, err := l.openHouse(ctx, s, peopleFor(1))
		if err != nil {
			return err
		}
		if err := h.close(ctx, u.measure(ctx, l, h)); err != nil {
			return fmt.Errorf("%s: %w", s.word, err)
		}
	}
	return nil
}

func (u upload) measure(ctx context.Context, l *lab, h *house) error {
	one := &h.people[0]
	if _, err := h.call(ctx, http.MethodPut, "/v1/rooms/lobby/members/me", one.token, nil, nil); err != nil {
		return err
	}
	if _, err := h.sendFile(ctx, one, "small", 1<<20); err != nil { // what is kept for the next time is no growth
		return err
	}
	alone, err := messagesDuring(ctx, h, func() error {
		select {
		case <-time.After(l.duration):
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	memory, err := watchMemory(h.processes[0])
	if err != nil {
		return err
	}
	var sent, taken time.Duration
	beside, err := messagesDuring(ctx, h, func() (err error) {
		sent, err = h.sendFile(ctx, one, "large", uploadSize)
		return err
	})
	if err == nil {
		taken, err = h.takeFile(ctx, one, "large", uploadSize)
	}
	growth, watchErr := memory.end()
	if err := errors.Join(err, watchErr); err != nil {
		return err
	}
	l.report.set(valueUploadMemory, float64(growth)/(1<<20))
	rate := func(took time.Duration) float64 { return uploadSize / 1e6 / took.Seconds() }
	l.report.add(row{run: "a file of 1 GiB; " + h.label, clients: 1,
		remarks: fmt.Sprintf("sent %.0f MB/s (answered when it is on disk), taken %.0f MB/s; %s grew by %.1f MiB at most, from %.0f", rate(sent), rate(taken), h.processes[0].name,
			float64(growth)/(1<<20), float64(memory.before)/(1<<20))})
	for _, q := range []struct {
		when    string
		latency quantiles
	}{{"nothing else happens", alone}, {"the file is sent", beside}} {
		l.report.add(row{run: "POST of a message while " + q.when + "; " + h.label, clients: 1, pattern: oneRoom, latency: q.latency,
			remarks: fmt.Sprintf("%d messages, with pauses of 0–%d ms; slowest %s ms", q.latency.count, thinking.Milliseconds(), millis(q.latency.max))})
	}
	return nil
}

// longestUpload bounds how long messages are posted beside what is measured.
const longestUpload = 10 * time.Minute

// messagesDuring has somebody post messages, with pauses, while do does something, and says how long they took to be answered.
func messagesDuring(ctx context.Context, h *house, do func() error) (quantiles, error) {
	t := &talk{}
	clients, err := connectClients(ctx, h.address, 1, func(int) *client { return t.client(h.pen(&h.people[0])) })
	if err != nil {
		return quantiles{}, err
	}
	defer closeAll(clients)
	stop := make(chan struct{})
	var done error
	var doing sync.WaitGroup
	doing.Go(func() {
		defer close(stop)
		done = do()
	})
	m, err := load{clients: clients, judge: t.judge, window: longestUpload, think: thinking, stop: stop}.drive(ctx)
	doing.Wait()
	return m.latency, errors.Join(err, done)
}

// memoryWatch looks at the memory of a process over and over.
type memoryWatch struct {
	before  int64
	most    int64
	err     error
	stop    chan struct{}
	watched sync.WaitGroup
}

func watchMemory(p *process) (*memoryWatch, error) {
	before, err := residentMemory(p.pid)
	if err != nil {
		return nil, err
	}
	w := &memoryWatch{before: before, most: before, stop: make(chan struct{})}
	w.watched.Go(func() {
		tick := time.NewTicker(uploadSample)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
			now, err := residentMemory(p.pid)
			w.most, w.err = max(w.most, now), errors.Join(w.err, err)
			if err != nil {
				return
			}
		}
	})
	return w, nil
}

// end is by how many bytes the process had grown at most.
func (w *memoryWatch) end() (int64, error) {
	close(w.stop)
	w.watched.Wait()
	return w.most - w.before, w.err
}

// files is the client of files, which take as long as they take.
var files = &http.Client{Transport: &http.Transport{}}

// sendFile uploads zeros to the lobby, and says how long that took.
func (h *house) sendFile(ctx context.Context, by *person, name string, size int64) (time.Duration, error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if _, err := w.CreateFormFile("file", name); err != nil {
		return 0, err
	}
	head := form.String()
	form.Reset()
	if err := w.Close(); err != nil {
		return 0, err
	}
	length := int64(len(head)) + size + int64(form.Len())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.address+"/v1/rooms/lobby/files", io.MultiReader(bytes.NewReader([]byte(head)), io.LimitReader(zeros{}, size), &form))
	if err != nil {
		return 0, err
	}
	request.ContentLength = length
	request.Header.Set("Content-Type", w.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+by.token)
	begin := time.Now()
	response, err := files.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("upload: %d %s", response.StatusCode, text)
	}
	return time.Since(begin), err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// takeFile downloads a file of the lobby, and says how long that took.
func (h *house) takeFile(ctx context.Context, by *person, name string, size int64) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address+"/v1/rooms/lobby/files/"+name, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+by.token)
	begin := time.Now()
	response, err := files.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && (n != size || response.StatusCode != http.StatusOK) {
		err = fmt.Errorf("download: %d, %d bytes", response.StatusCode, n)
	}
	return time.Since(begin), err
}
