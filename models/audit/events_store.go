package audit

import (
	"iter"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/events"
	"guichet/models/id"
	"guichet/models/lamport"
)

// reservationRow is a reservation as its row has it.
type reservationRow struct {
	events.Reservation
	seats string // not read yet: Reservation has none
}

// reservationRows yields all reservations that the database has heard of, by their ids. One that was made a moment ago it may not have heard of.
func reservationRows(tx database.Tx) iter.Seq2[*reservationRow, error] {
	return query(tx, "SELECT id, event_id, user_id, account, seats, total, status, paid_by, refunded_by, lamport FROM reservations ORDER BY id", func(r *reservationRow) []any {
		return []any{&r.ID, &r.EventID, &r.UserID, &r.Account, &r.seats, &r.Total, &r.Status, &r.PaidBy, &r.RefundedBy, &r.Lamport}
	})
}

// eventRows yields the events.
func eventRows(tx database.Tx) iter.Seq2[*eventRow, error] {
	return query(tx, "SELECT id, starts_at_us, sections, lamport FROM events", func(e *eventRow) []any {
		return []any{&e.id, &e.startsUs, &e.sections, &e.stamp}
	})
}

type eventRow struct {
	id       id.ID
	startsUs int64
	sections string
	stamp    lamport.Stamp
}

type ticketRow struct {
	reservation, event, user id.ID
	seat                     int
	status                   events.TicketStatus
	usedUs                   int64
	stamp                    lamport.Stamp
}

// ticketRows yields the tickets of each reservation by their seats.
func ticketRows(tx database.Tx) iter.Seq2[*ticketRow, error] {
	return query(tx, "SELECT reservation_id, event_id, user_id, seat, status, used_at_us, lamport FROM tickets ORDER BY reservation_id, seat", func(t *ticketRow) []any {
		return []any{&t.reservation, &t.event, &t.user, &t.seat, &t.status, &t.usedUs, &t.stamp}
	})
}

type soldRow struct {
	event, reservation id.ID
	seat               int
}

// soldRows yields the seats that are sold, in the order of their key.
func soldRows(tx database.Tx) iter.Seq2[*soldRow, error] {
	return query(tx, "SELECT event_id, seat, reservation_id FROM sold_seats ORDER BY event_id, seat", func(s *soldRow) []any {
		return []any{&s.event, &s.seat, &s.reservation}
	})
}

// eventTillRows yields, for each operation, the payments and refunds that reservations name it for, followed by its postings on the house's account.
func eventTillRows(tx database.Tx) iter.Seq2[*tillRow, error] {
	return query(tx, `SELECT paid_by AS operation_id, 0 AS entered, '`+bank.KindPurchase+`' AS kind, account, 1 AS quantity, total AS price, id AS purchase, NULL AS reference FROM reservations WHERE paid_by IS NOT NULL
		UNION ALL SELECT refunded_by, 0, '`+bank.KindRefund+`', account, -1, total, id, NULL FROM reservations WHERE refunded_by IS NOT NULL
		UNION ALL SELECT p.operation_id, 1, COALESCE(e.kind, ''), p.counterparty, 1, p.amount, NULL, e.reference
			FROM postings p LEFT JOIN entries e ON e.operation_id = p.operation_id AND e.part = p.part WHERE p.account = '`+events.HouseAccount+`'
		ORDER BY operation_id, entered`, func(r *tillRow) []any {
		return []any{&r.operation, &r.entered, &r.kind, &r.account, &r.quantity, &r.price, &r.purchase, &r.reference}
	})
}
