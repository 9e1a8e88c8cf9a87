package events

import (
	"strconv"
	"time"

	"guichet/models/id"
	"guichet/models/ticket"
)

// AppendJSON appends the reservation as the contract shows it. The hall names its seats, the signer makes the codes of its tickets.
func (r *Reservation) AppendJSON(b []byte, hall *Hall, signer *ticket.Signer) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, r.ID.String()...)
	b = append(b, `","event":"`...)
	b = append(b, r.EventID.String()...)
	b = append(b, `","seats":[`...)
	for i, seat := range r.Seats {
		b = appendText(b, i, hall.Name(seat))
	}
	b = append(b, `],"total":`...)
	b = strconv.AppendInt(b, int64(r.Total), 10)
	b = append(b, `,"status":"`...)
	b = append(b, r.Status...)
	b = append(b, `","reserved_at":"`...)
	b = r.ReservedAt.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","expires_at":`...)
	if r.Status == StatusHeld {
		b = append(b, '"')
		b = r.ExpiresAt.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"tickets":[`...)
	if r.Status == StatusPaid {
		for i, seat := range r.Seats {
			b = appendText(b, i, signer.Sign(TicketOf(r.ID, seat)))
		}
	}
	return append(b, `]}`...)
}

// TicketOf is what the code of a seat's ticket says.
func TicketOf(reservation id.ID, seat int) ticket.Code {
	return ticket.Code{Kind: ticket.Event, Owner: reservation, Index: seat}
}

// appendText appends a text that needs no escaping, after a comma unless it is the first.
func appendText(b []byte, i int, text string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// AppendSeatsChanged appends what the feed tells of seats: as they are now, in a version of the map.
func AppendSeatsChanged(b []byte, hall *Hall, epoch string, version int64, seats []SeatState) []byte {
	b = append(b, `{"event":"`...)
	b = append(b, hall.event.String()...)
	b = append(b, `","epoch":"`...)
	b = append(b, epoch...)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, `,"seats":[`...)
	for i := range seats {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"seat":"`...)
		b = append(b, hall.Name(seats[i].Seat)...)
		b = append(b, `","status":"`...)
		b = append(b, seats[i].Status...)
		b = append(b, `"}`...)
	}
	return append(b, `]}`...)
}

// AppendMap appends the seat map as the contract shows it.
func AppendMap(b []byte, hall *Hall, m *Map) []byte {
	b = append(b, `{"event":"`...)
	b = append(b, hall.event.String()...)
	b = append(b, `","epoch":"`...)
	b = append(b, m.Epoch...)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, m.Version, 10)
	b = append(b, `,"sections":[`...)
	for i, view := range hall.View(*m) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":"`...)
		b = append(b, view.Name...) // letters and digits
		b = append(b, `","price":`...)
		b = strconv.AppendInt(b, int64(view.Price), 10)
		b = append(b, `,"available":`...)
		b = strconv.AppendInt(b, int64(view.Available), 10)
		b = append(b, `,"rows":[`...)
		for row, line := range view.Lines {
			b = appendText(b, row, line)
		}
		b = append(b, `]}`...)
	}
	return append(b, `]}`...)
}
