// Package events is concerts and matches with numbered seats. Who gets a seat is decided in Redis, in one step; the database follows, and payments go through
// the events lane.
//
// The life of a reservation:
//
//	held ──(payment)──> paid ──(refund)──> refunded
//	 ├──(released by its owner, or its payment is refused)──> released
//	 └──(its time is up)──> expired
//
// While a payment is under way it has claimed the reservation, which can then neither expire nor be released.
package events

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/problem"
)

// Limits of a hall.
const (
	MaxSections        = 100
	MaxSeats           = 100_000 // the map of a hall is then a text of at most 200 kB
	MaxRows            = 1000    // of a section
	MaxSeatsPerRow     = 1000
	MaxSeatsPerRequest = 100                            // of a reservation
	MaxPrice           = money.Max / MaxSeatsPerRequest // so that every reservation can be paid
)

const maxSectionName = 16

// Section is a part of a hall: rows of equally many seats at one price. Rows and seats are counted from 1, the row in front first.
type Section struct {
	Name        string       `json:"name"` // letters and digits
	Rows        int          `json:"rows"`
	SeatsPerRow int          `json:"seats_per_row"`
	Price       money.Amount `json:"price"` // of a seat
}

// Hall is the seats of one event. It never changes, and is safe for concurrent use.
//
// Seats are numbered through the hall from 0, by section, row and seat. In Redis a seat goes by its place in the map, which has a character for each seat and
// one between rows, so that seats together are a text without a gap.
type Hall struct {
	event    id.ID
	sections []Section
	first    []int // number of each section's first seat, and the number of all seats
	rows     []int // number of rows before each section, and of all rows
	names    map[string]int
	keys     keys
}

// NewHall returns the hall of an event. The error is a *problem.Problem that names what is wrong with the sections, by pointers into the request of which they
// are the member "sections".
func NewHall(event id.ID, sections []Section) (*Hall, error) {
	if fields := checkSections(sections); len(fields) > 0 {
		p := problem.New(problem.Invalid, "There can be no such hall.")
		p.Fields = fields
		return nil, p
	}
	h := &Hall{event: event, sections: append([]Section(nil), sections...), names: make(map[string]int, len(sections)), keys: keysOf(event)}
	seats, rows := 0, 0
	for i := range h.sections {
		h.names[h.sections[i].Name] = i
		h.first, h.rows = append(h.first, seats), append(h.rows, rows)
		seats += h.sections[i].Rows * h.sections[i].SeatsPerRow
		rows += h.sections[i].Rows
	}
	h.first, h.rows = append(h.first, seats), append(h.rows, rows)
	return h, nil
}

func checkSections(sections []Section) (fields []problem.Field) {
	refuse := func(pointer, format string, args ...any) {
		fields = append(fields, problem.Field{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if len(sections) < 1 || len(sections) > MaxSections {
		refuse("/sections", "must be 1 to %d sections", MaxSections)
		return fields
	}
	names, seats := make(map[string]bool, len(sections)), 0
	for i, s := range sections {
		pointer := "/sections/" + strconv.Itoa(i)
		if !validSectionName(s.Name) {
			refuse(pointer+"/name", "must be 1 to %d letters and digits", maxSectionName)
		} else if names[s.Name] {
			refuse(pointer+"/name", "is another section's too")
		}
		names[s.Name] = true
		if s.Rows < 1 || s.Rows > MaxRows {
			refuse(pointer+"/rows", "must be 1 to %d", MaxRows)
		}
		if s.SeatsPerRow < 1 || s.SeatsPerRow > MaxSeatsPerRow {
			refuse(pointer+"/seats_per_row", "must be 1 to %d", MaxSeatsPerRow)
		}
		if s.Price < 0 || s.Price > MaxPrice {
			refuse(pointer+"/price", "must be 0 to %d", MaxPrice)
		}
		seats += min(max(s.Rows, 0), MaxRows) * min(max(s.SeatsPerRow, 0), MaxSeatsPerRow) // within the limits nothing overflows
	}
	if seats > MaxSeats {
		refuse("/sections", "must have at most %d seats in all", MaxSeats)
	}
	return fields
}

func validSectionName(name string) bool {
	return name != "" && len(name) <= maxSectionName && strings.IndexFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// Event is whose hall it is.
func (h *Hall) Event() id.ID { return h.event }

// Sections are the sections, best first. The slice is not to be changed.
func (h *Hall) Sections() []Section { return h.sections }

// Size is how many seats there are.
func (h *Hall) Size() int { return h.first[len(h.sections)] }

// Seat is the number of the seat with a name such as "A-1-7". There is one way to write each.
func (h *Hall) Seat(name string) (seat int, known bool) {
	section, rest, _ := strings.Cut(name, "-")
	row, place, _ := strings.Cut(rest, "-")
	i, known := h.names[section]
	if !known {
		return 0, false
	}
	r, rowKnown := ordinal(row, h.sections[i].Rows)
	p, placeKnown := ordinal(place, h.sections[i].SeatsPerRow)
	if !rowKnown || !placeKnown {
		return 0, false
	}
	return h.first[i] + (r-1)*h.sections[i].SeatsPerRow + p - 1, true
}

// ordinal reads a number from 1 to limit, in plain digits without zeros before them.
func ordinal(text string, limit int) (n int, valid bool) {
	if text == "" || text[0] == '0' || len(text) > 4 {
		return 0, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, n <= limit
}

// Seats are the numbers of named seats. The error is problem.UnknownSeat, which says which, by pointers into the request of which they are the member "seats".
func (h *Hall) Seats(names []string) ([]int, error) {
	seats, unknown := make([]int, len(names)), problem.New(problem.UnknownSeat, "There are no such seats in this hall.")
	for i, name := range names {
		seat, known := h.Seat(name)
		if !known {
			unknown.Fields = append(unknown.Fields, problem.Field{Pointer: "/seats/" + strconv.Itoa(i), Message: "is not a seat of this hall"})
		}
		seats[i] = seat
	}
	if len(unknown.Fields) > 0 {
		return nil, unknown
	}
	return seats, nil
}

// Name is the name of a seat, 0 to Size()-1.
func (h *Hall) Name(seat int) string {
	i := h.section(seat)
	width := h.sections[i].SeatsPerRow
	offset := seat - h.first[i]
	b := make([]byte, 0, maxSectionName+10)
	b = append(append(b, h.sections[i].Name...), '-')
	b = append(strconv.AppendInt(b, int64(offset/width+1), 10), '-')
	return string(strconv.AppendInt(b, int64(offset%width+1), 10))
}

// Names are the names of seats.
func (h *Hall) Names(seats []int) []string {
	names := make([]string, len(seats))
	for i, seat := range seats {
		names[i] = h.Name(seat)
	}
	return names
}

// Price is the price of a seat.
func (h *Hall) Price(seat int) money.Amount { return h.sections[h.section(seat)].Price }

// Total is the price of seats together, or money.ErrOverflow.
func (h *Hall) Total(seats []int) (total money.Amount, err error) {
	for _, seat := range seats {
		if total, err = total.Add(h.Price(seat)); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// section is the index of the section that a seat is in.
func (h *Hall) section(seat int) int { return sort.SearchInts(h.first, seat+1) - 1 }

// place is where a seat stands in the map.
func (h *Hall) place(seat int) int {
	i := h.section(seat)
	return seat + h.rows[i] + (seat-h.first[i])/h.sections[i].SeatsPerRow
}

// start is where a section begins in the map.
func (h *Hall) start(section int) int { return h.first[section] + h.rows[section] }

// seat is the number of the seat that stands at a place in the map, if one does.
func (h *Hall) seat(place int) (seat int, valid bool) {
	if place < 0 || place >= h.length() {
		return 0, false
	}
	i := sort.Search(len(h.sections), func(i int) bool { return h.start(i) > place }) - 1
	width, offset := h.sections[i].SeatsPerRow, place-h.start(i)
	if offset%(width+1) == width {
		return 0, false // between rows
	}
	return h.first[i] + offset - offset/(width+1), true
}

// length of the map: a character for each seat, and one between rows.
func (h *Hall) length() int { return h.Size() + h.rows[len(h.sections)] - 1 }

// What the characters of a map say.
const (
	charFree = '.'
	charHeld = 'h'
	charSold = 's'
	charGap  = '|' // between rows
)

// empty is the map of the hall while all seats are free.
func (h *Hall) empty() []byte {
	b := make([]byte, 0, h.length()+1)
	for _, s := range h.sections {
		row := strings.Repeat(string(rune(charFree)), s.SeatsPerRow) + string(rune(charGap))
		for range s.Rows {
			b = append(b, row...)
		}
	}
	return b[:len(b)-1]
}

// SectionView is a section as a map shows it.
type SectionView struct {
	Section
	Available int      // seats that are free
	Lines     []string // a text a row, a character a seat: "." free, "h" held, "s" sold
}

// View reads the text of a map of this hall.
func (h *Hall) View(m Map) []SectionView {
	views := make([]SectionView, len(h.sections))
	for i, s := range h.sections {
		text := m.Text[h.start(i) : h.start(i+1)-1]
		views[i] = SectionView{Section: s, Available: strings.Count(text, string(rune(charFree))), Lines: strings.Split(text, string(rune(charGap)))}
	}
	return views
}
