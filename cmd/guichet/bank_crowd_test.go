package main

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// Hundreds of clients at once on one account: no operation interleaves with another, and nothing is made or lost.
func TestCrowdOnOneAccount(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		const people, clientsEach, callsEach, cash = 6, 50, 4, 100
		p := h.serve()
		hot := p.user(t)
		hot.deposit(cash)
		crowd := make([]*client, people)
		for i := range crowd {
			crowd[i] = p.user(t)
			crowd[i].deposit(cash)
		}
		var gained, rejected atomic.Int64
		var all sync.WaitGroup
		for i := range people * clientsEach {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // a seed
				mine := crowd[i%people]
				for range callsEach {
					from, to, amount := mine, hot, 1+random.Int64N(20)
					if random.IntN(2) == 0 {
						from, to = hot, mine
					}
					o := from.transfer(to, amount, wait).operation(t, http.StatusOK)
					switch {
					case o.Status == "succeeded" && to == hot:
						gained.Add(amount)
					case o.Status == "succeeded":
						gained.Add(-amount)
					case o.Status == "rejected" && o.Problem.Code == "insufficient_funds":
						rejected.Add(1)
					default:
						t.Errorf("%+v", o)
					}
					if o.Result.Account.Balance < 0 {
						t.Errorf("overdrawn: %+v", o)
					}
				}
			})
		}
		all.Wait()
		sum := hot.balance()
		if want := cash + gained.Load(); sum != want {
			t.Errorf("the account has %d, want %d", sum, want)
		}
		for _, c := range crowd {
			sum += c.balance()
		}
		if sum != (people+1)*cash {
			t.Errorf("together they have %d of %d", sum, (people+1)*cash)
		}
		checkStatement(t, hot.statement(200, nothing), true)
		h.audit()
	})
}
