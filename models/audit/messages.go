package audit

import (
	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/messages"
	"guichet/models/operation"
	"guichet/models/problem"
)

// checkMessages checks that what was said in each room has the sequences 1, 2, 3 and so on, in the order of the log, and that the table has no more of the log than
// it says.
func checkMessages(tx database.Tx) ([]*Check, error) {
	check := &Check{Name: "messages_without_holes"}
	stored, err := messagesStored(tx)
	if err != nil {
		return nil, err
	}
	last := map[id.ID]int64{}
	for m, err := range messageRows(tx) {
		if err != nil {
			return nil, err
		}
		check.Checked++
		if m.Sequence != last[m.Room]+1 {
			check.find("message %s has sequence %d in room %s, behind %d", m.ID(), m.Sequence, m.Room, last[m.Room])
		}
		last[m.Room] = m.Sequence
		if m.Offset > stored {
			check.find("message %s has offset %d, and the table has followed the log up to %d", m.ID(), m.Offset, stored)
		}
		if (m.Text == "") != !m.DeletedAt.IsZero() {
			check.find("message %s has a text and is deleted, or has none and is not", m.ID())
		}
	}
	return []*Check{check}, nil
}

// messagesReplayer replays edits and deletions, and answers for what they have left in the table. What was said is not in the journal: who said it and when are
// taken from the table.
type messagesReplayer struct {
	changed map[id.ID]*messages.Message // those that commands are about, without the text, which may not be the first any more
}

func newMessagesReplayer(tx database.Tx, _ *bank.Ledger) (replayer, error) {
	x := &messagesReplayer{map[id.ID]*messages.Message{}}
	about := map[int64]bool{}
	for row, err := range messageCommands(tx) {
		if err != nil {
			return nil, err
		}
		if c, err := messages.DecodeCommand(row.kind, []byte(row.payload)); err == nil { // else the replay tells
			about[messages.OffsetOf(c.Message)] = true
		}
	}
	for m, err := range messageRows(tx) {
		if err != nil {
			return nil, err
		}
		if about[m.Offset] {
			x.changed[m.ID()] = &messages.Message{Offset: m.Offset, Room: m.Room, UserID: m.UserID, At: m.At}
		}
	}
	return x, nil
}

func (x *messagesReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := messages.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	m := x.changed[c.Message]
	if m == nil {
		return problem.New(problem.UnknownMessage, "")
	}
	change := messages.Change{By: command.UserID, Asked: command.SubmittedAt, At: cause.At, Stamp: cause.Stamp}
	if command.Kind == messages.KindEdit {
		return m.Edit(change, c.Text)
	}
	_, refusal := m.Delete(change, c.Admin)
	return refusal
}

// compare reports messages that were changed otherwise than by an operation, and operations whose change is not there.
func (x *messagesReplayer) compare(tx database.Tx, c *Check) error {
	for m, err := range messageRows(tx) {
		if err != nil {
			return err
		}
		again := x.changed[m.ID()]
		if again == nil {
			again = &messages.Message{}
		}
		if !m.EditedAt.Equal(again.EditedAt) || !m.DeletedAt.Equal(again.DeletedAt) || again.Lamport != 0 && (m.Text != again.Text || m.Lamport != again.Lamport) {
			c.find("message %s was edited at %s and deleted at %s (stamp %d); replayed, at %s and %s (stamp %d), or its text is another", m.ID(),
				m.EditedAt, m.DeletedAt, m.Lamport, again.EditedAt, again.DeletedAt, again.Lamport)
		}
	}
	return nil
}
