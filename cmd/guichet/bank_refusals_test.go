package main

import (
	"fmt"
	"net/http"
	"testing"
)

const (
	maxAmount  = 1_000_000_000_000_000
	maxBalance = 1<<53 - 1
)

// amounts are what a client may write for an amount, and whether that is one.
var amounts = []struct {
	text   string // JSON; empty: the field is missing
	status int
}{
	{"1", http.StatusOK},
	{"1000000000000000", http.StatusOK},
	{"0", http.StatusUnprocessableEntity},
	{"-0", http.StatusUnprocessableEntity},
	{"-1", http.StatusUnprocessableEntity},
	{"1000000000000001", http.StatusUnprocessableEntity},
	{"1000000000000000.5", http.StatusUnprocessableEntity},
	{"999999999999999.99999999", http.StatusUnprocessableEntity}, // a float would be rounded to 10^15
	{"1.5", http.StatusUnprocessableEntity},
	{"0.1", http.StatusUnprocessableEntity},
	{"1.0", http.StatusUnprocessableEntity},
	{"1e3", http.StatusUnprocessableEntity},
	{"1E-3", http.StatusUnprocessableEntity},
	{"1e400", http.StatusUnprocessableEntity},
	{"9223372036854775807", http.StatusUnprocessableEntity},
	{"9223372036854775808", http.StatusUnprocessableEntity},
	{"-9223372036854775809", http.StatusUnprocessableEntity},
	{"18446744073709551617", http.StatusUnprocessableEntity}, // 2^64 + 1
	{"100000000000000000000000000000000", http.StatusUnprocessableEntity},
	{`"1"`, http.StatusUnprocessableEntity},
	{"null", http.StatusUnprocessableEntity},
	{"true", http.StatusUnprocessableEntity},
	{"[1]", http.StatusUnprocessableEntity},
	{`{"minor":1}`, http.StatusUnprocessableEntity},
	{"", http.StatusUnprocessableEntity},
	{"NaN", http.StatusBadRequest},
	{"Infinity", http.StatusBadRequest},
	{"01", http.StatusBadRequest},
	{"+1", http.StatusBadRequest},
	{"0x1", http.StatusBadRequest},
	{".5", http.StatusBadRequest},
}

func TestAmounts(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		ada.deposit(maxAmount)
		ada.deposit(2)
		account := "/v1/accounts/" + ada.account
		calls := []struct {
			path, fields string
			moves        int64 // what an amount of 1 does to the balance
		}{
			{account + "/deposits", "", 1},
			{account + "/withdrawals", "", -1},
			{"/v1/transfers", fmt.Sprintf(`"from":%q,"to":%q`, ada.account, grace.account), -1},
		}
		for _, call := range calls {
			for _, c := range amounts {
				before := ada.balance()
				body := call.fields
				if c.text != "" {
					if body != "" {
						body += ","
					}
					body += `"amount":` + c.text
				}
				a := ada.post(call.path, "{"+body+"}", wait)
				if a.status != c.status {
					t.Errorf("%s, amount %s: %d, want %d\n%s", call.path, c.text, a.status, c.status, a.body)
				}
				var moved int64
				if c.status == http.StatusOK {
					if o := a.operation(t, http.StatusOK); o.Status != "succeeded" {
						t.Fatalf("%s, amount %s: %+v", call.path, c.text, o)
					}
					moved = call.moves
					if c.text != "1" {
						moved *= maxAmount
					}
				}
				if got := ada.balance(); got != before+moved {
					t.Fatalf("%s, amount %s: the balance went from %d to %d", call.path, c.text, before, got)
				}
				if moved < 0 { // back to where it was
					ada.deposit(-moved)
				}
			}
		}
		h.audit()
	})
}

// refusal is an operation that a rule says no to: accepted, and then rejected, with nothing changed.
func (a answer) rejected(t testing.TB, code string) {
	t.Helper()
	if o := a.operation(t, http.StatusOK); o.Status != "rejected" || o.Problem == nil || o.Problem.Code != code {
		t.Fatalf("want rejected with %s: %s", code, a.body)
	}
}

func TestBankRefusals(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, rich, nobody := p.user(t), p.user(t), p.user(t), p.client(t)
		ada.deposit(1000)
		for range 9 {
			rich.deposit(maxAmount)
		}
		rich.deposit(maxBalance - 9*maxAmount)
		if got := rich.balance(); got != maxBalance {
			t.Fatalf("the largest balance is %d, want %d", got, maxBalance)
		}
		post := func(c *client, path, body string) answer { return c.post(path, body, wait) }
		transfer := func(from, to string, amount int64) string {
			return fmt.Sprintf(`{"from":%q,"to":%q,"amount":%d}`, from, to, amount)
		}
		own, others, missing := "/v1/accounts/"+ada.account, "/v1/accounts/"+grace.account, "/v1/accounts/NOBODY1"

		for path, body := range map[string]string{own + "/withdrawals": `{"amount":1001}`, "/v1/transfers": transfer(ada.account, grace.account, 1001)} {
			post(ada, path, body).rejected(t, "insufficient_funds")
		}
		// In this order: unknown_account, insufficient_funds, balance_limit.
		post(ada, "/v1/transfers", transfer(ada.account, "NOBODY1", 1)).rejected(t, "unknown_account")
		post(ada, "/v1/transfers", transfer(ada.account, "NOBODY1", 5000)).rejected(t, "unknown_account")
		post(ada, "/v1/transfers", transfer(ada.account, "CASH", 1)).rejected(t, "unknown_account") // the house's own account is none to pay to
		post(ada, "/v1/transfers", transfer(ada.account, rich.account, 5000)).rejected(t, "insufficient_funds")
		post(ada, "/v1/transfers", transfer(ada.account, rich.account, 1)).rejected(t, "balance_limit")
		post(rich, "/v1/accounts/"+rich.account+"/deposits", `{"amount":1}`).rejected(t, "balance_limit")

		for _, path := range []string{others, missing} {
			for _, call := range []string{"/deposits", "/withdrawals"} {
				post(ada, path+call, `{"amount":1}`).problem(t, http.StatusNotFound, "unknown_account")
			}
			for _, call := range []string{"", "/entries", "/balance", "/balance?at=2026-11-21T10:00:00Z", "/balance?operation=x"} {
				ada.get(path+call).problem(t, http.StatusNotFound, "unknown_account")
			}
		}
		post(ada, "/v1/transfers", transfer(grace.account, ada.account, 1)).problem(t, http.StatusNotFound, "unknown_account")
		post(ada, "/v1/transfers", transfer("NOBODY1", ada.account, 1)).problem(t, http.StatusNotFound, "unknown_account")
		post(ada, "/v1/transfers", transfer(ada.account, ada.account, 1)).problem(t, http.StatusUnprocessableEntity, "same_account")
		post(ada, "/v1/transfers", transfer(grace.account, grace.account, 1)).problem(t, http.StatusNotFound, "unknown_account") // whose it is comes first
		post(ada, "/v1/transfers", transfer("cash", ada.account, 1)).problem(t, http.StatusUnprocessableEntity, "invalid")
		post(ada, "/v1/transfers", transfer(ada.account, "cash", 1)).problem(t, http.StatusUnprocessableEntity, "invalid")
		post(nobody, "/v1/transfers", transfer(ada.account, grace.account, 1)).problem(t, http.StatusUnauthorized, "unauthorized")

		if a, g, r := ada.balance(), grace.balance(), rich.balance(); a != 1000 || g != 0 || r != maxBalance {
			t.Errorf("balances after nothing but refusals: %d, %d, %d", a, g, r)
		}
		// At the edge of each refusal there is a yes.
		if o := post(rich, "/v1/transfers", transfer(rich.account, grace.account, 1)).operation(t, http.StatusOK); o.Status != "succeeded" {
			t.Errorf("%+v", o)
		}
		if o := post(ada, "/v1/transfers", transfer(ada.account, rich.account, 1)).operation(t, http.StatusOK); o.Status != "succeeded" {
			t.Errorf("%+v", o)
		}
		if o := post(ada, own+"/withdrawals", `{"amount":999}`).operation(t, http.StatusOK); o.Status != "succeeded" || o.Result.Account.Balance != 0 {
			t.Errorf("%+v", o)
		}
		h.audit()
	})
}

// A number can be chosen that reads like the house's own account, on either store.
func TestAccountNumbers(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		c := p.client(t)
		register := func(name, number string) answer {
			return c.post("/v1/users", map[string]any{"username": name, "password": "a-password-of-tests", "account_number": number})
		}
		for number, status := range map[string]int{
			"CASH": http.StatusCreated, "ABCD": http.StatusCreated, "0000": http.StatusCreated, "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567": http.StatusCreated,
			"ABC": http.StatusUnprocessableEntity, "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345678": http.StatusUnprocessableEntity, "cash": http.StatusUnprocessableEntity,
			"ABCD\n": http.StatusUnprocessableEntity, "AB D": http.StatusUnprocessableEntity, "ÀBCD": http.StatusUnprocessableEntity, "": http.StatusUnprocessableEntity,
		} {
			register(fmt.Sprintf("owner-%x", number)[:min(64, 6+2*len(number))], number).expect(t, status)
		}
		register("another", "ABCD").problem(t, http.StatusConflict, "account_number_taken")
		register("another", "ABCE").expect(t, http.StatusCreated) // the refused registration has left nothing
		h.audit()
	})
}
