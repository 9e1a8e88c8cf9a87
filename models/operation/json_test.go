package operation

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// shown is what AppendJSON writes, as encoding/json writes it.
type shown struct {
	ID          id.ID            `json:"id"`
	Kind        string           `json:"kind"`
	Lane        string           `json:"lane"`
	Status      Status           `json:"status"`
	Position    *int64           `json:"position"`
	SubmittedAt *time.Time       `json:"submitted_at"`
	StartedAt   *time.Time       `json:"started_at"`
	FinishedAt  *time.Time       `json:"finished_at"`
	Lamport     lamport.Stamp    `json:"lamport"`
	Result      json.RawMessage  `json:"result"`
	Problem     *problem.Problem `json:"problem"`
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func shownOf(o *Operation) shown {
	s := shown{ID: o.ID, Kind: o.Kind, Lane: o.Lane, Status: o.Status(), SubmittedAt: timeOrNull(o.SubmittedAt), StartedAt: timeOrNull(o.Started), Lamport: o.Lamport}
	if o.Outcome == nil {
		s.Position = &o.Position
		return s
	}
	s.StartedAt, s.FinishedAt, s.Lamport = timeOrNull(o.Outcome.StartedAt), timeOrNull(o.Outcome.FinishedAt), o.Outcome.Lamport
	s.Result, s.Problem = o.Outcome.Result, o.Outcome.Problem
	return s
}

func compareJSON(t *testing.T, o *Operation) {
	t.Helper()
	before := []byte("before ")
	got := o.AppendJSON(before)[len(before):]
	want, err := json.Marshal(shownOf(o))
	must(t, err)
	if !json.Valid(got) {
		t.Fatalf("not JSON: %s", got)
	}
	if gotValue, wantValue := decode(t, got), decode(t, want); !reflect.DeepEqual(gotValue, wantValue) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if gotKeys, wantKeys := keys(t, got), keys(t, want); !reflect.DeepEqual(gotKeys, wantKeys) {
		t.Errorf("the fields are %v, want %v", gotKeys, wantKeys)
	}
}

func decode(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	must(t, decoder.Decode(&value))
	return value
}

// keys is the keys of the outermost object, in order.
func keys(t *testing.T, object []byte) []string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, err := decoder.Token() // {
	must(t, err)
	var found []string
	for decoder.More() {
		key, err := decoder.Token()
		must(t, err)
		found = append(found, key.(string))
		var value json.RawMessage
		must(t, decoder.Decode(&value))
	}
	return found
}

func TestAppendJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 30, 0, 120_000_000, time.UTC)
	command := Command{ID: id.NewGenerator().Next(), Kind: "deposit", Lane: "exchange-3", Lamport: 7, SubmittedAt: at}
	for name, o := range map[string]Operation{
		"queued":                 {Command: command, Position: 12},
		"the next":               {Command: command},
		"running":                {Command: command, Started: at.Add(time.Microsecond)},
		"succeeded":              {Command: command, Outcome: &Outcome{Status: Succeeded, Lamport: 1 << 52, StartedAt: at, FinishedAt: at.Add(time.Second), Result: json.RawMessage(`{"a": [1, null, "<&>"]}`)}},
		"succeeded with nothing": {Command: command, Outcome: &Outcome{Status: Succeeded, StartedAt: at, FinishedAt: at}},
		"rejected":               {Command: command, Position: 3, Outcome: &Outcome{Status: Rejected, StartedAt: at, FinishedAt: at, Problem: problem.New(problem.InsufficientFunds, `<"no\money">`)}},
		"failed":                 {Command: command, Outcome: &Outcome{Status: Failed, StartedAt: at, FinishedAt: at, Problem: problem.New(problem.OperationFailed, "")}},
		"of another zone":        {Command: Command{ID: command.ID, SubmittedAt: at.In(time.FixedZone("", 3600))}},
		"before everything":      {Command: Command{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareJSON(t, &o)
		})
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("insufficient_funds", "account 1111111111 has 5 available", `{"account":{}}`, int64(1_795_258_628_902_378), int64(42), int64(3), uint8(0))
	f.Add("", "\x00\u2028\u2029\xff\"\\\n</script>", `"\ud800"`, int64(-1), int64(-1), int64(0), uint8(1))
	f.Add("x", "é\U0001F600", `[1e309, "\u0000"]`, int64(1), int64(1)<<53, int64(1)<<40, uint8(2))
	f.Fuzz(func(t *testing.T, code, detail, result string, atUs, stamp, position int64, form uint8) {
		at := FromMicro(atUs)
		if at.Year() < 0 || at.Year() > 9999 { // no such time in RFC 3339
			return
		}
		o := Operation{Command: Command{Kind: "deposit", Lane: lane, SubmittedAt: at, Lamport: lamport.Stamp(stamp)}, Position: position}
		outcome := &Outcome{Status: Rejected, Lamport: lamport.Stamp(stamp), StartedAt: at, FinishedAt: at}
		switch form % 4 {
		case 0:
			outcome.Problem = problem.New(problem.Code(code), detail)
		case 1:
			outcome.Problem = &problem.Problem{Code: problem.Code(code), Detail: detail, Fields: []problem.Field{{Pointer: detail, Message: code}}}
		case 2:
			if !json.Valid([]byte(result)) {
				return
			}
			outcome.Status, outcome.Result = Succeeded, json.RawMessage(result)
		case 3:
			outcome = nil
		}
		o.Outcome = outcome
		compareJSON(t, &o)
	})
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	g := id.NewGenerator()
	at := time.Date(2026, 11, 21, 10, 30, 0, 123_456_000, time.UTC)
	var e Envelope
	for n := range 3 {
		base := g.Next()
		var commands []Command
		for i := range n + 1 {
			commands = append(commands, Command{ID: base.WithIndex(i), UserID: g.Next(), Lane: "exchange-1", Kind: "order", Payload: json.RawMessage(`{"a":1}`), Lamport: 5, SubmittedAt: at})
		}
		e.Add(Batch{base, n + 1}, commands)
	}
	e.Commands[0].Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, after := range []id.ID{{}, g.Next()} {
		e.After = after
		payload := e.Encode()
		got, err := DecodeEnvelope("exchange-1", payload)
		must(t, err)
		if !reflect.DeepEqual(*got, e) || got.ID() != e.Batches[0].ID {
			t.Errorf("sent     %+v\nreceived %+v", e, got)
		}
	}
	whole := e.Encode()
	for n := range whole {
		if got, err := DecodeEnvelope(lane, whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are read as %+v", n, len(whole), got)
		}
	}
	for _, payload := range []string{"{}", "\x02" + string(whole[1:]), "\x01" + strings.Repeat("\xff", 40)} {
		if got, err := DecodeEnvelope(lane, []byte(payload)); err == nil {
			t.Errorf("DecodeEnvelope(%q) = %+v", payload, got)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for status, ended := range map[Status]bool{Queued: false, Running: false, Succeeded: true, Rejected: true, Failed: true, "": false, "lost": false} {
		if status.Ended() != ended {
			t.Errorf("%q.Ended() = %t", status, !ended)
		}
	}
	o := Operation{}
	if o.Status() != Queued {
		t.Errorf("a new operation is %s", o.Status())
	}
	o.Started = time.Now()
	if o.Status() != Running {
		t.Errorf("a started operation is %s", o.Status())
	}
	o.Outcome = &Outcome{Status: Failed}
	if o.Status() != Failed {
		t.Errorf("a failed operation is %s", o.Status())
	}
}

func TestMicro(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 30, 0, 123_456_789, time.FixedZone("", -7200))
	if got := FromMicro(Micro(at)); !got.Equal(at.Truncate(time.Microsecond)) || got.Location() != time.UTC {
		t.Errorf("%s is stored as %s", at, got)
	}
	if Micro(time.Time{}) != 0 || !FromMicro(0).IsZero() {
		t.Error("no time is not stored as none")
	}
}
