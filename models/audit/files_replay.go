package audit

import (
	"maps"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/operation"
	"guichet/models/problem"
)

// filesReplayer replays uploads and deletions, and answers for the tables of files.
type filesReplayer struct {
	cabinet *files.Cabinet
}

func newFilesReplayer(database.Tx, *bank.Ledger) (replayer, error) {
	return &filesReplayer{files.NewCabinet(nil, nil)}, nil
}

func (x *filesReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	c, err := files.DecodeCommand(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	defer x.cabinet.Forget()
	by := files.Cause{OperationID: cause.OperationID, UserID: command.UserID, Stamp: cause.Stamp, At: cause.At}
	var refusal *problem.Problem
	switch c.Kind {
	case files.KindUpload:
		_, refusal = x.cabinet.Upload(by, c)
	case files.KindDeletion:
		_, refusal = x.cabinet.Delete(by, c)
	}
	return refusal
}

// compare reports where the tables of files are not as the replay has left things.
func (x *filesReplayer) compare(tx database.Tx, c *Check) error {
	replayed, usage := x.cabinet.All()
	for f, err := range fileRows(tx) {
		if err != nil {
			return err
		}
		again := replayed[f.ID]
		switch {
		case again == nil:
			c.find("file %s is recorded, and not replayed", f.ID)
		case f.File != *again:
			c.find("file %s is %+v; replayed, %+v", f.ID, f.File, *again)
		}
		delete(replayed, f.ID)
	}
	for _, file := range id.Keys(replayed) {
		c.find("file %s was replayed, and is not recorded", file)
	}
	unrecorded := maps.Clone(usage)
	for u, err := range usageRows(tx) {
		if err != nil {
			return err
		}
		if again := usage[u.UserID]; again == nil || *u != *again {
			c.find("user %s has %+v; replayed, %+v", u.UserID, *u, again)
		}
		delete(unrecorded, u.UserID)
	}
	for _, user := range id.Keys(unrecorded) {
		c.find("how much user %s has is not recorded; replayed, %+v", user, *unrecorded[user])
	}
	return nil
}
