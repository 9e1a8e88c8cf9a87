package bank

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// fixture is a store with the bank's lane.
type fixture struct {
	*testing.T
	db    *database.DB
	clock lamport.Clock
}

// onBothStores runs a test on SQLite and on MariaDB.
func onBothStores(t *testing.T, test func(f *fixture)) {
	t.Helper()
	stores.Each(t, func(t *testing.T, db *database.DB) {
		f := &fixture{T: t, db: db}
		f.must(operation.EnsureLanes(t.Context(), db, []string{Lane}))
		test(f)
	})
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) write(fn func(tx database.Tx) error) {
	f.Helper()
	f.must(f.db.Write(f.Context(), fn))
}

// open opens accounts, each for a user of its own, and returns the users.
func (f *fixture) open(numbers ...string) []id.ID {
	f.Helper()
	var users []id.ID
	for _, number := range numbers {
		owner := ids.Next()
		users = append(users, owner)
		f.write(func(tx database.Tx) error { return OpenAccount(tx, &f.clock, number, owner, noon) })
	}
	return users
}

// round loads accounts and holds, lets decide work on them, and saves.
func (f *fixture) round(numbers []string, holds []id.ID, decide func(l *Ledger)) {
	f.Helper()
	f.write(func(tx database.Tx) error {
		l, err := Load(tx, numbers, holds)
		if err != nil {
			return err
		}
		decide(l)
		return l.Save(tx)
	})
}

func (f *fixture) cause(at time.Time) Cause {
	return Cause{OperationID: ids.Next(), Stamp: f.clock.Tick(), At: at}
}

// transfer moves money at a time, and returns the operation.
func (f *fixture) transfer(from, to string, amount money.Amount, reference string, at time.Time) id.ID {
	f.Helper()
	c := f.cause(at)
	f.round([]string{from, to}, nil, func(l *Ledger) {
		_, refusal := l.Post(c, KindTransfer, reference, []Leg{{from, -amount}, {to, amount}})
		expectRefusal(f.T, refusal, "")
	})
	return c.OperationID
}

func TestOpenAccount(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		f.write(func(tx database.Tx) error { return operation.AdvanceLane(tx, Lane, 9, 500) })
		f.must(operation.EnsureLanes(f.Context(), f.db, []string{"exchange-1"})) // another lane, which is not as far
		owner := f.open("ADA1")[0]
		want := Account{Number: "ADA1", UserID: owner, Lamport: 501, Opened: 501, OpenedAt: noon}
		if got, err := GetAccount(f.db.Read(f.Context()), owner, "ADA1"); got != want || err != nil {
			f.Errorf("opened %+v, %v", got, err)
		}
		for _, taken := range []string{"ADA1", Cash} {
			err := f.db.Write(f.Context(), func(tx database.Tx) error { return OpenAccount(tx, &f.clock, taken, ids.Next(), noon) })
			if !errors.Is(err, ErrNumberTaken) {
				f.Errorf("opening %s again gave %v", taken, err)
			}
		}
		if f.open("ada1"); f.count("accounts WHERE user_id IS NOT NULL") != 2 {
			f.Errorf("there are %d accounts", f.count("accounts WHERE user_id IS NOT NULL"))
		}
	})
}

func TestOpenAnyAccount(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		given := map[string]bool{}
		for range 5 {
			owner := ids.Next()
			f.write(func(tx database.Tx) error {
				number, err := OpenAnyAccount(tx, &f.clock, owner, noon)
				if len(number) != 10 || number[0] == '0' || strings.Trim(number, "0123456789") != "" {
					f.Errorf("the number is %q", number)
				}
				given[number] = true
				return err
			})
		}
		if len(given) != 5 || f.count("accounts WHERE user_id IS NOT NULL") != 5 {
			f.Errorf("the numbers are %v, and there are %d accounts", given, f.count("accounts WHERE user_id IS NOT NULL"))
		}
	})
}

func (f *fixture) count(table string) (n int) {
	f.Helper()
	f.must(f.db.Read(f.Context()).Gorm().Raw("SELECT COUNT(*) FROM " + table).Row().Scan(&n))
	return n
}

// TestOpenAccountTogether: of many who want a number, one gets it.
func TestOpenAccountTogether(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		errs := make(chan error)
		for range 8 {
			go func() {
				errs <- f.db.Write(f.Context(), func(tx database.Tx) error { return OpenAccount(tx, &f.clock, "ADA1", ids.Next(), noon) })
			}()
		}
		opened := 0
		for range 8 {
			switch err := <-errs; {
			case err == nil:
				opened++
			case !errors.Is(err, ErrNumberTaken):
				f.Error(err)
			}
		}
		if opened != 1 {
			f.Errorf("the account was opened %d times", opened)
		}
	})
}

func TestLoad(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		f.open("ADA1", "BOB1", "EVE1")
		hold := ids.Next()
		f.transfer(Cash, "ADA1", 100, "", noon)
		f.round([]string{"ADA1"}, nil, func(l *Ledger) {
			_, refusal := l.Authorise(f.cause(noon), hold, "ADA1", 30)
			expectRefusal(f.T, refusal, "")
		})
		f.round([]string{"NOBODY", "BOB1", "BOB1"}, []id.ID{hold, ids.Next()}, func(l *Ledger) {
			if l.Account("NOBODY") != nil || l.Account("EVE1") != nil || l.Account("BOB1") == nil || len(l.accounts) != 2 || len(l.holds) != 1 {
				f.Errorf("loaded %+v", l.picture())
			}
			if a := l.Account("ADA1"); a == nil || a.Balance != 100 || a.Held != 30 || a.Postings != 1 || !a.LastPosting.Equal(noon) {
				f.Errorf("the hold's account is %+v", a)
			}
			if h := l.Hold(hold); h == nil || h.Account != "ADA1" || h.Amount != 30 || h.Remaining != 30 || h.OperationID.IsZero() || h.Lamport != l.LastStamp() {
				f.Errorf("the hold is %+v, the last stamp %d", h, l.LastStamp())
			}
		})
		f.round(nil, nil, func(l *Ledger) {
			if len(l.accounts)+len(l.holds) != 0 || l.LastStamp() != 0 {
				f.Errorf("loaded %+v for nothing", l.picture())
			}
		})
	})
}

// TestSave plays the same rounds on the store, a few accounts at a time, and on one ledger that has everything in memory.
func TestSave(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		numbers := []string{"ADA1", "BOB1", "EVE1", "ZOE1", Cash}
		f.open(numbers[:4]...)
		var memory *Ledger
		f.write(func(tx database.Tx) (err error) { memory, err = Load(tx, slices.Clone(numbers), nil); return err })
		r := rand.New(rand.NewPCG(7, 7))
		var holds []id.ID
		refused := map[problem.Code]int{}
		for n := range 40 {
			some := slices.Clone(numbers)
			r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			some = some[:3]
			f.round(slices.Clone(some), holds, func(l *Ledger) {
				var made []id.ID
				for range r.IntN(6) {
					c := f.cause(noon.Add(time.Duration(n-r.IntN(3)) * time.Second))
					decision := draw(r, some, holds, l)
					first, second := decision(l, c), decision(memory, c)
					if first != second {
						f.Fatalf("the store's ledger answers %q, that in memory %q", first, second)
					}
					refused[first]++
					if l.Hold(c.OperationID) != nil {
						made = append(made, c.OperationID)
					}
				}
				holds = append(holds, made...)
			})
		}
		if refused[""] < 20 || refused[problem.InsufficientFunds] == 0 || len(holds) == 0 {
			f.Errorf("the rounds were dull: %v, %d holds", refused, len(holds))
		}
		var stored *Ledger
		f.write(func(tx database.Tx) (err error) { stored, err = Load(tx, slices.Clone(numbers), holds); return err })
		for _, number := range numbers {
			if got, want := stored.Account(number), memory.Account(number); *got != *want {
				f.Errorf("stored    %+v\nin memory %+v", got, want)
			}
		}
		for _, hold := range holds {
			if got, want := stored.Hold(hold), memory.Hold(hold); *got != *want {
				f.Errorf("stored    %+v\nin memory %+v", got, want)
			}
		}
		f.compareStatements(memory, numbers)
	})
}

// draw makes up something to do with some of the accounts and holds, which can be done to any ledger.
func draw(r *rand.Rand, some []string, holds []id.ID, l *Ledger) func(l *Ledger, c Cause) problem.Code {
	code := func(refusal *problem.Problem) problem.Code {
		if refusal == nil {
			return ""
		}
		return refusal.Code
	}
	amount, part := money.Amount(2+r.IntN(100)), r.IntN(3)
	for _, hold := range holds {
		if h := l.Hold(hold); h.Remaining > 0 && part > 0 {
			amount = min(amount, h.Remaining)
			if part == 1 {
				return func(l *Ledger, c Cause) problem.Code { l.Release(c, hold, amount); return "" }
			}
			to := some[slices.IndexFunc(some, func(number string) bool { return number != h.Account })]
			return func(l *Ledger, c Cause) problem.Code {
				_, refusal := l.Capture(c, hold, "purchase", "", amount, []Leg{{to, amount}})
				return code(refusal)
			}
		}
	}
	if part == 0 && some[0] != Cash {
		return func(l *Ledger, c Cause) problem.Code {
			_, refusal := l.Authorise(c, c.OperationID, some[0], amount)
			return code(refusal)
		}
	}
	return func(l *Ledger, c Cause) problem.Code {
		_, refusal := l.Post(c, KindTransfer, "of "+some[0], []Leg{{some[0], -amount}, {some[1], amount - 1}, {some[2], 1}})
		return code(refusal)
	}
}

func (f *fixture) compareStatements(memory *Ledger, numbers []string) {
	f.Helper()
	for _, number := range numbers {
		var want []Line
		for i := range memory.Entries {
			e := &memory.Entries[i]
			if p := e.Posting(number); p != nil {
				line := Line{e.OperationID, e.Part, e.Kind, nil, p.Amount, p.BalanceAfter, p.Counterparty, operation.Micro(e.At), p.Sequence, e.Lamport}
				if e.Reference != "" {
					line.Reference = &e.Reference
				}
				want = append(want, line)
			}
		}
		slices.Reverse(want)
		var got []Line
		for page := 0; page <= len(want); page++ {
			var last Line
			if len(got) > 0 {
				last = got[len(got)-1]
			}
			lines, err := Statement(f.db.Read(f.Context()), number, last.AtUs, last.Sequence, 3)
			f.must(err)
			if got = append(got, lines...); len(lines) < 3 {
				break
			}
		}
		if !reflect.DeepEqual(got, want) {
			f.Errorf("the statement of %s is %+v\nwant %+v", number, got, want)
		}
	}
}

func TestReferencesAreKept(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		f.open("ADA1")
		references := []string{"", "rent", "a\x00b", "é\U0001F600\u2028", `'"\?@%`, fmt.Sprintf("%0140d", 7)}
		for _, reference := range references {
			f.transfer(Cash, "ADA1", 1, reference, noon)
		}
		lines, err := Statement(f.db.Read(f.Context()), "ADA1", 0, 0, 100)
		f.must(err)
		for i, line := range lines {
			reference := ""
			if line.Reference != nil {
				reference = *line.Reference
			}
			if want := references[len(references)-1-i]; reference != want || (line.Reference == nil) != (want == "") {
				f.Errorf("%q is read as %q", want, reference)
			}
		}
	})
}

func TestBalanceThen(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		f.open("ADA1", "BOB1")
		second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
		first := f.transfer(Cash, "ADA1", 100, "", second(1))
		f.transfer("ADA1", "BOB1", 30, "", second(2))
		third := f.transfer("ADA1", "BOB1", 20, "", second(2))
		fourth := f.transfer(Cash, "ADA1", 5, "", second(1)) // by a clock that is behind: entered as of second 2
		for at, want := range map[time.Time]money.Amount{
			noon: 0, second(1).Add(-time.Microsecond): 0, second(1): 100, second(2).Add(-time.Microsecond): 100, second(2): 55, second(9): 55, {}: 0,
		} {
			if balance, err := BalanceAt(f.Context(), f.db, "ADA1", at); balance != want || err != nil {
				f.Errorf("at %s the balance is %d, %v; want %d", at, balance, err, want)
			}
		}
		for op, want := range map[id.ID]money.Amount{first: 100, third: 50, fourth: 55} {
			if balance, at, err := BalanceAfter(f.Context(), f.db, "ADA1", op); balance != want || at.IsZero() || err != nil {
				f.Errorf("after %s the balance is %d at %s, %v; want %d", op, balance, at, err, want)
			}
		}
		for name, op := range map[string]id.ID{"no operation": ids.Next(), "one that moved others": fourth} {
			if balance, _, err := BalanceAfter(f.Context(), f.db, "BOB1", op); !errors.Is(err, ErrNotFound) {
				f.Errorf("after %s the balance is %d, %v", name, balance, err)
			}
		}
	})
}

func TestAccounts(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		users := f.open("ADA1", "BOB1")
		f.write(func(tx database.Tx) error { return OpenAccount(tx, &f.clock, "ADA2", users[0], noon) })
		tx := f.db.Read(f.Context())
		for _, tt := range []struct {
			user  id.ID
			after string
			limit int
			want  []string
		}{{users[0], "", 9, []string{"ADA1", "ADA2"}}, {users[0], "", 1, []string{"ADA1"}}, {users[0], "ADA1", 9, []string{"ADA2"}}, {users[1], "", 9, []string{"BOB1"}}, {id.ID{}, "", 9, nil}} {
			accounts, err := Accounts(tx, tt.user, tt.after, tt.limit)
			f.must(err)
			var numbers []string
			for _, a := range accounts {
				numbers = append(numbers, a.Number)
			}
			if !slices.Equal(numbers, tt.want) {
				f.Errorf("accounts after %q: %v, want %v", tt.after, numbers, tt.want)
			}
		}
		for number, owner := range map[string]id.ID{"BOB1": users[0], "NOBODY": users[0], Cash: {}} {
			if a, err := GetAccount(tx, owner, number); !errors.Is(err, ErrNotFound) {
				f.Errorf("GetAccount of %s = %+v, %v", number, a, err)
			}
		}
	})
}

// TestTogether has several lanes' worth of writers move money between the same accounts: none waits for ever, and no update is lost.
func TestTogether(t *testing.T) {
	onBothStores(t, func(f *fixture) {
		const writers, each = 4, 25
		numbers := []string{"ADA1", "BOB1", "EVE1", "ZOE1"}
		f.open(numbers...)
		for _, number := range numbers {
			f.transfer(Cash, number, 1000, "", noon)
		}
		var working sync.WaitGroup
		for w := range writers {
			working.Go(func() {
				for n := range each {
					from, to := numbers[(w+n)%4], numbers[(w+n*n+1)%4]
					if from == to {
						to = Cash
					}
					err := f.db.Write(f.Context(), func(tx database.Tx) error {
						l, err := Load(tx, []string{from, to}, nil)
						if err != nil {
							return err
						}
						if _, refusal := l.Post(f.cause(noon), KindTransfer, "", []Leg{{from, -1}, {to, 1}}); refusal != nil {
							return refusal
						}
						return l.Save(tx)
					})
					if err != nil {
						f.Error(err)
					}
				}
			})
		}
		working.Wait()
		var sum, moved money.Amount
		var postings int
		tx := f.db.Read(f.Context())
		f.must(tx.Gorm().Raw("SELECT SUM(balance), SUM(postings) FROM accounts").Row().Scan(&sum, &postings))
		f.must(tx.Gorm().Raw("SELECT SUM(amount) FROM postings").Row().Scan(&moved))
		if sum != 0 || moved != 0 || postings != 2*(len(numbers)+writers*each) || f.count("postings") != postings {
			f.Errorf("the balances sum to %d, the postings to %d; %d are counted, %d there", sum, moved, postings, f.count("postings"))
		}
	})
}
