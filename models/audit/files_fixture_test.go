package audit

import (
	"guichet/models/bank"
	"guichet/models/chat"
	"guichet/models/database"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
	"guichet/models/problem"
)

// cabinetRound is an envelope of files, as workers/files.go executes it.
type cabinetRound struct {
	*files.Cabinet
	commands map[id.ID]*files.Command
}

func loadCabinet(tx database.Tx, commands []operation.Command) (round, error) {
	r := &cabinetRound{commands: map[id.ID]*files.Command{}}
	var read []*files.Command
	var users []id.ID
	for i := range commands {
		c, err := files.DecodeCommand(commands[i].Kind, commands[i].Payload)
		if err != nil {
			return nil, err
		}
		r.commands[commands[i].ID] = c
		read, users = append(read, c), append(users, commands[i].UserID)
	}
	var err error
	r.Cabinet, err = files.Load(tx, read, users)
	return r, err
}

func (r *cabinetRound) lastStamp() lamport.Stamp { return r.LastStamp() }

func (r *cabinetRound) decide(c *operation.Command, cause bank.Cause) (refusal *problem.Problem) {
	read, by := r.commands[c.ID], files.Cause{OperationID: c.ID, UserID: c.UserID, Stamp: cause.Stamp, At: cause.At}
	if read.Kind == files.KindUpload {
		_, refusal = r.Upload(by, read)
	} else {
		_, refusal = r.Delete(by, read)
	}
	return refusal
}

func (r *cabinetRound) save(tx database.Tx) error { return r.Save(tx) }

// upload brings a file to the lobby. Everybody may have 100 bytes.
func (p *process) upload(user, name string, size int64) command {
	return command{files.KindUpload, files.UploadCommand{Room: chat.Lobby, Name: name, Content: p.ids.Next(), Size: size, ContentType: "text/plain; charset=utf-8", SHA256: files.Digest{byte(size)},
		Username: user, Quota: 100}, user}
}

// deletion is of the file that an operation of an owner has uploaded.
func (p *process) deletion(user, owner, name string, file id.ID, admin bool) command {
	return command{files.KindDeletion, files.DeletionCommand{Room: chat.Lobby, Name: name, File: file, Uploader: p.userOf(owner), Admin: admin}, user}
}

// archive is a past of the files in which everything happened that may happen, named for the tests that falsify it.
type archive struct {
	notes, full, hers             id.ID // files: 60 and 40 bytes of Ada's, 7 of Eve's
	refused, deleting, uploadedIn id.ID // operations
}

// file lets processes, whose clocks have nothing to do with each other, make an archive.
func (h *house) file() archive {
	h.Helper()
	door, otherDoor, worker, standby := h.process(1000), h.process(7), h.process(2), h.process(500_000)
	var a archive
	e := door.accept(files.Lane, door.upload("ada", "Notes.txt", 60), door.upload("eve", "NOTES.TXT", 1), door.upload("ada", "over", 41), door.upload("ada", "gone", 40), door.upload("eve", "Straße", 0))
	worker.execute(e)
	a.notes, a.refused, a.uploadedIn = e.Commands[0].ID, e.Commands[1].ID, e.Commands[3].ID
	gone := e.Commands[3].ID
	e = otherDoor.accept(files.Lane, door.deletion("eve", "ada", "gone", gone, false), door.deletion("eve", "ada", "gone", gone, true), door.deletion("ada", "ada", "gone", gone, false),
		door.upload("ada", "GONE", 40), door.upload("ada", "one more", 1), door.deletion("eve", "ada", "gone", gone, true))
	standby.execute(e)
	a.deleting, a.full = e.Commands[1].ID, e.Commands[3].ID
	e = door.accept(files.Lane, door.upload("eve", "hers", 7), door.upload("eve", "never", 9))
	worker.execute(e, 1)
	a.hers = e.Commands[0].ID
	brief := door.accept(files.Lane, door.upload("bob", "brief", 5))
	worker.execute(brief)
	standby.execute(door.accept(files.Lane, door.deletion("bob", "bob", "brief", brief.Commands[0].ID, false)))
	return a
}
