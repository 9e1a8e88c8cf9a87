package main

import (
	"net/http"
	"strconv"
	"testing"
)

// The worked example of the bank, with the client's Lamport clock.
func TestBankWorkedExample(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		ada.deposit(1000)
		grace.deposit(1)

		clock := int64(1000)
		send := func(method, path string, body any) answer {
			clock++
			a := ada.do(method, path, body, wait, header("Lamport-Time", strconv.FormatInt(clock, 10)))
			received, err := strconv.ParseInt(a.header.Get("Lamport-Time"), 10, 64)
			if err != nil || received <= clock {
				t.Fatalf("sent %d, received %q", clock, a.header.Get("Lamport-Time"))
			}
			clock = max(clock, received) + 1
			return a
		}
		account := "/v1/accounts/" + ada.account
		before := clock + 1
		send(http.MethodGet, account, nil).expect(t, http.StatusOK)
		if clock != before+3 { // sends n, reads n+3: to send, to receive, to send, to receive
			t.Errorf("sent %d and read %d, want %d", before, clock, before+3)
		}
		for _, step := range []struct {
			path string
			body map[string]any
			want int64
		}{
			{account + "/withdrawals", map[string]any{"amount": 850}, 150},
			{account + "/deposits", map[string]any{"amount": 1400}, 1550},
			{"/v1/transfers", map[string]any{"from": ada.account, "to": grace.account, "amount": 550}, 1000},
		} {
			sent := clock + 1
			o := send(http.MethodPost, step.path, step.body).operation(t, http.StatusOK)
			if o.Status != "succeeded" || o.Result.Account.Balance != step.want {
				t.Fatalf("%s: %+v, want a balance of %d", step.path, o, step.want)
			}
			if o.Lamport <= sent || o.Lamport >= clock {
				t.Errorf("%s: executed at %d, sent at %d and answered at %d", step.path, o.Lamport, sent, clock)
			}
		}
		if got := grace.balance(); got != 551 {
			t.Errorf("grace has %d, want 551", got)
		}
		h.audit()
	})
}
