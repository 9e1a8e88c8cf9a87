package audit

import (
	"slices"
	"strings"
	"testing"

	"guichet/models/events"
	"guichet/models/id"
)

func TestEventsHold(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		h.playEvening()
		want := []string{
			"succeeded", "succeeded", "succeeded", "insufficient_funds", "succeeded", "succeeded", "succeeded", "reservation_not_held", "succeeded",
			"succeeded",
			"reservation_not_held", "reservation_expired", "reservation_expired", "unknown_reservation", "ticket_used", "succeeded", "event_started", "reservation_ended", "unknown_reservation", "reservation_ended",
			"insufficient_funds", "succeeded",
			"balance_limit",
			"succeeded", "succeeded",
		}
		if codes := h.codes(events.Lane); !slices.Equal(codes, want) {
			t.Errorf("the lane decided\n%v, not\n%v", codes, want)
		}
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		expectChecked(t, report.Checks, map[string]int64{"entries_sum_to_zero": 27, "balances_equal_postings": 54, "held_equals_holds": 7, "one_outcome_each": 42, "lane_sequences_dense": 42,
			"fifo": 37, "parked_agree": 1, "lamport": 69, "seats_sold_once": 13, "tickets_equal_reservations": 15, "payments_equal_entries": 11, "replay": 42})
	})
}

// TestEventsFindings falsifies the tables of events, one lie at a time, and expects just those checks to report it that can see it, and to name what it is about.
func TestEventsFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		s := h.playEvening()
		for _, l := range slices.Concat(liesOfSeats(s), liesOfTickets(s), liesOfTheBox(s), liesOfThePast(s)) {
			checks := l.tell(t, h)
			if got := failing(checks); !slices.Equal(got, strings.Fields(l.seenBy)) {
				t.Errorf("%s: seen by %v, not by [%s]%s", l.name, got, l.seenBy, findings(checks))
			}
			for _, c := range checks {
				if slices.Contains(checksOfEvents, c.Name) && !c.Holds() && !l.isNamed(c.Findings) {
					t.Errorf("%s: %s does not name what it is about: %v", l.name, c.Name, c.Findings)
				}
			}
		}
	})
}

var checksOfEvents = []string{"seats_sold_once", "tickets_equal_reservations", "payments_equal_entries", "replay"}

// lieAbout is a lie of which each finding list is to name one of the things that it is about.
type lieAbout struct {
	lie
	about []id.ID
}

func lieOf(about id.ID, name, seenBy string, statements ...statementOf) lieAbout {
	return lieAbout{lie{name, seenBy, statements}, []id.ID{about}}
}

// orOf names another thing that the lie is about.
func (l lieAbout) orOf(about id.ID) lieAbout {
	l.about = append(l.about, about)
	return l
}

func (l lieAbout) isNamed(findings []string) bool {
	text := strings.Join(findings, "\n")
	return slices.ContainsFunc(l.about, func(about id.ID) bool { return strings.Contains(text, about.String()) })
}

func liesOfSeats(s evening) []lieAbout {
	const seats, both = "seats_sold_once replay", "seats_sold_once tickets_equal_reservations replay"
	stranger := id.NewGenerator().Next()
	return []lieAbout{
		lieOf(s.paid, "a seat is not sold", seats, tell("DELETE FROM sold_seats WHERE reservation_id = ? AND seat = 3", s.paid)),
		lieOf(s.paid, "a seat is sold to another", seats, tell("UPDATE sold_seats SET reservation_id = ? WHERE reservation_id = ? AND seat = 3", s.used, s.paid)),
		lieOf(s.both, "a seat is sold that was refunded", seats, tell("INSERT INTO sold_seats (event_id, seat, reservation_id) VALUES (?, 4, ?)", s.opera, s.both)),
		lieOf(s.held, "a seat is sold that is held", seats, tell("INSERT INTO sold_seats (event_id, seat, reservation_id) VALUES (?, 16, ?)", s.opera, s.held)),
		lieOf(s.matinee, "a seat is sold at another event", seats, tell("UPDATE sold_seats SET event_id = ? WHERE reservation_id = ? AND seat = 3", s.matinee, s.paid)),
		lieOf(s.paid, "a seat is sold twice", both, tell("UPDATE reservations SET seats = '2,3' WHERE id = ?", s.held), tell("UPDATE reservations SET status = 'paid' WHERE id = ?", s.held)).orOf(s.held),
		lieOf(s.again, "a seat is of two reservations that are paid", "seats_sold_once tickets_equal_reservations payments_equal_entries replay", tell("UPDATE reservations SET status = 'paid', refunded_by = NULL WHERE id = ?", s.refunded)).orOf(s.refunded),
		lieOf(s.paid, "a reservation has a seat more than once", both, tell("UPDATE reservations SET seats = '2,2' WHERE id = ?", s.paid)),
		lieOf(s.paid, "a reservation is of other seats", both, tell("UPDATE reservations SET seats = '2,9' WHERE id = ?", s.paid)),
		lieOf(s.held, "a reservation is of a seat that there is not", "seats_sold_once", tell("UPDATE reservations SET seats = '16,9999' WHERE id = ?", s.held)),
		lieOf(s.held, "seats cannot be read", "seats_sold_once", tell("UPDATE reservations SET seats = '16;17' WHERE id = ?", s.held)),
		lieOf(s.held, "what is held costs more", "seats_sold_once", tell("UPDATE reservations SET total = total + 1 WHERE id = ?", s.held)),
		lieOf(s.held, "a reservation is of no event", "seats_sold_once", tell("UPDATE reservations SET event_id = ? WHERE id = ?", stranger, s.held)),
		lieOf(s.paid, "what was paid is held", both, tell("UPDATE reservations SET status = 'held' WHERE id = ?", s.paid)),
		lieOf(s.paid, "what was paid is released", both, tell("UPDATE reservations SET status = 'released', paid_by = NULL WHERE id = ?", s.free), tell("UPDATE reservations SET status = 'released' WHERE id = ?", s.paid)),
		lieOf(s.paid, "what was paid is refunded", both, tell("UPDATE reservations SET status = 'refunded' WHERE id = ?", s.paid)),
		lieOf(s.refunded, "what was refunded is paid", both, tell("UPDATE reservations SET status = 'paid' WHERE id = ?", s.refunded)),
		lieOf(s.held, "what is held is paid", both, tell("UPDATE reservations SET status = 'paid' WHERE id = ?", s.held)),
		lieOf(s.expired, "what has expired is in no known state", seats, tell("UPDATE reservations SET status = 'lost' WHERE id = ?", s.expired)),
		lieOf(s.free, "what is paid is gone", both, tell("DELETE FROM reservations WHERE id = ?", s.free)),
		lieOf(s.opera, "a seat costs more now", "seats_sold_once", tell(`UPDATE events SET sections = REPLACE(sections, '"price":1000', '"price":1001') WHERE id = ?`, s.opera)).orOf(s.paid),
		lieOf(s.opera, "a hall cannot be read", "seats_sold_once", tell("UPDATE events SET sections = '[{' WHERE id = ?", s.opera)),
		lieOf(s.opera, "there can be no such hall", "seats_sold_once", tell("UPDATE events SET sections = '[]' WHERE id = ?", s.opera)),
	}
}

func liesOfTickets(s evening) []lieAbout {
	const tickets = "tickets_equal_reservations replay"
	const copied = "INSERT INTO tickets (reservation_id, seat, event_id, user_id, status, used_at_us, lamport) SELECT reservation_id, ?, event_id, user_id, status, used_at_us, lamport FROM tickets WHERE reservation_id = ? AND seat = ?"
	return []lieAbout{
		lieOf(s.paid, "a ticket is gone", tickets, tell("DELETE FROM tickets WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.paid, "a ticket for a seat that nobody paid", tickets, tell(copied, 9, s.paid, 2)),
		lieOf(s.held, "a ticket for what is held", tickets, tell("UPDATE tickets SET reservation_id = ? WHERE reservation_id = ? AND seat = 2", s.held, s.paid)),
		lieOf(s.paid, "a ticket is for another seat", tickets, tell("UPDATE tickets SET seat = 9 WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.paid, "a ticket is void", tickets, tell("UPDATE tickets SET status = 'refunded' WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.refunded, "a void ticket is valid", tickets, tell("UPDATE tickets SET status = 'valid' WHERE reservation_id = ?", s.refunded)),
		lieOf(s.refunded, "a void ticket was used", tickets, tell("UPDATE tickets SET status = 'used', used_at_us = 5 WHERE reservation_id = ?", s.refunded)),
		lieOf(s.paid, "a ticket is in no known state", tickets, tell("UPDATE tickets SET status = 'lost' WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.paid, "a ticket was used, and nobody knows when", tickets, tell("UPDATE tickets SET status = 'used' WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.paid, "a valid ticket was used", "tickets_equal_reservations", tell("UPDATE tickets SET used_at_us = 5 WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.paid, "a ticket is another user's", "tickets_equal_reservations", tell("UPDATE tickets SET user_id = ? WHERE reservation_id = ? AND seat = 2", s.opera, s.paid)),
		lieOf(s.paid, "a ticket is for another event", "tickets_equal_reservations", tell("UPDATE tickets SET event_id = ? WHERE reservation_id = ? AND seat = 2", s.matinee, s.paid)),
		lieOf(s.paid, "a ticket's stamp is behind", "replay", tell("UPDATE tickets SET lamport = lamport - 1 WHERE reservation_id = ? AND seat = 2", s.paid)),
		lieOf(s.full, "somebody came with a ticket that was not issued yet", "replay", tell("UPDATE tickets SET lamport = 1 WHERE reservation_id = ? AND seat = 14", s.full)),
		lieOf(s.notFor, "somebody came after the refund that was refused because they had", "replay", tell("UPDATE tickets SET lamport = 99999999 WHERE reservation_id = ?", s.used)),
		lieOf(s.notFor, "nobody came, and a refund was refused because somebody had", "replay", tell("UPDATE tickets SET status = 'valid', used_at_us = 0 WHERE reservation_id = ?", s.used)),
	}
}

func liesOfTheBox(s evening) []lieAbout {
	const till, both = "payments_equal_entries replay", "seats_sold_once payments_equal_entries replay"
	return []lieAbout{
		lieOf(s.held, "what is held has been paid by somebody", both, tell("UPDATE reservations SET paid_by = ? WHERE id = ?", s.refusing, s.held)),
		lieOf(s.expired, "what has expired has been refunded by somebody", both, tell("UPDATE reservations SET refunded_by = ? WHERE id = ?", s.refusing, s.expired)),
		lieOf(s.paid, "nobody has paid", both, tell("UPDATE reservations SET paid_by = NULL WHERE id = ?", s.paid)),
		lieOf(s.free, "nobody has paid what costs nothing", "seats_sold_once replay", tell("UPDATE reservations SET paid_by = NULL WHERE id = ?", s.free)),
		lieOf(s.paid, "another operation has paid", till, tell("UPDATE reservations SET paid_by = ? WHERE id = ?", s.refusing, s.paid)),
		lieOf(s.free, "another operation has paid what costs nothing", "replay", tell("UPDATE reservations SET paid_by = ? WHERE id = ?", s.refusing, s.free)),
		lieOf(s.refunded, "nobody has refunded", both, tell("UPDATE reservations SET refunded_by = NULL WHERE id = ?", s.refunded)),
		lieOf(s.refunded, "another operation has refunded", till, tell("UPDATE reservations SET refunded_by = ? WHERE id = ?", s.refusing, s.refunded)),
		lieOf(s.paying, "what is paid cost more", both, tell("UPDATE reservations SET total = total + 1 WHERE id = ?", s.paid)).orOf(s.paid),
		lieOf(s.paying, "another account has paid", till, tell("UPDATE reservations SET account = 'ADA1' WHERE id = ?", s.paid)),
		lieOf(s.paid, "a reservation's stamp is behind", "replay", tell("UPDATE reservations SET lamport = lamport - 1 WHERE id = ?", s.paid)),
		lieOf(s.paying, "a payment has no entry", "entries_sum_to_zero payments_equal_entries replay", tell("DELETE FROM entries WHERE operation_id = ?", s.paying)),
		lieOf(s.paying, "a payment is of another reservation", till, tell("UPDATE entries SET reference = ? WHERE operation_id = ?", s.held.String(), s.paying)),
		lieOf(s.refunding, "a refund says that it is a payment", till, tell("UPDATE entries SET kind = 'purchase' WHERE operation_id = ?", s.refunding)),
		lieOf(s.refunding, "a refund was taken from elsewhere", "entries_sum_to_zero balances_equal_postings payments_equal_entries replay", tell("DELETE FROM postings WHERE operation_id = ? AND account = 'events'", s.refunding)),
	}
}

// liesOfThePast are about operations, and what only their replay can see.
func liesOfThePast(s evening) []lieAbout {
	refuse := func(operation id.ID, code string) statementOf {
		return tell("UPDATE outcomes SET status = 'rejected', problem = ? WHERE operation_id = ?", code+"\nno", operation)
	}
	return []lieAbout{
		lieOf(s.refusing, "a refusal is a success", "replay", tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", s.refusing)),
		lieOf(s.late, "what Redis had let go of was paid", "replay", tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", s.late)),
		lieOf(s.refusing, "a refusal has another reason", "replay", refuse(s.refusing, "event_started")),
		lieOf(s.notFor, "a refund was refused because it was not paid", "replay", refuse(s.notFor, "reservation_ended")),
		lieOf(s.paid, "a payment was refused because Redis had let go", "replay", refuse(s.paying, "reservation_expired")),
		lieOf(s.refunding, "a refund was refused because there was no such reservation", "replay", refuse(s.refunding, "unknown_reservation")),
		lieOf(s.refunding, "a refund cannot be read", "replay", tell("UPDATE operations SET payload = '{}' WHERE id = ?", s.refunding)),
		lieOf(s.refunded, "a refund was of another reservation", "replay", tell("UPDATE operations SET payload = REPLACE(payload, ?, ?) WHERE id = ?", s.refunded.String(), s.paid.String(), s.refunding)),
		lieOf(s.paying, "an event started before it was paid for", "replay", tell("UPDATE events SET starts_at_us = 5 WHERE id = ?", s.opera)),
		lieOf(s.opera, "an event is gone", "seats_sold_once replay", tell("DELETE FROM events WHERE id = ?", s.opera)),
		lieOf(s.failed, "an operation that paid has failed", "parked_agree replay", tell("UPDATE outcomes SET status = 'failed' WHERE operation_id = ?", s.failed)),
	}
}
