package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/ticket"
)

// concert is an event of two rows of three seats in section A and one row of two in section B.
func (m *market) concert() id.ID {
	event := m.IDs.Next()
	m.insert("events", map[string]any{"id": event[:], "name": "Concert", "starts_at_us": time.Now().Add(time.Hour).UnixMicro(), "max_per_user": 10, "lamport": 1,
		"sections": `[{"name":"A","rows":2,"seats_per_row":3,"price":5000},{"name":"B","rows":1,"seats_per_row":2,"price":3000}]`})
	return event
}

// issue gives somebody tickets, as a payment would, and returns their codes.
func (m *market) issue(who trader, event id.ID, stamp lamport.Stamp, seats ...int) (reservation id.ID, codes []string) {
	reservation = m.IDs.Next()
	for _, seat := range seats {
		m.insert("tickets", map[string]any{"reservation_id": reservation[:], "seat": seat, "event_id": event[:], "user_id": who.user[:], "status": "valid", "lamport": int64(stamp)})
		codes = append(codes, m.code(ticket.Event, reservation, seat))
	}
	return reservation, codes
}

func (m *market) code(kind ticket.Kind, owner id.ID, index int) string {
	return m.Tickets.Sign(ticket.Code{Kind: kind, Owner: owner, Index: index})
}

func TestListingTickets(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		if none := m.expect(m.by(m.ada, "GET", "/v1/tickets", ""), 200, ""); !strings.Contains(none.Body.String(), `"items":[]`) || none.json["next_cursor"] != nil {
			t.Errorf("nobody has tickets yet: %s", none.Body)
		}
		concert, match := m.concert(), m.concert()
		first, firstCodes := m.issue(m.ada, concert, 4000, 0, 5)
		_, gracesCodes := m.issue(m.grace, concert, 6000, 1)
		_, secondCodes := m.issue(m.ada, match, 5000, 7, 2, 6)
		for limit := 1; limit <= 6; limit++ {
			if seats := m.pages(m.ada, "/v1/tickets", limit, "seat", 5000); seats != "B-1-2 B-1-1 A-1-3 A-2-3 A-1-1" {
				t.Errorf("%d at a time: %s", limit, seats)
			}
			if codes, want := m.pages(m.ada, "/v1/tickets?event="+concert.String(), limit, "code", 4000), firstCodes[1]+" "+firstCodes[0]; codes != want {
				t.Errorf("of the concert, %d at a time: %s, want %s", limit, codes, want)
			}
		}
		if codes, want := m.pages(m.ada, "/v1/tickets", 200, "code", 5000), strings.Join([]string{secondCodes[0], secondCodes[2], secondCodes[1], firstCodes[1], firstCodes[0]}, " "); codes != want {
			t.Errorf("codes: %s\nwant %s", codes, want)
		}
		if codes := m.pages(m.grace, "/v1/tickets", 1, "code", 6000); codes != gracesCodes[0] {
			t.Errorf("Grace has %s", codes)
		}
		for _, of := range []string{m.IDs.Next().String(), id.ID{}.String(), "x", "%20"} {
			if rest := m.pages(m.ada, "/v1/tickets?event="+of, 1, "code", 0); rest != "" {
				t.Errorf("of event %s: %s", of, rest)
			}
		}
		shown := m.expect(m.by(m.ada, "GET", "/v1/tickets?limit=1&event="+concert.String(), ""), 200, "").json["items"].([]any)[0].(map[string]any)
		want := map[string]any{"code": firstCodes[1], "event": concert.String(), "seat": "A-2-3", "status": "valid", "reservation": first.String(), "used_at": nil, "used_where": nil}
		if fmt.Sprint(shown) != fmt.Sprint(want) {
			t.Errorf("shown %v\nwant %v", shown, want)
		}
		for _, cursor := range []string{"x", "eA", *encodeCursor(first.String()), *encodeCursor(first.String() + ".-1"), *encodeCursor(first.String() + ".1.1"), *encodeCursor("1.1")} {
			m.expect(m.by(m.ada, "GET", "/v1/tickets?cursor="+cursor, ""), 400, "malformed")
		}
		m.expect(m.ask("GET", "/v1/tickets", ""), 401, "unauthorized")
	})
}

func TestTicketPictures(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		_, codes := m.issue(m.ada, m.concert(), 4000, 3)
		purchase, other := m.IDs.Next(), m.IDs.Next()
		m.insert("purchases", map[string]any{"id": purchase[:], "user_id": m.ada.user[:], "account": m.ada.account, "trip_id": other[:], "class": "second", "quantity": 2, "price": 100,
			"status": "paid", "expires_at_us": 1, "created_at_us": 1, "lamport": 1})
		trip := m.code(ticket.Trip, purchase, 1)
		for _, code := range []string{codes[0], trip} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/tickets/"+code+".png", nil)
			r.Header.Set("Authorization", m.ada.token)
			w := httptest.NewRecorder()
			m.ServeHTTP(w, r)
			want, err := ticket.Picture(code)
			must(t, err)
			if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), want) {
				t.Errorf("%d, %d bytes, want the picture of %d", w.Code, w.Body.Len(), len(want))
			}
			if _, err := png.Decode(w.Body); err != nil {
				t.Error(err)
			}
			for name, value := range map[string]string{"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Cache-Control": "private", "Content-Length": fmt.Sprint(len(want))} {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
			if stamp, err := lamport.Parse(w.Header().Get("Lamport-Time")); err != nil || code == codes[0] && stamp <= 4000 {
				t.Errorf("sent at %d (%v)", stamp, err)
			}
			m.expect(m.by(m.grace, "GET", "/v1/tickets/"+code+".png", ""), 404, "unknown_ticket")
			m.expect(m.ask("GET", "/v1/tickets/"+code+".png", ""), 401, "unauthorized")
			for _, path := range []string{code, code + ".jpg", code + ".PNG", code + ".pngx", code + ".png/", ".png", code + "%2epng"} { // not of the contract, whoever asks
				m.expect(m.by(m.ada, "GET", "/v1/tickets/"+path, ""), 404, "not_found")
			}
			m.expect(m.by(m.ada, "POST", "/v1/tickets/"+code+".png", ""), 405, "method_not_allowed")
			m.expect(m.by(m.ada, "GET", "/v1/tickets/"+strings.ToLower(code)+".png", ""), 422, "invalid")
			m.expect(m.by(m.ada, "GET", "/v1/tickets/"+code+".png.png", ""), 422, "invalid")
			m.expect(m.by(m.ada, "GET", "/v1/tickets/"+code[:50]+map[bool]string{true: "1", false: "0"}[code[50] == '0']+code[51:]+".png", ""), 404, "unknown_ticket")
			m.expect(m.by(m.ada, "GET", "/v1/tickets/"+strings.Replace(code, code[:1], "%"+fmt.Sprintf("%X", code[0]), 1)+".pn", ""), 404, "not_found")
		}
		// The door may see what it lets in; a trip has none.
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/tickets/"+codes[0]+".png", nil)
		r.Header.Set("Authorization", m.admin.token)
		w := httptest.NewRecorder()
		if m.ServeHTTP(w, r); w.Code != 200 {
			t.Errorf("the admin gets %d", w.Code)
		}
		m.expect(m.by(m.admin, "GET", "/v1/tickets/"+trip+".png", ""), 404, "unknown_ticket")
		for _, never := range []string{m.code(ticket.Event, other, 3), m.code(ticket.Trip, other, 0), m.code(ticket.Kind(9), purchase, 0)} { // signed, and never issued
			m.expect(m.by(m.admin, "GET", "/v1/tickets/"+never+".png", ""), 404, "unknown_ticket")
		}
	})
}

func TestCheckIn(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		concert := m.concert()
		reservation, codes := m.issue(m.ada, concert, 4000, 0, 3, 6, 7)
		path := func(n int) string { return "/v1/tickets/" + codes[n] + "/check-in" }
		m.expect(m.by(m.ada, "POST", path(0), ""), 403, "forbidden")
		m.expect(m.ask("POST", path(0), ""), 401, "unauthorized")
		for body, pointer := range map[string]string{`{"gate":""}`: "/gate", `{"gate":" North"}`: "/gate", `{"gate":"North "}`: "/gate", `{"gate":"a\tb"}`: "/gate", `{"gate":"a\u200bb"}`: "/gate", `{"gate":"a\u2800"}`: "/gate", `{"gate":"\u0301a"}`: "/gate", `{"gate":"\u00a0N"}`: "/gate",
			`{"gate":"` + strings.Repeat("x", 81) + `"}`: "/gate", `{"gates":"x"}`: ""} {
			refused := m.expect(m.by(m.admin, "POST", path(0), body), 422, "invalid").json["errors"].([]any)[0].(map[string]any)
			if pointer != "" && refused["pointer"] != pointer {
				t.Errorf("%s: %v", body, refused)
			}
		}
		m.expect(m.by(m.admin, "POST", path(0), `{"gate":`), 400, "malformed")
		m.expect(m.by(m.admin, "POST", path(0), `{}`, "Content-Type", "text/plain"), 415, "unsupported_media_type")

		began := time.Now().UTC().Truncate(time.Microsecond)
		gate := strings.Repeat("É", 80)
		for n, c := range []struct{ body, want string }{{`{"gate":"Cafe\u0301 2"}`, "Café 2"}, {"", "<nil>"}, {"{}", "<nil>"}, {`{"gate":"` + gate + `"}`, gate}} {
			headers := []string{}
			if c.body == "" {
				headers = []string{"Content-Type", ""}
			}
			used := m.expect(m.by(m.admin, "POST", path(n), c.body, headers...), 200, codes[n]) // which is a member of the same name as a problem's
			at, err := time.Parse(time.RFC3339, used.json["used_at"].(string))
			if err != nil || at.Before(began) || at.After(time.Now()) || used.json["status"] != "used" || fmt.Sprint(used.json["used_where"]) != c.want ||
				used.json["code"] != codes[n] || used.json["event"] != concert.String() || used.json["reservation"] != reservation.String() {
				t.Errorf("%s: %s (%v)", c.body, used.Body, err)
			}
			kept, err := events.GetTicket(m.DB.Read(t.Context()), reservation, []int{0, 3, 6, 7}[n])
			must(t, err)
			if sent, err := lamport.Parse(used.Header().Get("Lamport-Time")); err != nil || kept.Lamport <= 4000 || sent <= kept.Lamport || !kept.UsedAt.Equal(at) || kept.Status != events.TicketUsed {
				t.Errorf("kept %+v, sent at %d", kept, sent)
			}
			again := m.expect(m.by(m.admin, "POST", path(n), `{"gate":"South"}`), 409, "ticket_used")
			detail := again.json["detail"].(string)
			if !strings.Contains(detail, at.Format(time.RFC3339)) || strings.Contains(detail, c.want) != (c.want != "<nil>") || strings.Contains(detail, "South") {
				t.Errorf("used at %v at %s: %s", at, c.want, detail)
			}
			if after, err := events.GetTicket(m.DB.Read(t.Context()), reservation, kept.Seat); err != nil || after != kept {
				t.Errorf("was %+v, is %+v (%v)", kept, after, err)
			}
		}
		if seats := m.pages(m.ada, "/v1/tickets", 10, "status", 4000); seats != "used used used used" {
			t.Errorf("Ada sees %s", seats)
		}

		refunded, void := m.issue(m.ada, concert, 4000, 1)
		must(t, m.refund(refunded, 9000))
		m.expect(m.by(m.admin, "POST", "/v1/tickets/"+void[0]+"/check-in", ""), 409, "ticket_refunded")
		m.expect(m.by(m.admin, "POST", "/v1/tickets/"+m.code(ticket.Event, reservation, 1)+"/check-in", ""), 404, "unknown_ticket") // a seat of somebody else's
		m.expect(m.by(m.admin, "POST", "/v1/tickets/"+m.code(ticket.Trip, reservation, 0)+"/check-in", ""), 404, "unknown_ticket")
		m.expect(m.by(m.admin, "POST", "/v1/tickets/01K5PW8S40E0080007SGS9V4KHB00000G0R40M30E209/check-in", ""), 404, "unknown_ticket")
		m.expect(m.by(m.admin, "POST", "/v1/tickets/x/check-in", ""), 422, "invalid")
		m.expect(m.by(m.admin, "GET", path(0), ""), 405, "method_not_allowed")
	})
}

var errUsed = errors.New("a ticket is used")

// refund makes the tickets of a reservation void, as the events lane does: it locks their rows, and goes on if none was used.
func (m *market) refund(reservation id.ID, stamp lamport.Stamp) error {
	return m.DB.Write(m.t.Context(), func(tx database.Tx) error {
		var statuses []string
		if err := tx.Gorm().Raw("SELECT status FROM tickets WHERE reservation_id = ?"+tx.ForUpdate(), reservation[:]).Scan(&statuses).Error; err != nil {
			return err
		}
		if slices.Contains(statuses, "used") {
			return errUsed
		}
		_, err := tx.Exec("UPDATE tickets SET status = 'refunded', lamport = ? WHERE reservation_id = ?", int64(stamp), reservation[:])
		return err
	})
}

// Of all who come with copies of a ticket at once, and of a refund at that moment, one is served.
func TestCheckInOnce(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		concert := m.concert()
		outcomes := map[string]int{}
		for round := range 10 {
			reservation, codes := m.issue(m.ada, concert, 4000, 2, 4)
			var admitted, refunds atomic.Int64
			var ready, group sync.WaitGroup
			const guests = 8
			ready.Add(guests + 1)
			for guest := range guests {
				group.Go(func() {
					ready.Done()
					ready.Wait()
					got := m.by(m.admin, "POST", "/v1/tickets/"+codes[0]+"/check-in", fmt.Sprintf(`{"gate":"%d"}`, guest))
					if got.Code == 200 {
						admitted.Add(1)
					} else if got.Code != 409 {
						t.Errorf("%d %s", got.Code, got.Body)
					}
				})
			}
			group.Go(func() {
				ready.Done()
				ready.Wait()
				if round%2 == 0 {
					return
				}
				switch err := m.refund(reservation, 9000); {
				case err == nil:
					refunds.Add(1)
				case !errors.Is(err, errUsed):
					t.Error(err)
				}
			})
			group.Wait()
			if admitted.Load()+refunds.Load() != 1 {
				t.Fatalf("%d were let in, %d refunds", admitted.Load(), refunds.Load())
			}
			kept, err := events.GetTicket(m.DB.Read(t.Context()), reservation, 2)
			must(t, err)
			outcomes[string(kept.Status)]++
			if kept.Lamport <= 4000 || refunds.Load() == 1 && kept.Status != events.TicketRefunded {
				t.Errorf("kept %+v", kept)
			}
		}
		t.Logf("%v", outcomes)
	})
}
