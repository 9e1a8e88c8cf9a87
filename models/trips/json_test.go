package trips

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/id"
	"guichet/models/money"
	"guichet/models/ticket"
)

// shown is a purchase as the contract has it.
type shown struct {
	ID        string     `json:"id"`
	Trip      string     `json:"trip"`
	Class     string     `json:"class"`
	Quantity  int64      `json:"quantity"`
	Price     int64      `json:"price"`
	Total     int64      `json:"total"`
	Status    string     `json:"status"`
	ExpiresAt *time.Time `json:"expires_at"`
	Refunded  int64      `json:"refunded"`
	Tickets   []string   `json:"tickets"`
	CreatedAt time.Time  `json:"created_at"`
}

func show(p *Purchase) shown {
	s := shown{ID: p.ID.String(), Trip: p.TripID.String(), Class: p.Class, Quantity: p.Quantity, Price: int64(p.Price), Total: p.Quantity * int64(p.Price), Status: string(p.Status),
		Refunded: int64(p.Refunded), Tickets: []string{}, CreatedAt: p.CreatedAt.UTC()}
	if p.Status == Held {
		expires := p.ExpiresAt.UTC()
		s.ExpiresAt = &expires
	}
	if p.Status == Paid {
		for n := range int(p.Quantity) {
			s.Tickets = append(s.Tickets, signer.Sign(ticket.Code{Kind: ticket.Trip, Owner: p.ID, Index: n}))
		}
	}
	return s
}

// The form that is written by hand is what encoding/json makes of it, but for what need not be escaped.
func TestPurchaseJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := Purchase{
			ID: ids.Next(), TripID: ids.Next(), Class: rapid.String().Draw(rt, "class"), Quantity: rapid.Int64Range(1, MaxQuantity).Draw(rt, "quantity"),
			Price: money.Amount(rapid.Int64Range(0, int64(MaxPrice)).Draw(rt, "price")), Status: rapid.SampledFrom([]Status{Held, Paid, Cancelled, Expired, Refunded}).Draw(rt, "status"),
			ExpiresAt: time.UnixMicro(rapid.Int64Range(1, 1<<55).Draw(rt, "expires")), CreatedAt: time.UnixMicro(rapid.Int64Range(1, 1<<55).Draw(rt, "created")),
			Refunded: money.Amount(rapid.Int64Range(0, int64(money.Max)).Draw(rt, "refunded")),
		}
		want, err := json.Marshal(show(&p))
		if err != nil {
			rt.Fatal(err)
		}
		written := p.AppendJSON(nil, signer)
		var read shown
		if err := json.Unmarshal(written, &read); err != nil {
			rt.Fatalf("%s: %v", written, err)
		}
		if got, err := json.Marshal(read); err != nil || !bytes.Equal(got, want) {
			rt.Errorf("%s\nwant %s", written, want)
		}
	})
}

func TestExpiredJSON(t *testing.T) {
	t.Parallel()
	purchases := []*Purchase{{ID: ids.Next()}, {ID: ids.Next()}}
	for n := range 3 {
		all := make([]id.ID, 0, 2)
		for _, p := range purchases[:n] {
			all = append(all, p.ID)
		}
		want, err := json.Marshal(map[string]any{"expired": all})
		ok(t, err)
		if got := AppendExpired(nil, purchases[:n]); !bytes.Equal(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
