package operation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
)

// ErrNotFound says that there is no such operation, or none that the user may see.
var ErrNotFound = errors.New("operation: not found")

// ErrNotReplayable says that the operation did not fail.
var ErrNotReplayable = errors.New("operation: not failed")

// ErrKeyReused says that an idempotency key was used for another request.
var ErrKeyReused = errors.New("operation: the idempotency key was used for another request")

// Journal reads the journal.
type Journal struct{ db *database.DB }

// NewJournal returns the journal kept in db.
func NewJournal(db *database.DB) *Journal { return &Journal{db} }

// Append writes a batch: commands[i].ID must be base+i.
func Append(tx database.Tx, lane string, commands []Command) error {
	rows := database.Rows{Table: "operations", Columns: []string{"id", "user_id", "lane", "kind", "payload", "lamport", "submitted_at_us", "traceparent"}}
	for _, c := range commands {
		rows.Add(c.ID[:], c.UserID[:], lane, c.Kind, string(c.Payload), int64(c.Lamport), Micro(c.SubmittedAt), c.Traceparent)
	}
	if err := rows.Insert(tx); err != nil {
		return err
	}
	return AppendBatch(tx, lane, Batch{ID: commands[0].ID, Operations: len(commands)})
}

// AppendBatch says that a batch of operations, which are in the journal, waits.
func AppendBatch(tx database.Tx, lane string, batch Batch) error {
	_, err := tx.Exec("INSERT INTO journal_batches (lane, id, operations) VALUES (?,?,?)", lane, batch.ID[:], batch.Operations)
	return err
}

// Take removes batches from what is waiting and says how many of them were. In the transaction that has the effect, it is the guard against executing
// twice: a batch that is not waiting any more has been executed. A part of a batch, which waits under the same id when its first operation is replayed or
// executed by itself, is another batch: so the size counts.
func Take(tx database.Tx, lane string, batches []Batch) (int, error) {
	statement, args := takeStatement(lane, batches)
	n, err := tx.Exec(statement, args...)
	return int(n), err
}

func takeStatement(lane string, batches []Batch) (statement string, args []any) {
	args = make([]any, 1, 1+3*len(batches))
	args[0] = lane
	for i := range batches {
		args = append(args, batches[i].ID[:])
	}
	for i := range batches {
		args = append(args, batches[i].ID[:], batches[i].Operations)
	}
	// The list of ids is what the stores find the rows by.
	return "DELETE FROM journal_batches WHERE lane = ? AND id IN " + database.Placeholders(len(batches)) +
		" AND (id = ? AND operations = ?" + strings.Repeat(" OR id = ? AND operations = ?", len(batches)-1) + ")", args
}

// IsWaiting says whether the batch still waits.
func IsWaiting(tx database.Tx, lane string, batch Batch) (bool, error) {
	var n int
	err := tx.Gorm().Raw("SELECT COUNT(*) FROM journal_batches WHERE lane = ? AND id = ? AND operations = ?", lane, batch.ID[:], batch.Operations).Row().Scan(&n)
	return n > 0, err
}

// IsAnyWaiting says whether any batch waits whose id is between first and last, inclusive.
func IsAnyWaiting(tx database.Tx, lane string, first, last id.ID) (bool, error) {
	var n int
	err := tx.Gorm().Raw("SELECT COUNT(*) FROM journal_batches WHERE lane = ? AND id BETWEEN ? AND ?", lane, first[:], last[:]).Row().Scan(&n)
	return n > 0, err
}

// StatusOf is how an operation that is in the journal has ended, or Queued if it has not; else ErrNotFound.
func StatusOf(tx database.Tx, operation id.ID) (Status, error) {
	var found []Status
	err := tx.Gorm().Raw("SELECT COALESCE(o.status, ?) FROM operations j LEFT JOIN outcomes o ON o.operation_id = j.id WHERE j.id = ?", string(Queued), operation[:]).Scan(&found).Error
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", ErrNotFound
	}
	return found[0], nil
}

// Waiting returns up to limit batches of a lane that wait, in order; after is the last one already known, or zero.
func Waiting(tx database.Tx, lane string, after id.ID, limit int) ([]Batch, error) {
	var rows []struct {
		ID         id.ID
		Operations int
	}
	err := tx.Gorm().Raw("SELECT id, operations FROM journal_batches WHERE lane = ? AND id > ? ORDER BY id LIMIT ?", lane, after[:], limit).Scan(&rows).Error
	batches := make([]Batch, len(rows))
	for i, r := range rows {
		batches[i] = Batch(r)
	}
	return batches, err
}

// Has says whether the operation is in the journal.
func Has(tx database.Tx, operation id.ID) (bool, error) {
	var n int
	err := tx.Gorm().Raw("SELECT COUNT(*) FROM operations WHERE id = ?", operation[:]).Row().Scan(&n)
	return n > 0, err
}

// WaitingOf says which of the batches still wait in a lane, and how many operations wait there altogether.
func (j *Journal) WaitingOf(ctx context.Context, lane string, batches []id.ID) (map[id.ID]bool, int64, error) {
	tx := j.db.Read(ctx)
	total, err := sumWaiting(tx, "lane = ?", lane)
	waiting := make(map[id.ID]bool, len(batches))
	for chunk := range slices.Chunk(batches, askAtOnce) {
		if err != nil {
			break
		}
		args := make([]any, 0, 1+len(chunk))
		args = append(args, lane)
		for i := range chunk {
			args = append(args, chunk[i][:])
		}
		var found []id.ID
		err = tx.Gorm().Raw("SELECT id FROM journal_batches WHERE lane = ? AND id IN "+database.Placeholders(len(chunk)), args...).Scan(&found).Error
		for _, b := range found {
			waiting[b] = true
		}
	}
	return waiting, total, err
}

// askAtOnce is how many batches are looked for in one query.
const askAtOnce = 400

func sumWaiting(tx database.Tx, where string, args ...any) (n int64, err error) {
	err = tx.Gorm().Raw("SELECT COALESCE(SUM(operations), 0) FROM journal_batches WHERE "+where, args...).Row().Scan(&n)
	return n, err
}

// Commands reads the commands of a batch from the journal, in order.
func Commands(tx database.Tx, batch Batch) ([]Command, error) {
	last := batch.ID.WithIndex(batch.ID.Index() + batch.Operations - 1)
	var rows []operationRow
	err := tx.Gorm().Raw("SELECT * FROM operations WHERE id BETWEEN ? AND ? ORDER BY id", batch.ID[:], last[:]).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	commands := make([]Command, len(rows))
	for i := range rows {
		commands[i] = rows[i].command()
	}
	return commands, nil
}

type operationRow struct {
	ID            id.ID
	UserID        id.ID
	Lane          string
	Kind          string
	Payload       string
	Lamport       int64
	SubmittedAtUs int64
	Traceparent   string
}

func (r *operationRow) command() Command {
	return Command{ID: r.ID, UserID: r.UserID, Lane: r.Lane, Kind: r.Kind, Payload: json.RawMessage(r.Payload),
		Lamport: lamport.Stamp(r.Lamport), SubmittedAt: FromMicro(r.SubmittedAtUs), Traceparent: r.Traceparent}
}

// Conclude writes outcomes. An operation that has one already is a duplicate key.
func Conclude(tx database.Tx, lane string, outcomes []Outcome) error {
	rows := database.Rows{Table: "outcomes", Columns: []string{"operation_id", "lane", "sequence", "status", "lamport", "started_at_us", "finished_at_us", "result", "problem"}}
	for i := range outcomes {
		o := &outcomes[i]
		var result, why any
		if o.Result != nil {
			result = string(o.Result)
		}
		if o.Problem != nil {
			why = string(o.Problem.Code) + "\n" + o.Problem.Detail
		}
		rows.Add(o.OperationID[:], lane, o.Sequence, string(o.Status), int64(o.Lamport), Micro(o.StartedAt), Micro(o.FinishedAt), result, why)
	}
	return rows.Insert(tx)
}

// HasEnded says whether the operation has an outcome.
func HasEnded(tx database.Tx, operation id.ID) (bool, error) {
	var n int
	err := tx.Gorm().Raw("SELECT COUNT(*) FROM outcomes WHERE operation_id = ?", operation[:]).Row().Scan(&n)
	return n > 0, err
}

// maxCause is how much of a cause is kept, in bytes: a stack and what led to it. The column has room for 65,535.
const maxCause = 16 << 10

// Park records that an operation failed, with the cause for the operator. Causes may be anything, and must not keep the operation from being parked.
func Park(tx database.Tx, operation id.ID, cause string, at time.Time) error {
	cause = strings.ToValidUTF8(cause[:min(len(cause), maxCause)], "\uFFFD")
	rows := database.Rows{Table: "parked_operations", Columns: []string{"operation_id", "parked", "cause", "parked_at_us"}}
	rows.Add(operation[:], true, cause, Micro(at))
	return rows.Upsert(tx, []string{"operation_id"}, []string{"parked", "cause", "parked_at_us"})
}

// Replayed is what Replay put into line.
type Replayed struct {
	Batch
	Lane     string
	Commands []Command
	Repeated bool // the key was used for the same request before: nothing was put into line again
}

// Replay takes a failed operation's outcome away and puts the operation back into line, under its own id. key may be nil.
func (j *Journal) Replay(ctx context.Context, operation id.ID, key *Key) (Replayed, error) {
	replayed := Replayed{Batch: Batch{ID: operation, Operations: 1}}
	err := j.db.Write(ctx, func(tx database.Tx) error {
		commands, err := Commands(tx, replayed.Batch)
		if err != nil {
			return err
		}
		if len(commands) == 0 {
			return ErrNotFound
		}
		replayed.Commands, replayed.Lane = commands, commands[0].Lane
		if replayed.Repeated, err = useKey(tx, key, operation); err != nil || replayed.Repeated {
			return err
		}
		n, err := tx.Exec("UPDATE parked_operations SET replays = replays + 1, parked = FALSE WHERE operation_id = ? AND parked = TRUE", operation[:])
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotReplayable
		}
		if _, err := tx.Exec("DELETE FROM outcomes WHERE operation_id = ? AND status = ?", operation[:], string(Failed)); err != nil {
			return err
		}
		return AppendBatch(tx, replayed.Lane, replayed.Batch)
	})
	return replayed, err
}

// useKey notes that a key is used for an operation, or says that it was before.
func useKey(tx database.Tx, key *Key, operation id.ID) (repeated bool, err error) {
	if key == nil {
		return false, nil
	}
	used, err := FindAnswers(tx, []Key{*key})
	if err != nil {
		return false, err
	}
	if before, found := used[key.Bare()]; found {
		if before.Request != key.Request {
			return false, ErrKeyReused
		}
		return true, nil
	}
	return false, KeepAnswers(tx, []Key{*key}, []Answer{{Request: key.Request, Operation: operation}}, time.Now())
}

// Get reads one operation with its place in line. A zero user sees everybody's.
func (j *Journal) Get(ctx context.Context, operation, user id.ID) (*Operation, error) {
	found, err := j.List(ctx, Filter{User: user, IDs: []id.ID{operation}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	return &found[0], nil
}

// GetAll reads operations by their ids. Those that do not exist are absent from the map.
func (j *Journal) GetAll(ctx context.Context, ids []id.ID) (map[id.ID]*Operation, error) {
	found, err := j.List(ctx, Filter{IDs: ids, Limit: len(ids)})
	operations := make(map[id.ID]*Operation, len(found))
	for i := range found {
		operations[found[i].ID] = &found[i]
	}
	return operations, err
}

// Filter selects operations; zero fields select all.
type Filter struct {
	User   id.ID
	IDs    []id.ID
	Kind   string
	Status Status // Queued stands for Running too
	Before id.ID  // only older ones
	Limit  int
}

// List reads operations, newest first.
func (j *Journal) List(ctx context.Context, f Filter) ([]Operation, error) {
	tx := j.db.Read(ctx)
	where, args := f.where()
	var rows []struct {
		Operation     operationRow `gorm:"embedded"`
		OutcomeStatus *string
		Sequence      int64
		OutcomeStamp  int64
		StartedAtUs   int64
		FinishedAtUs  int64
		Result        *string
		Problem       *string
	}
	err := tx.Gorm().Raw(`SELECT o.*, x.status AS outcome_status, x.sequence, x.lamport AS outcome_stamp, x.started_at_us, x.finished_at_us, x.result, x.problem
		FROM operations o LEFT JOIN outcomes x ON x.operation_id = o.id`+where+` ORDER BY o.id DESC LIMIT ?`, append(args, f.Limit)...).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	operations := make([]Operation, len(rows))
	for i := range rows {
		r := &rows[i]
		operations[i].Command = r.Operation.command()
		if r.OutcomeStatus == nil {
			continue
		}
		operations[i].Outcome = &Outcome{OperationID: r.Operation.ID, Sequence: r.Sequence, Status: Status(*r.OutcomeStatus), Lamport: lamport.Stamp(r.OutcomeStamp),
			StartedAt: FromMicro(r.StartedAtUs), FinishedAt: FromMicro(r.FinishedAtUs), Result: raw(r.Result), Problem: parseProblem(r.Problem)}
	}
	return operations, j.placeInLine(tx, operations)
}

func (f *Filter) where() (string, []any) {
	var conditions []string
	var args []any
	add := func(condition string, values ...any) {
		conditions = append(conditions, condition)
		args = append(args, values...)
	}
	if !f.User.IsZero() {
		add("o.user_id = ?", f.User[:])
	}
	if len(f.IDs) > 0 {
		ids := make([]any, len(f.IDs))
		for i := range f.IDs {
			ids[i] = f.IDs[i][:]
		}
		add("o.id IN "+database.Placeholders(len(ids)), ids...)
	}
	if !f.Before.IsZero() {
		add("o.id < ?", f.Before[:])
	}
	if f.Kind != "" {
		add("o.kind = ?", f.Kind)
	}
	switch {
	case f.Status == Queued:
		add("x.status IS NULL")
	case f.Status == Failed:
		add("o.id IN (SELECT operation_id FROM parked_operations WHERE parked = TRUE)") // few, and found without reading the journal
	case f.Status != "":
		add("x.status = ?", string(f.Status))
	}
	if len(conditions) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}

func raw(s *string) json.RawMessage {
	if s == nil {
		return nil
	}
	return json.RawMessage(*s)
}

func parseProblem(s *string) *problem.Problem {
	if s == nil {
		return nil
	}
	code, detail, _ := strings.Cut(*s, "\n")
	return problem.New(problem.Code(code), detail)
}

// placeInLine sets the positions of those that have no outcome: what waits in earlier batches of the lane, and earlier in their own.
func (j *Journal) placeInLine(tx database.Tx, operations []Operation) error {
	var waiting []*Operation
	for i := range operations {
		if operations[i].Outcome == nil {
			waiting = append(waiting, &operations[i])
		}
	}
	if len(waiting) == 1 { // a poll, of which there are many: without reading the line
		return place(tx, waiting[0])
	}
	lines := map[string][]Batch{}
	for _, o := range waiting {
		line, read := lines[o.Lane]
		if !read {
			var err error
			if line, err = Waiting(tx, o.Lane, id.ID{}, maxLine); err != nil {
				return err
			}
			lines[o.Lane] = line
		}
		o.Position = ahead(line, o.ID)
	}
	return nil
}

// place sets one position: the sum of what is ahead of the operation's batch, and its place in that.
func place(tx database.Tx, o *Operation) error {
	base := o.ID.Base()
	before, err := sumWaiting(tx, "lane = ? AND id < ?", o.Lane, base[:])
	if err != nil {
		return err
	}
	var own []Batch
	err = tx.Gorm().Raw("SELECT id, operations FROM journal_batches WHERE lane = ? AND id >= ? AND id <= ? ORDER BY id", o.Lane, base[:], o.ID[:]).Scan(&own).Error
	o.Position = before + ahead(own, o.ID)
	return err
}

// maxLine bounds how much of a line is read to find a place in it. Lanes refuse commands long before they are that deep.
const maxLine = 100_000

func ahead(line []Batch, operation id.ID) int64 {
	var n int64
	for _, b := range line {
		switch past := operation.Index() - b.ID.Index(); {
		case b.ID.Base() == operation.Base() && past >= 0 && past < b.Operations: // its own
			return n + int64(past)
		case b.ID.Less(operation):
			n += int64(b.Operations)
		}
	}
	return n
}

// Depth is how much waits in a lane.
type Depth struct {
	Operations int64
	Oldest     time.Time // when the oldest waiting batch was accepted; zero if none waits
}

// Depths reads the depths of all lanes that have something waiting.
func Depths(tx database.Tx) (map[string]Depth, error) {
	var rows []struct {
		Lane       string
		Operations int64
		Oldest     id.ID
	}
	err := tx.Gorm().Raw("SELECT lane, SUM(operations) AS operations, MIN(id) AS oldest FROM journal_batches GROUP BY lane").Scan(&rows).Error
	depths := make(map[string]Depth, len(rows))
	for _, r := range rows {
		depths[r.Lane] = Depth{Operations: r.Operations, Oldest: r.Oldest.Time()}
	}
	return depths, err
}

// Depths reads the depths of all lanes.
func (j *Journal) Depths(ctx context.Context) (map[string]Depth, error) {
	return Depths(j.db.Read(ctx))
}
