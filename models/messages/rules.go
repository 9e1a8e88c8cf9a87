package messages

import (
	"encoding/json"
	"fmt"
	"time"

	"guichet/models/feed"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// The kinds of commands.
const (
	KindEdit     = "message_edit"
	KindDeletion = "message_deletion"
)

// Patience is for how long who has said something may take it back, or correct it.
const Patience = 15 * time.Minute

// Command is the payload of both kinds.
type Command struct {
	Message id.ID  `json:"message"`
	Text    string `json:"text,omitempty"`  // of an edit
	Admin   bool   `json:"admin,omitempty"` // an admin deletes
}

// DecodeCommand reads a payload.
func DecodeCommand(kind string, payload []byte) (Command, error) {
	var c Command
	if kind != KindEdit && kind != KindDeletion {
		return c, fmt.Errorf("messages: there is no command %q", kind)
	}
	err := json.Unmarshal(payload, &c)
	return c, err
}

// Change is who changes a message, and when.
type Change struct {
	By    id.ID
	Asked time.Time // when it was submitted, which is what patience is measured by: the lane may keep it waiting
	At    time.Time // when it is decided
	Stamp lamport.Stamp
}

// Edit gives the message another text. It refuses, in this order, and then changes nothing: not_your_message, message_deleted, message_too_old.
func (m *Message) Edit(c Change, text string) *problem.Problem {
	switch {
	case m.UserID != c.By:
		return problem.New(problem.NotYourMessage, "Only who said it can correct it.")
	case !m.DeletedAt.IsZero():
		return problem.New(problem.MessageDeleted, "The message is deleted.")
	case c.Asked.Sub(m.At) > Patience:
		return tooOld()
	}
	m.Text, m.EditedAt, m.Lamport = text, c.At, c.Stamp
	return nil
}

// Delete takes the text away; the message keeps its place. What is deleted already stays as it is, and changed is false. It refuses, in this order:
// not_your_message, message_too_old; neither to an admin.
func (m *Message) Delete(c Change, admin bool) (changed bool, refusal *problem.Problem) {
	switch {
	case m.UserID != c.By && !admin:
		return false, problem.New(problem.NotYourMessage, "Only who said it, or an admin, can delete it.")
	case !m.DeletedAt.IsZero():
		return false, nil
	case c.Asked.Sub(m.At) > Patience && !admin:
		return false, tooOld()
	}
	m.Text, m.DeletedAt, m.Lamport = "", c.At, c.Stamp
	return true, nil
}

func tooOld() *problem.Problem {
	return problem.New(problem.MessageTooOld, "It was said more than 15 minutes ago.")
}

// Edited is how the feed tells of an edit.
func (m *Message) Edited() feed.Entry { return m.entry(feed.MessageEdited, m.EditedAt) }

// Deleted is how the feed tells of a deletion.
func (m *Message) Deleted() feed.Entry { return m.entry(feed.MessageDeleted, m.DeletedAt) }
