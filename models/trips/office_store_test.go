package trips

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/problem"
	"guichet/models/testbed/stores"
)

// What is held, paid and refunded within one round has passed through all of it.
func TestChangesWithinARound(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, map[string]money.Amount{"ADA": 100_000})
		trip := h.offer(alps())
		first, second, third := h.purchase("ADA", trip, "zweite", 2, false), h.purchase("ADA", trip, "zweite", 1, false), h.purchase("ADA", trip, "zweite", 1, false)
		h.must(first, second, third)
		one, two := h.find("ADA", first.id), h.find("ADA", second.id)
		codes, _ := h.round(h.changeOf(KindConfirmation, "ADA", one), h.changeOf(KindCancellation, "ADA", one), h.changeOf(KindConfirmation, "ADA", one),
			h.changeOf(KindCancellation, "ADA", two), h.changeOf(KindCancellation, "ADA", two))
		if fmt.Sprint(codes) != fmt.Sprint([]problem.Code{"", "", problem.PurchaseNotHeld, "", problem.PurchaseEnded}) {
			t.Errorf("%v", codes)
		}
		if one, two := h.find("ADA", first.id), h.find("ADA", second.id); one.Status != Refunded || one.PaidBy.IsZero() || one.RefundedBy.IsZero() || two.Status != Cancelled {
			t.Errorf("%+v %+v", one, two)
		}
		if c := h.get(trip.ID).Classes[0]; c.Held != 1 || c.Sold != 0 {
			t.Errorf("%+v", c)
		}
		if n := h.number("SELECT COUNT(*) FROM held_purchases"); n != 1 {
			t.Errorf("%d are listed as held", n)
		}
	})
}

// What a round loads is enough: it decides as an office does that has everything in memory, always, and what it stores is what that has.
func TestRoundsLikeMemory(t *testing.T) {
	stores.Each(t, func(t *testing.T, db *database.DB) {
		cash := map[string]money.Amount{"ADA": 50_000, "BOB": 9000, "EVE": 0}
		h := newHouse(t, db, cash)
		random := rand.New(rand.NewPCG(5, 9)) //nolint:gosec // a test that can be repeated
		memory := newDesk(t, nil)
		shared := []bank.Account{{Number: House}}
		for number, user := range h.users {
			shared = append(shared, bank.Account{Number: number, UserID: user, Balance: cash[number], Opened: 1, Lamport: 1})
		}
		memory.Office = NewOffice(bank.NewLedger(shared, nil), nil, nil)
		var trips []*Trip
		for range 3 {
			d := alps()
			d.Classes[0].Stock = 30
			trips = append(trips, h.offer(d))
			memory.Offer(h.get(trips[len(trips)-1].ID))
		}
		people := []string{"ADA", "BOB", "EVE"}
		var made []submitted
		for range 30 {
			var commands []submitted
			for range 1 + random.IntN(12) {
				who := people[random.IntN(3)]
				if n := random.IntN(5); n < 2 && len(made) > 0 {
					one := made[random.IntN(len(made))]
					if p := memory.Find(one.id); p != nil {
						commands = append(commands, h.changeOf([]string{KindConfirmation, KindCancellation}[n], []string{p.Account, who}[random.IntN(2)], p))
					}
					continue
				}
				commands = append(commands, h.purchase(who, trips[random.IntN(3)], []string{"zweite", "Erste", "none"}[random.IntN(3)], int64(random.IntN(4)), random.IntN(2) == 0))
			}
			found, err := Due(db.Read(t.Context()), h.now, 5)
			ok(t, err)
			if len(found) > 0 {
				commands = append(commands, h.command("", &Command{Kind: KindExpiry, Expiry: ExpiryCommand{found}}))
			}
			if len(commands) == 0 {
				continue
			}
			codes, last := h.round(commands...)
			for i, c := range commands {
				_, refusal := decide(memory.Office, c, last-lamport.Stamp(len(commands)-1-i), h.now)
				code := problem.Code("")
				if refusal != nil {
					code = refusal.Code
				}
				if code != codes[i] {
					t.Fatalf("%+v: %q, and in memory %q", *c.Command, codes[i], code)
				}
			}
			memory.Forget()
			memory.Ledger.Forget()
			made = append(made, commands...)
			h.now = h.now.Add(time.Duration(random.IntN(200)) * time.Second)
			h.agrees(memory)
		}
	})
}

// agrees wants the store to have what is in memory.
func (h *house) agrees(memory *desk) {
	h.Helper()
	trips, purchases := memory.All()
	var held int64
	for _, want := range trips {
		if got := h.get(want.ID); fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *want) {
			h.Fatalf("stored   %+v\nin memory %+v", *got, *want)
		}
	}
	for _, want := range purchases {
		if got := h.find(want.Account, want.ID); fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *want) {
			h.Fatalf("stored   %+v\nin memory %+v", *got, *want)
		}
		if want.Status == Held {
			held++
		}
	}
	if n := h.number("SELECT COUNT(*) FROM purchases"); n != int64(len(purchases)) {
		h.Errorf("%d purchases are stored, of %d", n, len(purchases))
	}
	if n := h.number("SELECT COUNT(*) FROM held_purchases h JOIN purchases p ON p.id = h.purchase_id AND p.expires_at_us = h.expires_at_us AND p.status = 'held'"); n != held ||
		h.number("SELECT COUNT(*) FROM held_purchases") != held {
		h.Errorf("%d of %d are listed as held", n, held)
	}
	for number := range h.users {
		if got := h.number("SELECT balance FROM accounts WHERE number = ?", number); got != int64(memory.balance(number)) {
			h.Errorf("%s has %d, and in memory %d", number, got, memory.balance(number))
		}
	}
}
