package messages

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"guichet/models/chat"
)

// The form of the contract is written by hand, because it is written for every message by every process that tells of it.

// AppendJSON appends the message as the contract shows it.
func (m *Message) AppendJSON(b []byte) []byte {
	b = m.ID().AppendJSON(append(b, `{"id":`...))
	b = append(b, `,"room":"`...)
	b = append(b, chat.RoomText(m.Room)...)
	b = strconv.AppendInt(append(b, `","sequence":`...), m.Sequence, 10)
	b = appendText(append(b, `,"user":`...), m.Username)
	b = appendText(append(b, `,"text":`...), m.Text)
	b = appendTime(append(b, `,"at":`...), m.At)
	b = appendTime(append(b, `,"edited_at":`...), m.EditedAt)
	b = appendTime(append(b, `,"deleted_at":`...), m.DeletedAt)
	return append(b, '}')
}

// appendText writes a text, most of which need no escaping. What is not ASCII goes as it is.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			return appendEscaped(b, text)
		}
	}
	if !utf8.ValidString(text) {
		return appendEscaped(b, text)
	}
	return append(append(append(b, '"'), text...), '"')
}

func appendEscaped(b []byte, text string) []byte {
	escaped, err := json.Marshal(text)
	if err != nil { // strings always marshal
		panic(err)
	}
	return append(b, escaped...)
}

// appendTime writes a time to the microsecond, which is what is stored; the zero time is null.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
	return append(b, '"')
}
