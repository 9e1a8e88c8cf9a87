package files

import (
	"encoding/json"
	"time"

	"guichet/models/chat"
)

// shown is a file as the contract shows it.
type shown struct {
	Name        string    `json:"name"`
	Room        string    `json:"room"`
	Size        int64     `json:"size"`
	ContentType string    `json:"content_type"`
	SHA256      Digest    `json:"sha256"`
	UploadedBy  string    `json:"uploaded_by"`
	At          time.Time `json:"at"`
}

// AppendJSON appends the file as the contract shows it.
func (f *File) AppendJSON(b []byte) []byte {
	return appendJSON(b, shown{f.Name, chat.RoomText(f.Room), f.Size, f.ContentType, f.SHA256, f.Username, f.At})
}

// AppendDeleted appends what the feed tells of a file that was deleted.
func (f *File) AppendDeleted(b []byte) []byte {
	return appendJSON(b, struct {
		Room string `json:"room"`
		Name string `json:"name"`
	}{chat.RoomText(f.Room), f.Name})
}

func appendJSON(b []byte, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil { // it is made of texts, numbers, and a time of these years
		panic(err)
	}
	return append(b, text...)
}
