package files

import (
	"fmt"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// Cause is the operation on whose behalf something is done, and whose it is.
type Cause struct {
	OperationID id.ID
	UserID      id.ID
	Stamp       lamport.Stamp
	At          time.Time
}

// place is what at most one file has: a name in a room.
type place struct {
	room id.ID
	key  string
}

// Cabinet is the files that a round of commands concerns, how much their owners have, and what the round has made of them. Its verbs change all or nothing.
type Cabinet struct {
	files map[place]*File
	usage map[id.ID]*Usage

	// What is to be stored.
	made    map[place]*File
	removed map[place]*File // that were there before the round
	used    map[id.ID]*Usage

	useless []id.ID // contents that nobody needs when the round is stored
}

// NewCabinet returns a cabinet of the given files. Who is not in the list of usage has none.
func NewCabinet(files []File, usage []Usage) *Cabinet {
	c := &Cabinet{files: make(map[place]*File, len(files)), usage: make(map[id.ID]*Usage, len(usage))}
	for i := range files {
		c.files[place{files[i].Room, files[i].Key}] = &files[i]
	}
	for i := range usage {
		c.usage[usage[i].UserID] = &usage[i]
	}
	c.Forget()
	return c
}

// All are the files, by their ids, and the usage of all who ever had a file, as they are now. They are the cabinet's own.
func (c *Cabinet) All() (map[id.ID]*File, map[id.ID]*Usage) {
	files := make(map[id.ID]*File, len(c.files))
	for _, f := range c.files {
		files[f.ID] = f
	}
	return files, c.usage
}

// Forget drops what is to be stored: for who replays a journal, and has nothing to store.
func (c *Cabinet) Forget() {
	c.made, c.removed, c.used, c.useless = map[place]*File{}, map[place]*File{}, map[id.ID]*Usage{}, nil
}

// LastStamp is the largest stamp of what was loaded: whatever is decided now comes after it.
func (c *Cabinet) LastStamp() lamport.Stamp {
	var last lamport.Stamp
	for _, f := range c.files {
		last = max(last, f.Lamport)
	}
	for _, u := range c.usage {
		last = max(last, u.Lamport)
	}
	return last
}

// Useless names the contents that nobody needs any more when the round is stored: of what was refused, and of what was deleted.
func (c *Cabinet) Useless() []id.ID { return c.useless }

// Upload makes a content that is stored a file. It refuses, in this order, and then changes nothing: file_exists, quota_exceeded.
func (c *Cabinet) Upload(by Cause, command *Command) (*File, *problem.Problem) {
	u, where := &command.Upload, command.place()
	if refusal := c.refuse(by, u, where); refusal != nil {
		c.useless = append(c.useless, u.Content)
		return nil, refusal
	}
	made := &File{ID: by.OperationID, Room: u.Room, Name: u.Name, Key: where.key, Content: u.Content, Size: u.Size, ContentType: u.ContentType, SHA256: u.SHA256, UserID: by.UserID,
		Username: u.Username, At: by.At, Lamport: by.Stamp}
	c.files[where], c.made[where] = made, made
	c.use(by, by.UserID, u.Size)
	return made, nil
}

func (c *Cabinet) refuse(by Cause, u *UploadCommand, where place) *problem.Problem {
	if there := c.files[where]; there != nil {
		return Exists(there.Name)
	}
	var used int64
	if usage := c.usage[by.UserID]; usage != nil {
		used = usage.Bytes
	}
	if u.Size > u.Quota-used {
		return OverQuota(used, u.Quota)
	}
	return nil
}

// Exists is the refusal of a file where there is one with that name.
func Exists(name string) *problem.Problem {
	return problem.Newf(problem.FileExists, "the room has a file %q", name)
}

// OverQuota is the refusal of a file for which there is no room left.
func OverQuota(used, quota int64) *problem.Problem {
	return problem.Newf(problem.QuotaExceeded, "your files have %d of the %d bytes that they may have", used, quota)
}

// Delete takes a file out of its room. It refuses, in this order, and then changes nothing: unknown_file, not_your_file.
func (c *Cabinet) Delete(by Cause, command *Command) (*File, *problem.Problem) {
	d, where := &command.Deletion, command.place()
	gone := c.files[where]
	switch {
	case gone == nil || gone.ID != d.File:
		return nil, problem.New(problem.UnknownFile, "there is no such file")
	case gone.UserID != by.UserID && !d.Admin:
		return nil, NotYours()
	}
	delete(c.files, where)
	if c.made[where] == gone {
		delete(c.made, where)
	} else {
		c.removed[where] = gone
	}
	c.useless = append(c.useless, gone.Content)
	c.use(by, gone.UserID, -gone.Size)
	return gone, nil
}

// NotYours is the refusal to delete the file of somebody else.
func NotYours() *problem.Problem {
	return problem.New(problem.NotYourFile, "somebody else has uploaded it")
}

// use notes that a user has more, or fewer, bytes.
func (c *Cabinet) use(by Cause, user id.ID, bytes int64) {
	usage := c.usage[user]
	if usage == nil {
		usage = &Usage{UserID: user}
		c.usage[user] = usage
	}
	if usage.Bytes += bytes; usage.Bytes < 0 {
		panic(fmt.Sprintf("files: user %s has %d bytes", user, usage.Bytes))
	}
	usage.Lamport = max(usage.Lamport, by.Stamp)
	c.used[user] = usage
}
