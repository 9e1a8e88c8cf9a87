package feed

import (
	"strconv"
	"strings"
)

// Place is where a reader is: of its topics it has been told all entries of the table up to a position, and all of the log ahead of it up to an offset.
// A hub goes from place to place with each entry that it delivers, in one order; so its readers have the same places, and each entry is written once for all.
type Place struct {
	Position int64
	Offset   int64 // 0 while nothing of the log was ever told
}

// ParsePlace reads the id of an entry. Ids that are not of this feed are refused.
func ParsePlace(s string) (Place, bool) {
	position, offset, both := strings.Cut(strings.TrimSpace(s), "-")
	place := Place{}
	var err error
	if place.Position, err = strconv.ParseInt(position, 10, 64); err != nil || place.Position < 0 {
		return Place{}, false
	}
	if !both {
		return place, true
	}
	place.Offset, err = strconv.ParseInt(offset, 10, 64)
	return place, err == nil && place.Offset >= 0
}

// Append writes the place as an id.
func (p Place) Append(b []byte) []byte {
	b = strconv.AppendInt(b, p.Position, 10)
	if p.Offset > 0 {
		b = strconv.AppendInt(append(b, '-'), p.Offset, 10)
	}
	return b
}

func (p Place) String() string { return string(p.Append(nil)) }

// Within says whether who is at p has been told nothing beyond q.
func (p Place) Within(q Place) bool { return p.Position <= q.Position && p.Offset <= q.Offset }

// Max is the place of who has been told both what p and what q say.
func (p Place) Max(q Place) Place {
	return Place{Position: max(p.Position, q.Position), Offset: max(p.Offset, q.Offset)}
}
