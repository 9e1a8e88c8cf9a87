package files

import (
	"encoding/json"
	"errors"
	"fmt"

	"guichet/models/id"
)

// Kinds of the commands.
const (
	KindUpload   = "file_upload"
	KindDeletion = "file_deletion"
)

// MaxBytes is the most, in bytes, that a limit or a quota can be: what JSON's numbers can say exactly.
const MaxBytes = 1 << 53

// UploadCommand is the payload of an upload whose content is stored.
type UploadCommand struct {
	Room        id.ID  `json:"room"`
	Name        string `json:"name"`
	Content     id.ID  `json:"content"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	SHA256      Digest `json:"sha256"`
	Username    string `json:"username"`
	Quota       int64  `json:"quota"` // bytes that the user may have, with this file
}

// DeletionCommand is the payload of a deletion. It names the file as it was when it was asked for: another that has its name by then is left alone.
type DeletionCommand struct {
	Room     id.ID  `json:"room"`
	Name     string `json:"name"`
	File     id.ID  `json:"file"`
	Uploader id.ID  `json:"uploader"`
	Admin    bool   `json:"admin,omitempty"` // whoever asks may delete the files of others
}

// Command is any of the commands, read: the one that Kind names is set.
type Command struct {
	Kind     string
	Upload   UploadCommand
	Deletion DeletionCommand
	key      string // of the name
}

// DecodeCommand reads the payload of a command. What cannot have come through the contract is an error.
func DecodeCommand(kind string, payload []byte) (*Command, error) {
	c := Command{Kind: kind}
	var into any
	switch kind {
	case KindUpload:
		into = &c.Upload
	case KindDeletion:
		into = &c.Deletion
	default:
		return &c, fmt.Errorf("files: no command is called %q", kind)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return &c, err
	}
	return &c, c.check()
}

var errPayload = errors.New("files: a payload that says nothing, or what cannot be")

func (c *Command) check() error {
	room, given := c.Upload.Room, c.Upload.Name
	if c.Kind == KindDeletion {
		room, given = c.Deletion.Room, c.Deletion.Name
	}
	name, key, err := Name(given)
	if err != nil {
		return fmt.Errorf("files: a file that %w", err)
	}
	c.key = key
	if name != given || room.IsZero() || !c.complete() {
		return errPayload
	}
	return nil
}

// complete says whether a command has what the contract and its handler give every command of its kind.
func (c *Command) complete() bool {
	if c.Kind == KindDeletion {
		return !c.Deletion.File.IsZero() && !c.Deletion.Uploader.IsZero()
	}
	u := &c.Upload
	return !u.Content.IsZero() && u.Username != "" && u.ContentType != "" && u.Size >= 0 && u.Size <= MaxBytes && u.Quota >= 0 && u.Quota <= MaxBytes
}

// place is where the file is that the command is about.
func (c *Command) place() place {
	if c.Kind == KindUpload {
		return place{c.Upload.Room, c.key}
	}
	return place{c.Deletion.Room, c.key}
}
