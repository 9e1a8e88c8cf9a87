package trips

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/operation"
)

// ErrUnknownTrip says that no trip has the id.
var ErrUnknownTrip = errors.New("trips: no such trip")

// Insert offers a trip that no ticket of was sold, and sets its stamps. It waits for what the lane is executing, so that the stamp comes after every refusal of the
// trip as unknown, which had no row to leave a stamp on. No other lane knows trips.
func Insert(tx database.Tx, clock *lamport.Clock, trip id.ID, d *Definition, at time.Time) (*Trip, error) {
	lane, err := operation.LockLane(tx, Lane)
	if err != nil {
		return nil, err
	}
	t := NewTrip(trip, d, clock.Receive(lane.Lamport))
	rows := database.Rows{Table: "trips", Columns: []string{"id", "name", "departs_at_us", "closed", "refund_bps", "refund_minutes", "lamport", "created_lamport"}}
	rows.Add(t.ID[:], t.Name, t.DepartsAt.UnixMicro(), t.Closed, t.RefundBps, t.RefundMinutes, int64(t.Lamport), int64(t.Created))
	if err := rows.Insert(tx); err != nil {
		return nil, err
	}
	return t, saveDefinition(tx, t, at)
}

// Update changes a trip, and returns it as it is then: ErrUnknownTrip, or the *problem.Problem that Changed refuses with. It waits for what the lane is executing:
// whatever that decided has a smaller stamp than the change, and whatever it decides from now on a greater one.
func Update(tx database.Tx, clock *lamport.Clock, trip id.ID, c *Change, at time.Time) (*Trip, error) {
	lane, err := operation.LockLane(tx, Lane)
	if err != nil {
		return nil, err
	}
	t, err := Get(tx, trip)
	if err != nil {
		return nil, err
	}
	d, refusal := t.Changed(c)
	if refusal != nil {
		return nil, refusal
	}
	if d.equal(t.Definition()) {
		return t, nil
	}
	t.Define(d, clock.Receive(max(lane.Lamport, t.LastStamp())))
	if _, err := tx.Exec("UPDATE trips SET name = ?, departs_at_us = ?, closed = ?, refund_bps = ?, refund_minutes = ?, lamport = ? WHERE id = ?",
		t.Name, t.DepartsAt.UnixMicro(), t.Closed, t.RefundBps, t.RefundMinutes, int64(t.Lamport), t.ID[:]); err != nil {
		return nil, err
	}
	return t, saveDefinition(tx, t, at)
}

// saveDefinition stores the classes that the trip's last change has made or changed, and the change itself, which a replay of the journal follows.
func saveDefinition(tx database.Tx, t *Trip, at time.Time) error {
	classes := classRows()
	for i := range t.Classes {
		if c := &t.Classes[i]; c.Lamport == t.Lamport {
			addClass(&classes, t.ID, c)
		}
	}
	if err := classes.Upsert(tx, classKey, []string{"price", "stock", "lamport"}); err != nil {
		return err
	}
	definition, err := json.Marshal(t.Definition())
	if err != nil {
		return err
	}
	changes := database.Rows{Table: "trip_changes", Columns: []string{"trip_id", "lamport", "definition", "at_us"}}
	changes.Add(t.ID[:], int64(t.Lamport), string(definition), operation.Micro(at))
	return changes.Insert(tx)
}

var classKey = []string{"trip_id", "name"}

func classRows() database.Rows {
	return database.Rows{Table: "trip_classes", Columns: []string{"trip_id", "name", "ordinal", "price", "stock", "sold", "held", "lamport"}}
}

func addClass(rows *database.Rows, trip id.ID, c *Class) {
	rows.Add(trip[:], c.Name, c.Ordinal, int64(c.Price), c.Stock, c.Sold, c.Held, int64(c.Lamport))
}

// TripKey is the place of a trip among the others.
type TripKey struct {
	DepartsAt time.Time
	ID        id.ID
}

// TripFilter says which trips are asked for.
type TripFilter struct {
	Status TripStatus // empty for any
	Now    time.Time  // what the state depends on
	After  *TripKey   // trips that follow this one
	Limit  int
}

// List reads trips, by departure.
func List(tx database.Tx, f TripFilter) ([]*Trip, error) {
	where, args := "1 = 1", []any(nil)
	and := func(condition string, values ...any) { where, args = where+" AND "+condition, append(args, values...) }
	switch f.Status {
	case Departed:
		and("departs_at_us <= ?", f.Now.UnixMicro())
	case Open, Closed:
		and("departs_at_us > ? AND closed = ?", f.Now.UnixMicro(), f.Status == Closed)
	}
	if f.After != nil {
		us := f.After.DepartsAt.UnixMicro()
		and("(departs_at_us, id) > (?, ?) AND departs_at_us >= ?", us, f.After.ID[:], us) // the last is what MySQL uses the index for
	}
	var trips []*Trip
	err := queryTrips(tx, &trips, "(SELECT * FROM trips WHERE "+where+" ORDER BY departs_at_us, id LIMIT ?)", "", append(args, f.Limit)...)
	return trips, err
}

// Get reads one trip, or ErrUnknownTrip.
func Get(tx database.Tx, trip id.ID) (*Trip, error) {
	var trips []*Trip
	if err := queryTrips(tx, &trips, "trips", " WHERE t.id = ?", trip[:]); err != nil {
		return nil, err
	}
	if len(trips) == 0 {
		return nil, ErrUnknownTrip
	}
	return trips[0], nil
}

// queryTrips reads trips with their classes, in one query, so that they are of one moment.
func queryTrips(tx database.Tx, into *[]*Trip, from, where string, args ...any) error {
	return tx.Query(func(rows *sql.Rows) error {
		var last *Trip
		for rows.Next() {
			var t Trip
			var c Class
			var departs int64
			if err := rows.Scan(&t.ID, &t.Name, &departs, &t.Closed, &t.RefundBps, &t.RefundMinutes, &t.Lamport, &t.Created,
				&c.Name, &c.Ordinal, &c.Price, &c.Stock, &c.Sold, &c.Held, &c.Lamport); err != nil {
				return err
			}
			if last == nil || last.ID != t.ID {
				t.DepartsAt = time.UnixMicro(departs).UTC()
				last = &t
				*into = append(*into, last)
			}
			last.Classes = append(last.Classes, c)
		}
		return rows.Err()
	}, `SELECT t.id, t.name, t.departs_at_us, t.closed, t.refund_bps, t.refund_minutes, t.lamport, t.created_lamport,
		c.name, c.ordinal, c.price, c.stock, c.sold, c.held, c.lamport
		FROM `+from+` t JOIN trip_classes c ON c.trip_id = t.id`+where+` ORDER BY t.departs_at_us, t.id, c.ordinal`, args...)
}
