package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// readerThreads is how many threads read for all readers of the generator.
	readerThreads = 2
	// connectingAtOnce is how many readers wait for their streams to begin at once: memory is measured with all of them there, not all of them coming.
	connectingAtOnce = 128
)

// An audience is n readers of a room, on raw sockets: as with a wire, the generator shares the cores with what it measures, and a goroutine for each of
// 5,000 connections would cost more than reading them. A few threads wait for all of them at once and take apart what comes without allocating: frames are
// counted, and each reader's messages must have the sequence 1, 2, 3 … from wherever it began.
type audience struct {
	tapes   []tape // of the readers
	threads [readerThreads]*readerThread
	posted  atomic.Int64
	window  chan struct{} // a value for each message that may be posted
	// counts are how many readers have received a message, by its sequence. No more are on their way than fit.
	counts  [2 * roomWindow]atomic.Int32
	begun   atomic.Int32 // readers whose stream has begun
	latency *recorder
	measure atomic.Bool
	failed  chan error
	stop    chan struct{}
	done    sync.WaitGroup
}

// A readerThread reads for a share of the audience.
type readerThread struct {
	*audience
	index    int
	poll     int // the descriptor of its epoll
	received atomic.Int64
}

// openAudience connects n readers with the requests that ask gives, and waits until all their streams have begun.
func openAudience(ctx context.Context, address string, n int, ask func(i int) string) (_ *audience, err error) {
	a := &audience{
		tapes: make([]tape, n), window: make(chan struct{}, roomWindow), latency: newRecorder(), failed: make(chan error, readerThreads), stop: make(chan struct{}),
	}
	for range roomWindow {
		a.window <- struct{}{}
	}
	server, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	for i := range a.threads {
		t := &readerThread{audience: a, index: i}
		if t.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
			return nil, err
		}
		a.threads[i] = t
		a.done.Go(t.run)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for i := range n {
		if err := a.threads[i%readerThreads].connect(i, server, ask(i)); err != nil {
			return nil, errors.Join(fmt.Errorf("reader %d: %w", i, err), a.close())
		}
		if err := a.await(ctx, i+1-connectingAtOnce); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	if err := a.await(ctx, n); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// connect connects reader i. Its number, rather than its descriptor, is what epoll gives back.
func (t *readerThread) connect(i int, server *net.TCPAddr, request string) error {
	descriptor, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.tapes[i].descriptor.Store(int32(descriptor))
	to := &syscall.SockaddrInet4{Port: server.Port, Addr: [4]byte(server.IP.To4())}
	if err := syscall.Connect(descriptor, to); err != nil {
		return err
	}
	if _, err := syscall.Write(descriptor, []byte(request)); err != nil {
		return err
	}
	if err := syscall.SetNonblock(descriptor, true); err != nil {
		return err
	}
	return syscall.EpollCtl(t.poll, syscall.EPOLL_CTL_ADD, descriptor, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
}

// await waits until so many streams have begun.
func (a *audience) await(ctx context.Context, n int) error {
	for int(a.begun.Load()) < n {
		select {
		case err := <-a.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%d of %d streams have begun: %w", a.begun.Load(), len(a.tapes), ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// close ends the readers.
func (a *audience) close() error {
	close(a.stop)
	a.done.Wait()
	var errs []error
	for i := range a.tapes {
		if descriptor := a.tapes[i].descriptor.Load(); descriptor > 0 {
			errs = append(errs, syscall.Close(int(descriptor)))
		}
	}
	for _, t := range a.threads {
		errs = append(errs, syscall.Close(t.poll))
	}
	return errors.Join(errs...)
}

// watch returns the first error of a reader, or nil when ctx ends.
func (a *audience) watch(ctx context.Context) error {
	select {
	case err := <-a.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// received is how many messages the readers have received, all together.
func (a *audience) received() (n int64) {
	for _, t := range a.threads {
		n += t.received.Load()
	}
	return n
}

// record begins and ends the recording of latencies.
func (a *audience) record(on bool) { a.measure.Store(on) }

// run reads until the audience is closed.
func (t *readerThread) run() {
	events := make([]syscall.EpollEvent, 256)
	buffer := make([]byte, 256<<10)
	for {
		select {
		case <-t.stop:
			return
		default:
		}
		n, err := syscall.EpollWait(t.poll, events, 100)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			t.failed <- err
			return
		}
		for i := range max(n, 0) {
			if err := t.read(events[i].Fd, buffer); err != nil {
				t.failed <- fmt.Errorf("a reader: %w", err)
				return
			}
		}
	}
}

// read takes what one reader has received.
func (t *readerThread) read(i int32, buffer []byte) error {
	at := &t.tapes[i]
	n, err := syscall.Read(int(at.descriptor.Load()), buffer)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("its stream has ended")
	}
	now, record := time.Now().UnixNano(), t.measure.Load()
	messages, begun, err := at.read(buffer[:n], func(sequence int64, frame []byte) {
		if count := &t.counts[sequence%int64(len(t.counts))]; int(count.Add(1)) == len(t.tapes) {
			count.Store(0)
			t.window <- struct{}{} // has room: it was taken from there
		}
		if posted, ok := postedAt(frame); ok && record {
			t.latency.record(t.index, time.Duration(now-posted))
		}
	})
	t.received.Add(messages)
	if begun {
		t.begun.Add(1)
	}
	return err
}

// A tape is the stream of one reader so far.
type tape struct {
	descriptor atomic.Int32 // of its socket; 0 before there is one
	rest       []byte       // of a frame whose end has not come
	last       int64        // the sequence of the last message, 0 before the first
	begun      bool
}

// read takes apart what has come and tells each message with its sequence. It does not matter whether the stream is chunked: only lines that are part of no
// frame are added by that.
func (t *tape) read(b []byte, told func(sequence int64, frame []byte)) (messages int64, begun bool, err error) {
	for {
		end := frameEnd(t.rest, b)
		if end < 0 {
			t.rest = append(t.rest, b...)
			return messages, begun, nil
		}
		frame := b[:end]
		if len(t.rest) > 0 {
			t.rest = append(t.rest, frame...)
			frame = t.rest
		}
		sequence, found := sequenceOf(frame)
		switch {
		case !found && !t.begun && bytes.Contains(frame, []byte("retry: ")):
			if !bytes.Contains(frame, []byte(" 200 OK\r\n")) {
				return messages, begun, fmt.Errorf("its stream begins with %.200q", frame)
			}
			t.begun, begun = true, true
		case found && t.last > 0 && sequence != t.last+1:
			return messages, begun, fmt.Errorf("message %d came after %d", sequence, t.last)
		case found:
			t.last = sequence
			messages++
			told(sequence, frame)
		}
		t.rest, b = t.rest[:0], b[end:]
	}
}

// frameEnd is how much of b belongs to the frame that begins with rest, -1 if it does not end there. Frames end with an empty line.
func frameEnd(rest, b []byte) int {
	if n := len(rest); n > 0 && len(b) > 0 && rest[n-1] == '\n' && b[0] == '\n' {
		return 1
	}
	if at := bytes.Index(b, []byte("\n\n")); at >= 0 {
		return at + 2
	}
	return -1
}

// sequenceOf reads the sequence of a message from its frame.
func sequenceOf(frame []byte) (n int64, found bool) {
	at := lastIndex(frame, `"sequence":`)
	if at < 0 {
		return 0, false
	}
	for ; at < len(frame) && frame[at] >= '0' && frame[at] <= '9'; at++ {
		n = 10*n + int64(frame[at]-'0')
	}
	return n, true
}

// lastIndex is where what follows the text begins, -1 if it is not there.
func lastIndex(b []byte, text string) int {
	if at := bytes.Index(b, []byte(text)); at >= 0 {
		return at + len(text)
	}
	return -1
}
