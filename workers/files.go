package workers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// filesCounter decides which stored contents become files of rooms, and which files go.
type filesCounter struct {
	storage files.Storage
}

func newFilesCounter(w *Workers) counter { return &filesCounter{w.Files} }

type filesRound struct {
	*filesCounter
	*files.Cabinet
	commands map[id.ID]filesCommand
}

// filesCommand is a command as it was read.
type filesCommand struct {
	*files.Command
	err error // why it cannot be read
}

func (f *filesCounter) load(tx database.Tx, commands []operation.Command) (round, error) {
	r := &filesRound{filesCounter: f, commands: make(map[id.ID]filesCommand, len(commands))}
	readable, users := make([]*files.Command, 0, len(commands)), make([]id.ID, 0, len(commands))
	for i := range commands {
		read, err := files.DecodeCommand(commands[i].Kind, commands[i].Payload)
		r.commands[commands[i].ID] = filesCommand{read, err}
		if err == nil {
			readable, users = append(readable, read), append(users, commands[i].UserID)
		}
	}
	var err error
	r.Cabinet, err = files.Load(tx, readable, users)
	return r, err
}

func (*filesCounter) forget() {} // it keeps nothing

func (r *filesRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *filesRound) decide(c *operation.Command, stamp lamport.Stamp, at time.Time) decision {
	read := r.commands[c.ID]
	if read.err != nil {
		panic(fmt.Errorf("a payload that did not come through the contract: %w", read.err))
	}
	cause := files.Cause{OperationID: c.ID, UserID: c.UserID, Stamp: stamp, At: at}
	file, refusal := r.apply(cause, read.Command)
	if refusal != nil {
		return decision{refusal: refusal}
	}
	told := feed.Entry{Topic: chat.Topic(file.Room), Event: feed.FileUploaded, At: at, Lamport: stamp}
	shown := file.AppendJSON(nil)
	if told.Data = shown; read.Kind == files.KindDeletion {
		told.Event, told.Data = feed.FileDeleted, file.AppendDeleted(nil)
	}
	return decision{result: shown, entries: []feed.Entry{told}}
}

func (r *filesRound) apply(cause files.Cause, c *files.Command) (*files.File, *problem.Problem) {
	if c.Kind == files.KindDeletion {
		return r.Delete(cause, c)
	}
	return r.Upload(cause, c)
}

func (r *filesRound) prepare(database.Tx) error { return nil }

func (r *filesRound) store(tx database.Tx) ([]feed.Entry, error) { return nil, r.Save(tx) }

// settle removes the contents that are no file's now. What is left, because the process dies before that, is swept later.
func (r *filesRound) settle(ctx context.Context) {
	for _, content := range r.Useless() {
		if err := r.storage.Remove(ctx, content); err != nil {
			slog.WarnContext(ctx, "a content that nobody needs is left for later", "content", content, "error", err)
		}
	}
}
