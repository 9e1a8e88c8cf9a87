package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed/stores"
)

func submissionOf(user id.ID, key string, amount int) *submission {
	s := &submission{
		command: operation.Command{UserID: user, Lane: bank.Lane, Kind: bank.KindDeposit, Payload: json.RawMessage(fmt.Sprintf(`{"amount":%d}`, amount))},
		answer:  make(chan accepted, 1), wait: true,
	}
	if key != "" {
		s.key = &operation.Key{User: user, Hash: operation.HashKey(key), Request: [32]byte{byte(amount)}}
	}
	return s
}

// The commit of a batch got through, and the answer to it was lost: the next attempt must find that, and not give the operations of one to another.
func TestJournalingTwice(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		ada, grace := c.IDs.Next(), c.IDs.Next()
		j := &journaling{intake: c.intakes[bank.Lane], submissions: []*submission{
			submissionOf(ada, "a-key", 1), submissionOf(grace, "", 2), submissionOf(ada, "a-key", 1), submissionOf(ada, "a-key", 3), submissionOf(grace, "other", 4),
		}}
		base := c.IDs.Next()
		attempt := func() error {
			return c.DB.Write(t.Context(), func(tx database.Tx) error { return j.writeIn(tx, base) })
		}
		must(t, attempt())
		first := fmt.Sprint(describe(j))
		must(t, attempt())
		if again := fmt.Sprint(describe(j)); again != first {
			t.Errorf("the second attempt answers\n%s\nthe first\n%s", again, first)
		}
		var amounts []string
		journaled, err := operation.Commands(c.DB.Read(t.Context()), operation.Batch{ID: base, Operations: 5})
		must(t, err)
		for i, command := range journaled {
			amounts = append(amounts, string(command.Payload))
			if command.ID != j.commands[i].ID || command.Lamport != j.commands[i].Lamport || !command.SubmittedAt.Equal(j.commands[i].SubmittedAt) {
				t.Errorf("journaled %+v, to be executed %+v", command, j.commands[i])
			}
		}
		if got := fmt.Sprint(amounts); got != `[{"amount":1} {"amount":2} {"amount":4}]` {
			t.Errorf("journaled %s", got)
		}
		if waiters := c.Hub.Stats().Waiters; waiters != 3 {
			t.Errorf("%d waiters for 3 operations", waiters)
		}
		j.forgetAll()
		if waiters := c.Hub.Stats().Waiters; waiters != 0 {
			t.Errorf("%d waiters are left", waiters)
		}
	})
}

// describe says what each submission is answered.
func describe(j *journaling) []string {
	var all []string
	for _, a := range j.answers {
		code := problem.Code("")
		if p, ok := errors.AsType[*problem.Problem](a.err); ok {
			code = p.Code
		}
		all = append(all, fmt.Sprintf("%v %v %s", a.command.ID, a.repeated, code))
	}
	return all
}

func TestIntakeAnswers(t *testing.T) {
	onBothStores(t, func(t *testing.T, c *counter) {
		in := c.intakes[bank.Lane]
		in.LaneDepth = 3
		ada := c.IDs.Next()
		ask := func(s *submission) accepted {
			in.accept(t.Context(), []*submission{s})
			return <-s.answer
		}
		made := ask(submissionOf(ada, "k", 1))
		must(t, made.err)
		if same := ask(submissionOf(ada, "k", 1)); same.err != nil || same.repeated != made.command.ID {
			t.Errorf("%+v, want operation %v again", same, made.command.ID)
		}
		if other := ask(submissionOf(ada, "k", 2)); other.err != errKeyReused { //nolint:errorlint // it is this very value
			t.Errorf("%+v for another body", other)
		}
		if other := ask(submissionOf(c.IDs.Next(), "k", 2)); other.err != nil || other.command.ID.IsZero() {
			t.Errorf("%+v for another user", other)
		}
		must(t, ask(submissionOf(ada, "", 5)).err)
		var full *problem.Problem
		if refused := ask(submissionOf(ada, "", 6)); !errors.As(refused.err, &full) || full.Code != problem.LaneFull || full.RetryAfterSeconds() < 1 {
			t.Errorf("%+v, want lane_full", refused)
		}
		if n := c.count("operations"); n != 3 {
			t.Errorf("%d operations, want 3", n)
		}
		if entries := c.Hub.Stats(); entries.Waiters != 3 { // nobody has waited for them here
			t.Errorf("%+v", entries)
		}
	})
}

// The batch that fills the lane is accepted in part.
func TestIntakeFillsTheLane(t *testing.T) {
	t.Parallel()
	c := newCounter(t, stores.SQLite(t))
	in := c.intakes[bank.Lane]
	in.LaneDepth = 4
	var batch []*submission
	for n := range 6 {
		batch = append(batch, submissionOf(c.IDs.Next(), "", n))
	}
	in.accept(t.Context(), batch)
	for n, s := range batch {
		if answer := <-s.answer; (answer.err != nil) != (n >= 4) {
			t.Errorf("submission %d: %v", n, answer.err)
		}
	}
	if n := c.count("operations"); n != 4 {
		t.Errorf("%d operations, want 4", n)
	}
}
