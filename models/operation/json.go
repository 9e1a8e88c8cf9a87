package operation

import (
	"encoding/json"
	"strconv"
	"time"
)

// timeFormat is RFC 3339 with the microseconds that are stored.
const timeFormat = "2006-01-02T15:04:05.999999Z07:00"

// AppendJSON appends the operation as the contract shows it. It is written by hand because it is written once for every operation,
// by the worker, and passed on as it is: to the waiting client, to the feed, to whoever polls in another process.
func (o *Operation) AppendJSON(b []byte) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, o.ID.String()...)
	b = append(b, `","kind":`...)
	b = strconv.AppendQuote(b, o.Kind) // kinds and lanes are plain words
	b = append(b, `,"lane":`...)
	b = strconv.AppendQuote(b, o.Lane)
	b = append(b, `,"status":"`...)
	b = append(b, o.Status()...)
	b = append(b, `","position":`...)
	if o.Outcome == nil {
		b = strconv.AppendInt(b, o.Position, 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"submitted_at":`...)
	b = appendTime(b, o.SubmittedAt)
	outcome := o.Outcome
	if outcome == nil {
		outcome = &Outcome{Lamport: o.Lamport, StartedAt: o.Started}
	}
	b = append(b, `,"started_at":`...)
	b = appendTime(b, outcome.StartedAt)
	b = append(b, `,"finished_at":`...)
	b = appendTime(b, outcome.FinishedAt)
	b = append(b, `,"lamport":`...)
	b = strconv.AppendInt(b, int64(outcome.Lamport), 10)
	b = append(b, `,"result":`...)
	if outcome.Result != nil {
		b = append(b, outcome.Result...)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"problem":`...)
	if outcome.Problem != nil {
		text, err := json.Marshal(outcome.Problem)
		if err != nil { // it is made of strings and numbers
			panic(err)
		}
		b = append(b, text...)
	} else {
		b = append(b, "null"...)
	}
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}
