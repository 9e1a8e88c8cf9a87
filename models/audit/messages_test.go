package audit

import (
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
)

// talkRound is an envelope of edits and deletions, as workers/messages.go executes it.
type talkRound struct {
	commands map[id.ID]messages.Command
	said     map[id.ID]*messages.Message
}

func loadTalk(tx database.Tx, commands []operation.Command) (round, error) {
	r := &talkRound{map[id.ID]messages.Command{}, map[id.ID]*messages.Message{}}
	var offsets []int64
	for i := range commands {
		c, err := messages.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		r.commands[commands[i].ID] = c
		offsets = append(offsets, messages.OffsetOf(c.Message))
	}
	found, _, err := messages.Lock(tx, offsets)
	for i := range found {
		r.said[found[i].ID()] = &found[i]
	}
	return r, err
}

func (r *talkRound) lastStamp() (last lamport.Stamp) {
	for _, m := range r.said {
		last = max(last, m.Lamport)
	}
	return last
}

func (r *talkRound) decide(c *operation.Command, cause bank.Cause) *problem.Problem {
	asked := r.commands[c.ID]
	m := r.said[asked.Message]
	if m == nil {
		return problem.New(problem.UnknownMessage, "")
	}
	change := messages.Change{By: c.UserID, Asked: c.SubmittedAt, At: cause.At, Stamp: cause.Stamp}
	if c.Kind == messages.KindEdit {
		return m.Edit(change, asked.Text)
	}
	_, refusal := m.Delete(change, asked.Admin)
	return refusal
}

func (r *talkRound) save(tx database.Tx) error {
	var changed []*messages.Message
	for _, m := range r.said {
		changed = append(changed, m)
	}
	return messages.SaveChanged(tx, changed)
}

// talk is what was said in an hour: three messages in the lobby, of which the first was corrected and the second taken back, and one in another room.
type talk struct {
	corrected, gone, old, elsewhere *messages.Message
}

func (h *house) talk() talk {
	h.Helper()
	p := h.process(0)
	now := time.Now().UTC().Truncate(time.Microsecond)
	said := func(offset, sequence int64, room id.ID, by string, ago time.Duration) *messages.Message {
		return &messages.Message{Offset: offset, Room: room, Sequence: sequence, UserID: p.userOf(by), Username: by, Text: "what " + by + " says", At: now.Add(-ago), Lamport: p.clock.Tick()}
	}
	t := talk{
		old: said(3, 1, chat.Lobby, "ada", time.Hour), elsewhere: said(4, 1, p.ids.Next(), "ada", time.Minute),
		corrected: said(7, 2, chat.Lobby, "ada", time.Minute), gone: said(1_000_008, 3, chat.Lobby, "grace", time.Second),
	}
	rows := database.Rows{Table: "messages", Columns: []string{"log_offset", "room_id", "sequence", "user_id", "username", "text", "at_us", "lamport"}}
	for _, m := range []*messages.Message{t.old, t.elsewhere, t.corrected, t.gone} {
		rows.Add(m.Offset, m.Room[:], m.Sequence, m.UserID[:], m.Username, m.Text, operation.Micro(m.At), int64(m.Lamport))
	}
	must(h, p.db.Write(p.Context(), func(tx database.Tx) error {
		if _, err := tx.Exec("UPDATE message_log SET stored_offset = ? WHERE id = 1", t.gone.Offset); err != nil {
			return err
		}
		return rows.Insert(tx)
	}))
	edit := func(m *messages.Message, by, text string) command {
		return command{messages.KindEdit, messages.Command{Message: m.ID(), Text: text}, by}
	}
	deletion := func(m *messages.Message, by string, admin bool) command {
		return command{messages.KindDeletion, messages.Command{Message: m.ID(), Admin: admin}, by}
	}
	unsaid := &messages.Message{Offset: 5, At: now}
	p.execute(p.accept(messages.Lane, edit(t.corrected, "ada", "first"), edit(t.corrected, "grace", "mine"), edit(t.old, "ada", "late"), deletion(t.gone, "grace", false)))
	p.execute(p.accept(messages.Lane, edit(t.corrected, "ada", "second"), edit(t.gone, "grace", "again"), deletion(t.gone, "grace", false), edit(unsaid, "ada", "who?"), edit(t.elsewhere, "ada", "a fault")), 4)
	return t
}

func TestMessagesHold(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		h.talk()
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		expectChecked(t, report.Checks, map[string]int64{"one_outcome_each": 9, "lane_sequences_dense": 9, "fifo": 8, "parked_agree": 1, "lamport": 9, "held_equals_holds": 3, "messages_without_holes": 4, "replay": 9})
	})
}

// TestMessagesFindings falsifies the table of messages, one lie at a time, and expects just those checks to report it that can see it.
func TestMessagesFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		said := h.talk()
		at := func(m *messages.Message, set string) []statementOf {
			return []statementOf{tell("UPDATE messages SET "+set+" WHERE log_offset = ?", m.Offset)}
		}
		expectFindings(t, h, []lie{
			{"a hole", "messages_without_holes", at(said.gone, "sequence = 4")},
			{"one that was corrected is gone", "messages_without_holes replay", []statementOf{tell("DELETE FROM messages WHERE log_offset = ?", said.corrected.Offset)}},
			{"a message is in another room", "messages_without_holes", []statementOf{tell("UPDATE messages SET room_id = ?, sequence = 4 WHERE log_offset = ?", said.old.Room, said.elsewhere.Offset)}},
			{"the first comes last", "messages_without_holes replay", at(said.old, "log_offset = 9")},
			{"the table knows more than it says", "messages_without_holes", []statementOf{tell("UPDATE message_log SET stored_offset = stored_offset - 1")}},
			{"a text is gone", "messages_without_holes", at(said.old, "text = ''")},
			{"a text is back", "messages_without_holes replay", at(said.gone, "text = 'again'")},
			{"a text that nobody wrote", "replay", at(said.corrected, "text = 'third'")},
			{"an edit that nobody made", "replay", at(said.old, "edited_at_us = at_us + 1")},
			{"an edit was earlier", "replay", at(said.corrected, "edited_at_us = edited_at_us - 1")},
			{"a deletion that nobody asked for", "replay", at(said.elsewhere, "deleted_at_us = at_us + 1, text = ''")},
			{"a stamp is behind", "replay", at(said.corrected, "lamport = lamport - 1")},
			{"somebody else has said it", "replay", at(said.corrected, "user_id = X'00000000000000000000000000000001'")},
		})
	})
}
