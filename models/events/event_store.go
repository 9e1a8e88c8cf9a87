package events

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/operation"
)

// ErrUnknownEvent says that no event has the id.
var ErrUnknownEvent = errors.New("events: no such event")

const selectEvent = "SELECT id, name, starts_at_us, sections, max_per_user, waiting_rate, waiting_window_seconds, lamport FROM events "

// InsertEvent announces an event.
func InsertEvent(tx database.Tx, e *Event) error {
	sections, err := json.Marshal(e.Sections)
	if err != nil {
		return err
	}
	rows := database.Rows{Table: "events", Columns: []string{"id", "name", "starts_at_us", "sections", "max_per_user", "waiting_rate", "waiting_window_seconds", "lamport"}}
	rows.Add(e.ID[:], e.Name, operation.Micro(e.StartsAt), string(sections), e.MaxPerUser, e.Waiting.Rate, int(e.Waiting.Window/time.Second), int64(e.Lamport))
	return rows.Insert(tx)
}

// SetWaitingRoom opens or closes the waiting room of an event, and returns the event as it is then, or ErrUnknownEvent.
func SetWaitingRoom(tx database.Tx, event id.ID, room WaitingRoom) (Event, error) {
	e, err := oneEvent(tx, event, tx.ForUpdate())
	if err != nil {
		return e, err
	}
	e.Waiting = room
	_, err = tx.Exec("UPDATE events SET waiting_rate = ?, waiting_window_seconds = ? WHERE id = ?", room.Rate, int(room.Window/time.Second), event[:])
	return e, err
}

// GetEvent reads one event, or ErrUnknownEvent.
func GetEvent(tx database.Tx, event id.ID) (Event, error) { return oneEvent(tx, event, "") }

func oneEvent(tx database.Tx, event id.ID, lock string) (Event, error) {
	var events []Event
	if err := queryEvents(tx, &events, "WHERE id = ?"+lock, event[:]); err != nil {
		return Event{}, err
	}
	if len(events) == 0 {
		return Event{}, ErrUnknownEvent
	}
	return events[0], nil
}

// Events reads the events that come after the given one, by when they start and then by id; zero for the first.
func Events(tx database.Tx, afterStart time.Time, after id.ID, limit int) (events []Event, err error) {
	if after.IsZero() {
		err = queryEvents(tx, &events, "ORDER BY starts_at_us, id LIMIT ?", limit)
		return events, err
	}
	start := operation.Micro(afterStart)
	err = queryEvents(tx, &events, "WHERE starts_at_us >= ? AND (starts_at_us > ? OR id > ?) ORDER BY starts_at_us, id LIMIT ?", start, start, after[:], limit)
	return events, err
}

// OpenEvents reads the ids of the events that start after the given time.
func OpenEvents(tx database.Tx, since time.Time) (open []id.ID, err error) {
	err = tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var event id.ID
			if err := rows.Scan(&event); err != nil {
				return err
			}
			open = append(open, event)
		}
		return rows.Err()
	}, "SELECT id FROM events WHERE starts_at_us > ? ORDER BY starts_at_us, id", operation.Micro(since))
	return open, err
}

func queryEvents(tx database.Tx, into *[]Event, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var e Event
			var startsAt, window int64
			var sections string
			if err := rows.Scan(&e.ID, &e.Name, &startsAt, &sections, &e.MaxPerUser, &e.Waiting.Rate, &window, &e.Lamport); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(sections), &e.Sections); err != nil {
				return fmt.Errorf("events: the sections of %s: %w", e.ID, err)
			}
			e.StartsAt, e.Waiting.Window = operation.FromMicro(startsAt), time.Duration(window)*time.Second
			*into = append(*into, e)
		}
		return rows.Err()
	}, selectEvent+where, args...)
}
