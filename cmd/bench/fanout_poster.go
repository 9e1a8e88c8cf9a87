package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// messageLength is that of each message of the fan-out, in bytes. The first of them are the time of its POST in ns, which readers take the latency from.
const (
	messageLength = 120
	timeDigits    = 19
)

// messageFiller is what follows the time.
var messageFiller = strings.Repeat("x", messageLength-timeDigits)

// A roomPoster says one thing after the other: when the window has room, or with the beats if there are any.
type roomPoster struct {
	wire     *wire
	pen      *pen
	audience *audience
	beats    *time.Ticker
}

func (p *roomPoster) run(ctx context.Context) error {
	// A client blocked in a read does not see its context.
	defer context.AfterFunc(ctx, func() { _ = p.wire.conn.SetDeadline(time.Now().Add(5 * time.Second)) })()
	for p.mayPost(ctx) {
		at := time.Now()
		answer, err := p.wire.roundTrip(p.pen.write(http.MethodPost, "/v1/rooms/lobby/messages", messageBody(at)))
		if err != nil {
			return err
		}
		if answer.status != http.StatusCreated {
			return unexpected(answer)
		}
		p.audience.posted.Add(1)
	}
	return nil
}

// mayPost waits for a place in the window, or a beat; it says false at the end.
func (p *roomPoster) mayPost(ctx context.Context) bool {
	if p.beats != nil {
		select {
		case <-p.beats.C:
		case <-ctx.Done():
			return false
		}
	}
	select {
	case <-p.audience.window:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// messageBody is a message that was posted at a time.
func messageBody(at time.Time) string {
	return `{"text":"` + fmt.Sprintf("%0*d", timeDigits, at.UnixNano()) + messageFiller + `"}`
}

// postedAt reads when a message was posted of its frame; false if it does not say.
func postedAt(frame []byte) (int64, bool) {
	const before = `"text":"`
	at := lastIndex(frame, before)
	if at < 0 || len(frame) < at+timeDigits {
		return 0, false
	}
	n, err := strconv.ParseInt(string(frame[at:at+timeDigits]), 10, 64) // the compiler makes no copy of what is only parsed
	return n, err == nil
}
