package operation

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
)

// ErrUnknownLane says that no lane has the name.
var ErrUnknownLane = errors.New("operation: no such lane")

// LaneState is the row of a lane.
type LaneState struct {
	Name     string
	Fence    int64 // the number of its present holder: whoever has a smaller one may not write
	Holder   string
	Paused   bool
	Sequence int64 // of its last outcome
	Lamport  lamport.Stamp
}

const selectLane = "SELECT name, fence, holder, paused, sequence, lamport FROM lanes"

// EnsureLanes makes the rows of lanes that have none. It locks them by name, as LockLanes does, so that the two cannot deadlock.
func EnsureLanes(ctx context.Context, db *database.DB, names []string) error {
	return db.Write(ctx, func(tx database.Tx) error {
		rows := database.Rows{Table: "lanes", Columns: []string{"name"}}
		for _, name := range slices.Sorted(slices.Values(names)) {
			rows.Add(name)
		}
		return rows.Upsert(tx, []string{"name"}, []string{"name"})
	})
}

// SeizeLane makes holder the one who may write for the lane, and returns the state that it starts from. Every earlier holder is fenced off.
func SeizeLane(ctx context.Context, db *database.DB, name, holder string) (LaneState, error) {
	var state LaneState
	err := db.Write(ctx, func(tx database.Tx) error {
		if _, err := tx.Exec("UPDATE lanes SET fence = fence + 1, holder = ? WHERE name = ?", holder, name); err != nil {
			return err
		}
		var err error
		state, err = LockLane(tx, name)
		return err
	})
	return state, err
}

// LockLane reads the lane's row and locks it until the end of the transaction.
func LockLane(tx database.Tx, name string) (LaneState, error) {
	return oneLane(tx, " WHERE name = ?"+tx.ForUpdate(), name)
}

// Claimed is what Claim found, once it has been sent.
type Claimed struct {
	LaneState
	Taken int // how many of the batches were waiting, and are not any more
}

// Claim locks the lane's row and takes batches from what is waiting. It is sent with the transaction's next query, so that the lane need not go to the
// store once more: what it found is known after that.
func Claim(tx database.Tx, name string, batches []Batch) (*Claimed, error) {
	var claimed Claimed
	return &claimed, tx.Deferred(func(tx database.Tx) error {
		if err := tx.Query(claimed.scan, selectLane+" WHERE name = ?"+tx.ForUpdate(), name); err != nil {
			return err
		}
		statement, args := takeStatement(name, batches)
		if _, err := tx.Exec(statement, args...); err != nil {
			return err
		}
		count := "SELECT ROW_COUNT()"
		if tx.Embedded() {
			count = "SELECT changes()"
		}
		return tx.Query(func(rows *sql.Rows) error {
			if !rows.Next() {
				return rows.Err()
			}
			return rows.Scan(&claimed.Taken)
		}, count)
	})
}

func (s *LaneState) scan(rows *sql.Rows) error {
	if !rows.Next() {
		return errors.Join(ErrUnknownLane, rows.Err())
	}
	return rows.Scan(&s.Name, &s.Fence, &s.Holder, &s.Paused, &s.Sequence, &s.Lamport)
}

// LockLanes reads the rows of all lanes, by name, and locks them until the end of the transaction: it waits for what each lane is executing.
func LockLanes(tx database.Tx) ([]LaneState, error) {
	var states []LaneState
	err := tx.Gorm().Raw(selectLane + " ORDER BY name" + tx.ForUpdate()).Scan(&states).Error
	return states, err
}

// ReadLane reads the lane's row.
func ReadLane(tx database.Tx, name string) (LaneState, error) {
	return oneLane(tx, " WHERE name = ?", name)
}

// LaneLook is what a look at a lane finds: its row, and the newest batch that waits, or zero if none does.
type LaneLook struct {
	LaneState
	Newest id.ID
}

// LaneLooks are looks at all lanes, by name.
type LaneLooks map[string]LaneLook

// LookAtLanes looks at all lanes.
func LookAtLanes(tx database.Tx) (LaneLooks, error) {
	found := LaneLooks{}
	err := tx.Query(func(rows *sql.Rows) error {
		for rows.Next() {
			var l LaneLook
			if err := rows.Scan(&l.Name, &l.Fence, &l.Holder, &l.Paused, &l.Sequence, &l.Lamport, &l.Newest); err != nil {
				return err
			}
			found[l.Name] = l
		}
		return rows.Err()
	}, "SELECT name, fence, holder, paused, sequence, lamport, (SELECT MAX(id) FROM journal_batches WHERE lane = lanes.name) FROM lanes")
	return found, err
}

// Of returns the look at one lane, or ErrUnknownLane.
func (l LaneLooks) Of(name string) (LaneLook, error) {
	look, known := l[name]
	if !known {
		return look, ErrUnknownLane
	}
	return look, nil
}

func oneLane(tx database.Tx, where string, args ...any) (LaneState, error) {
	var states []LaneState
	if err := tx.Gorm().Raw(selectLane+where, args...).Scan(&states).Error; err != nil {
		return LaneState{}, err
	}
	if len(states) == 0 {
		return LaneState{}, ErrUnknownLane
	}
	return states[0], nil
}

// ReadLanes reads all lanes, by name.
func ReadLanes(tx database.Tx) ([]LaneState, error) {
	var states []LaneState
	err := tx.Gorm().Raw(selectLane + " ORDER BY name").Scan(&states).Error
	return states, err
}

// AdvanceLane stores how far the lane has come.
func AdvanceLane(tx database.Tx, name string, sequence int64, stamp lamport.Stamp) error {
	_, err := tx.Exec("UPDATE lanes SET sequence = ?, lamport = ? WHERE name = ?", sequence, int64(stamp), name)
	return err
}

// PauseLane sets whether the lane is paused.
func PauseLane(ctx context.Context, db *database.DB, name string, paused bool) error {
	return db.Write(ctx, func(tx database.Tx) error {
		n, err := tx.Exec("UPDATE lanes SET paused = ? WHERE name = ?", paused, name)
		if err == nil && n == 0 {
			return ErrUnknownLane
		}
		return err
	})
}

// VacateLane forgets the holder, if it still is the one, so that the operators' view is true after an orderly stop.
func VacateLane(ctx context.Context, db *database.DB, name string, fence int64) error {
	return db.Write(ctx, func(tx database.Tx) error {
		_, err := tx.Exec("UPDATE lanes SET holder = '' WHERE name = ? AND fence = ?", name, fence)
		return err
	})
}

// LastStamp is the largest stamp that the store remembers, near enough: what a process that starts sets its clock to.
func LastStamp(ctx context.Context, db *database.DB) (lamport.Stamp, error) {
	var last int64
	err := db.Read(ctx).Gorm().Raw(`SELECT COALESCE(MAX(stamp), 0) FROM (
		SELECT MAX(lamport) AS stamp FROM lanes
		UNION ALL SELECT MAX(lamport) FROM (SELECT lamport FROM operations ORDER BY id DESC LIMIT 1000) recent
		UNION ALL SELECT MAX(lamport) FROM (SELECT lamport FROM messages ORDER BY log_offset DESC LIMIT 1) said
		UNION ALL SELECT MAX(lamport) FROM (SELECT lamport FROM feed_entries ORDER BY position DESC LIMIT 1000) told) stamps`).Row().Scan(&last)
	return lamport.Stamp(last), err
}
