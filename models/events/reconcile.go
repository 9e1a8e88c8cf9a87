package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
)

// State is all that Redis has of an event, at one instant.
type State struct {
	Epoch        string
	Version      int64
	Reservations map[id.ID]Reservation // held (those with ClaimedBy are being paid), and ended or paid ones that the database has not heard of
	Owners       map[int]id.ID         // seat → reservation that holds it or has bought it
	Sold         map[int]id.ID         // seat → reservation that has bought it
	Users        map[id.ID]int         // user → how many seats, held and sold
	Marked       map[id.ID]bool        // reservations of which the database has not heard yet

	broken []int // seats of which the map says something else than the tickets and the reservations
}

// State reads all that Redis has. The error is ErrNotLoaded if it does not know the event.
//
// To compare it with the database: read State first, then the database, and let nothing be synced and no payment be decided from before the State until the
// differences are mended (the holder of the events lane does all three). Others may go on reserving and releasing.
func (s *Seats) State(ctx context.Context, hall *Hall) (State, error) {
	var head *redis.SliceCmd
	var text *redis.StringCmd
	var tickets, records, users *redis.MapStringStringCmd
	var marks *redis.StringSliceCmd
	k := hall.keys
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		head, text = p.HMGet(ctx, k.hall(), "epoch", "synced"), p.Get(ctx, k.text())
		tickets, records, marks = p.HGetAll(ctx, k.tickets()), p.HGetAll(ctx, k.reservations()), p.LRange(ctx, k.unsynced(), 0, -1)
		users = p.HGetAll(ctx, k.users())
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return State{}, err
	}
	state := State{Reservations: map[id.ID]Reservation{}, Owners: map[int]id.ID{}, Sold: map[int]id.ID{}, Users: map[id.ID]int{}, Marked: map[id.ID]bool{}}
	if state.Epoch, state.Version, err = readHead(head.Val(), int64(len(marks.Val()))); err != nil {
		return State{}, err
	}
	if len(text.Val()) != hall.length() {
		return State{}, fmt.Errorf("%w: the map of event %s has %d characters", ErrMalformed, hall.event, len(text.Val()))
	}
	if err := state.readRecords(hall, records.Val(), marks.Val()); err != nil {
		return State{}, err
	}
	if err := state.readUsers(users.Val()); err != nil {
		return State{}, err
	}
	err = state.readSeats(hall, text.Val(), tickets.Val())
	return state, err
}

func (s *State) readUsers(users map[string]string) error {
	for text, number := range users {
		user, err1 := id.Parse(text)
		n, err2 := strconv.Atoi(number)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%w: user %q has %q seats", ErrMalformed, text, number)
		}
		s.Users[user] = n
	}
	return nil
}

func (s *State) readRecords(hall *Hall, records map[string]string, marks []string) error {
	for text, record := range records {
		reservation, err := id.Parse(text)
		if err != nil {
			return fmt.Errorf("%w: a reservation has the id %q", ErrMalformed, text)
		}
		if s.Reservations[reservation], err = hall.reservation(reservation, record); err != nil {
			return err
		}
	}
	for _, mark := range marks {
		_, reservation, err := readMark(mark)
		if err != nil {
			return err
		}
		s.Marked[reservation] = true
	}
	return nil
}

func (s *State) readSeats(hall *Hall, text string, tickets map[string]string) error {
	for placeText, ownerText := range tickets {
		place, err1 := strconv.Atoi(placeText)
		owner, err2 := id.Parse(ownerText)
		seat, valid := hall.seat(place)
		if err1 != nil || err2 != nil || !valid {
			return fmt.Errorf("%w: the ticket of place %q is %q", ErrMalformed, placeText, ownerText)
		}
		s.Owners[seat] = owner
	}
	for seat := range hall.Size() {
		char := s.char(seat)
		if char == charSold {
			s.Sold[seat] = s.Owners[seat]
		}
		if text[hall.place(seat)] != char {
			s.broken = append(s.broken, seat)
		}
	}
	return nil
}

// char is what the map should say of a seat. A ticket whose reservation Redis does not have is of one that is paid.
func (s *State) char(seat int) byte {
	owner, taken := s.Owners[seat]
	if !taken {
		return charFree
	}
	r, known := s.Reservations[owner]
	switch {
	case !known || r.Status == StatusPaid:
		return charSold
	case r.Status == StatusHeld:
		return charHeld
	default:
		return charFree
	}
}

// Truth is what the database says, read after the State.
type Truth struct {
	Held []Reservation // all whose status is held
	Sold []Sale        // all seats that are sold, and not refunded
	// Decided are the payments of State.Claims that have an outcome, Sold or Freed, and those that do not exist, Unclaimed. One that is still in the line is absent.
	Decided map[id.ID]SettledTo
}

// Difference is a seat or a reservation on which Redis and the database do not agree.
type Difference struct {
	Kind        DifferenceKind
	Reservation Reservation // as far as it is known: ID, UserID, Seats
	Operation   id.ID       // of a claim
	Seats       []int       // that are concerned
	Count       int         // of a user: how many seats too many
}

// DifferenceKind says what is mended, and how.
type DifferenceKind string

// The kinds of differences.
const (
	NotSold      DifferenceKind = "not_sold"      // sold in the database, not in Redis: they are marked sold, and who else holds them is released
	NotPaid      DifferenceKind = "not_paid"      // sold in Redis, not in the database: they are freed
	ClaimPaid    DifferenceKind = "claim_paid"    // claimed by a payment that is committed: sold
	ClaimRefused DifferenceKind = "claim_refused" // claimed by a payment that was refused: freed
	ClaimOrphan  DifferenceKind = "claim_orphan"  // claimed by a payment that does not exist: held again
	Lost         DifferenceKind = "lost"          // held in the database, not in Redis: held again if all its seats are free, else released
	Unheard      DifferenceKind = "unheard"       // in Redis, not in the database, and no mark says so: marked
	Miscounted   DifferenceKind = "miscounted"    // a user has another number of seats than is counted, of whatever state: counted anew
	BrokenMap    DifferenceKind = "broken_map"    // the map says something else than the tickets: it is painted anew
)

// Claims are the payments that have claimed reservations, in the order of their ids.
func (s *State) Claims() []ClaimOf {
	var claims []ClaimOf
	for _, r := range s.Reservations {
		if !r.ClaimedBy.IsZero() {
			claims = append(claims, ClaimOf{Reservation: r.ID, Operation: r.ClaimedBy})
		}
	}
	slices.SortFunc(claims, func(a, b ClaimOf) int { return bytes.Compare(a.Operation[:], b.Operation[:]) })
	return claims
}

// Compare lists what Redis and the database do not agree on, in the order in which it is to be mended.
func Compare(state *State, truth *Truth) []Difference {
	c := comparison{state: state, truth: truth, settled: map[id.ID]bool{}, users: map[id.ID]id.ID{}}
	for _, sale := range truth.Sold {
		c.users[sale.Reservation] = sale.UserID
	}
	for _, r := range state.Reservations {
		c.users[r.ID] = r.UserID
	}
	c.claims()
	c.notPaid()
	c.notSold()
	c.notHeld()
	c.unheard()
	c.miscounted()
	if len(state.broken) > 0 {
		c.differences = append(c.differences, Difference{Kind: BrokenMap, Seats: state.broken})
	}
	return c.differences
}

type comparison struct {
	state       *State
	truth       *Truth
	settled     map[id.ID]bool  // reservations whose claim says it all
	users       map[id.ID]id.ID // reservation → user, as far as is known
	differences []Difference
}

// claimKinds are what a decided payment makes of a claim.
var claimKinds = map[SettledTo]DifferenceKind{Sold: ClaimPaid, Freed: ClaimRefused, Unclaimed: ClaimOrphan}

func (c *comparison) claims() {
	for _, claim := range c.state.Claims() {
		if kind, decided := claimKinds[c.truth.Decided[claim.Operation]]; decided {
			r := c.state.Reservations[claim.Reservation]
			c.differences = append(c.differences, Difference{Kind: kind, Reservation: r, Operation: claim.Operation, Seats: r.Seats})
			c.settled[r.ID] = kind == ClaimPaid
		}
	}
}

// notPaid comes before notSold: seats that Redis takes for one reservation's may be what another has bought.
func (c *comparison) notPaid() {
	bought := make(map[int]id.ID, len(c.truth.Sold))
	for _, sale := range c.truth.Sold {
		bought[sale.Seat] = sale.Reservation
	}
	wrong := map[id.ID][]int{}
	for seat, owner := range c.state.Sold {
		if bought[seat] != owner {
			wrong[owner] = append(wrong[owner], seat)
		}
	}
	for _, owner := range id.Keys(wrong) {
		r := c.state.Reservations[owner]
		r.ID, r.UserID = owner, c.users[owner]
		c.add(NotPaid, r, wrong[owner])
	}
}

func (c *comparison) notSold() {
	missing := map[id.ID][]int{}
	for _, sale := range c.truth.Sold {
		if c.state.Sold[sale.Seat] != sale.Reservation && !c.settled[sale.Reservation] {
			missing[sale.Reservation] = append(missing[sale.Reservation], sale.Seat)
		}
	}
	for _, reservation := range id.Keys(missing) {
		c.add(NotSold, Reservation{ID: reservation, UserID: c.users[reservation]}, missing[reservation])
	}
}

func (c *comparison) notHeld() {
	for _, r := range c.truth.Held {
		if _, known := c.state.Reservations[r.ID]; !known {
			c.differences = append(c.differences, Difference{Kind: Lost, Reservation: r, Seats: r.Seats})
		}
	}
}

func (c *comparison) unheard() {
	held := make(map[id.ID]bool, len(c.truth.Held))
	for _, r := range c.truth.Held {
		held[r.ID] = true
	}
	for _, reservation := range id.Keys(c.state.Reservations) {
		r := c.state.Reservations[reservation]
		if !c.state.Marked[r.ID] && r.ClaimedBy.IsZero() && (r.Status != StatusHeld || !held[r.ID]) {
			c.add(Unheard, r, slices.Clone(r.Seats))
		}
	}
}

// miscounted compares with the tickets that were there at the same instant. Whoever reserves or releases since has changed both alike, so the difference stays what
// it is. A seat of which nobody knows whose it is counts for nobody, and does not when it is freed.
func (c *comparison) miscounted() {
	surplus := maps.Clone(c.state.Users)
	for _, owner := range c.state.Owners {
		if user, known := c.users[owner]; known {
			surplus[user]--
		}
	}
	for _, user := range id.Keys(surplus) {
		if surplus[user] != 0 {
			c.differences = append(c.differences, Difference{Kind: Miscounted, Reservation: Reservation{UserID: user}, Count: surplus[user]})
		}
	}
}

func (c *comparison) add(kind DifferenceKind, r Reservation, seats []int) {
	slices.Sort(seats)
	c.differences = append(c.differences, Difference{Kind: kind, Reservation: r, Seats: seats})
}

// Mend mends a difference, unless what it was about has changed since the State was read. It says whether it did.
func (s *Seats) Mend(ctx context.Context, hall *Hall, difference Difference, now time.Time) (mended bool, err error) {
	r := difference.Reservation
	settlement := Settlement{Reservation: r.ID, UserID: r.UserID, Operation: difference.Operation, Seats: difference.Seats}
	switch difference.Kind {
	case NotSold, ClaimPaid:
		settlement.To = Sold
	case ClaimRefused:
		settlement.To = Freed
	case ClaimOrphan:
		settlement.To = Unclaimed
	case Miscounted:
		return s.mend(ctx, hall, difference, nil, now)
	case NotPaid, Lost, Unheard, BrokenMap:
		for seats := range slices.Chunk(difference.Seats, maxMarks) { // some at a time, so that no script takes long
			done, err := s.mend(ctx, hall, difference, seats, now)
			if err != nil {
				return mended, err
			}
			mended = mended || done
		}
		return mended, nil
	}
	changed, err := s.Settle(ctx, hall, []Settlement{settlement}, now)
	return changed > 0, err
}

// mend mends what is not for Settle.
func (s *Seats) mend(ctx context.Context, hall *Hall, difference Difference, seats []int, now time.Time) (mended bool, err error) {
	r, user, record := difference.Reservation, "", ""
	if !r.UserID.IsZero() {
		user = r.UserID.String()
	}
	if difference.Kind == Lost {
		r.Status, r.ClaimedBy = StatusHeld, id.ID{}
		record = hall.record(&r)
	}
	n, err := mendScript.run(ctx, s.client, hall.keys.all(), now, string(difference.Kind), r.ID.String(), user, hall.places(seats), record, difference.Count).Int()
	if n < 0 {
		err = ErrNotLoaded
	}
	return n > 0, err
}
