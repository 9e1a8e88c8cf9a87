package trips

import (
	"encoding/json"
	"strconv"
	"time"

	"guichet/models/ticket"
)

// Signer makes the codes of tickets.
type Signer interface {
	Sign(code ticket.Code) string
}

// The form of the contract is written by hand, because it is written for every operation, by the worker, and passed on as it is.

// AppendJSON appends the purchase as the contract shows it. Its tickets have codes while it is paid.
func (p *Purchase) AppendJSON(b []byte, signer Signer) []byte {
	b = p.ID.AppendJSON(append(b, `{"id":`...))
	b = p.TripID.AppendJSON(append(b, `,"trip":`...))
	b = appendText(append(b, `,"class":`...), p.Class)
	b = strconv.AppendInt(append(b, `,"quantity":`...), p.Quantity, 10)
	b = strconv.AppendInt(append(b, `,"price":`...), int64(p.Price), 10)
	b = strconv.AppendInt(append(b, `,"total":`...), int64(p.Total()), 10)
	b = append(append(append(b, `,"status":"`...), p.Status...), `","expires_at":`...)
	if p.Status == Held {
		b = appendTime(b, p.ExpiresAt)
	} else {
		b = append(b, "null"...)
	}
	b = strconv.AppendInt(append(b, `,"refunded":`...), int64(p.Refunded), 10)
	b = append(b, `,"tickets":[`...)
	if p.Status == Paid {
		for n := range int(p.Quantity) {
			if n > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, signer.Sign(ticket.Code{Kind: ticket.Trip, Owner: p.ID, Index: n})...)
			b = append(b, '"')
		}
	}
	b = appendTime(append(b, `],"created_at":`...), p.CreatedAt)
	return append(b, '}')
}

// AppendExpired appends the result of an expiry: which purchases it has ended.
func AppendExpired(b []byte, expired []*Purchase) []byte {
	b = append(b, `{"expired":[`...)
	for i, p := range expired {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.ID.AppendJSON(b)
	}
	return append(b, `]}`...)
}

// appendText writes a text, most of which need no escaping.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			escaped, err := json.Marshal(text)
			if err != nil { // strings always marshal
				panic(err)
			}
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// appendTime writes a time to the microsecond, which is what is stored.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
	return append(b, '"')
}
