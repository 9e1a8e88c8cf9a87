package bank

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"guichet/models/money"
	"guichet/models/problem"
)

func TestDecodeMovement(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind, payload string
		want          Movement
	}{
		{KindDeposit, `{"account":"A","amount":5}`, Movement{TransferCommand{From: Cash, To: "A", Amount: 5}, KindDeposit, "A"}},
		{KindWithdrawal, `{"account":"A","amount":5}`, Movement{TransferCommand{From: "A", To: Cash, Amount: 5}, KindWithdrawal, "A"}},
		{KindTransfer, `{"from":"A","to":"B","amount":1000000000000000}`, Movement{TransferCommand{From: "A", To: "B", Amount: money.Max}, KindTransfer, "A"}},
		{KindTransfer, `{"from":"A","to":"B","amount":5,"reference":"rent \u00e9"}`, Movement{TransferCommand{From: "A", To: "B", Amount: 5, Reference: "rent é"}, KindTransfer, "A"}},
	} {
		if got, err := DecodeMovement(tt.kind, []byte(tt.payload)); got != tt.want || err != nil {
			t.Errorf("%s %s: %+v, %v", tt.kind, tt.payload, got, err)
		}
	}
	for kind, payload := range map[string]string{"robbery": `{}`, KindDeposit: `{`, KindWithdrawal: `{"amount":1.5}`, KindTransfer: `{"amount":"1"}`, "": ``} {
		if got, err := DecodeMovement(kind, []byte(payload)); err == nil {
			t.Errorf("%s %s: %+v", kind, payload, got)
		}
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	l := NewLedger([]Account{user("1111111111", 1000, 0), user("2222222222", 0, 0), user("FULL", money.MaxBalance, 0), house(Cash, 0)}, nil)
	for _, tt := range []struct {
		kind, payload string
		want          problem.Code
		balance       money.Amount // of the first account, after it
	}{
		{KindWithdrawal, `{"account":"1111111111","amount":850}`, "", 150}, // the mission's worked example
		{KindDeposit, `{"account":"1111111111","amount":1400}`, "", 1550},
		{KindTransfer, `{"from":"1111111111","to":"2222222222","amount":550}`, "", 1000},
		{KindTransfer, `{"from":"1111111111","to":"2222222222","amount":1001}`, problem.InsufficientFunds, 1000},
		{KindTransfer, `{"from":"1111111111","to":"3333333333","amount":1}`, problem.UnknownAccount, 1000},
		{KindTransfer, `{"from":"1111111111","to":"3333333333","amount":1000000000000000}`, problem.UnknownAccount, 1000},
		{KindTransfer, `{"from":"1111111111","to":"FULL","amount":1}`, problem.BalanceLimit, 1000},
		{KindWithdrawal, `{"account":"1111111111","amount":1000}`, "", 0},
		{KindDeposit, `{"account":"1111111111","amount":1000000000000000}`, "", money.Max},
	} {
		m, err := DecodeMovement(tt.kind, []byte(tt.payload))
		if err != nil {
			t.Fatal(err)
		}
		entry, refusal := l.Move(cause(), m)
		expectRefusal(t, refusal, tt.want)
		if balance := l.Account("1111111111").Balance; balance != tt.balance || (entry == nil) != (tt.want != "") {
			t.Errorf("%s %s: the balance is %d", tt.kind, tt.payload, balance)
		}
	}
	if l.Account("2222222222").Balance != 550 || l.Account(Cash).Balance != 450-money.Max {
		t.Errorf("the others have %d and %d", l.Account("2222222222").Balance, l.Account(Cash).Balance)
	}
}

// TestMovePanicsOnBugs: the contract lets no such amount through. Were it to come from elsewhere, a negative one would take the other's money.
func TestMovePanicsOnBugs(t *testing.T) {
	t.Parallel()
	for _, amount := range []money.Amount{math.MinInt64, -money.Max, -1, 0, money.Max + 1, money.MaxBalance, math.MaxInt64} {
		for _, kind := range []string{KindDeposit, KindWithdrawal, KindTransfer} {
			l := NewLedger([]Account{user("A", 100, 0), user("B", 100, 0), house(Cash, 0)}, nil)
			m := Movement{TransferCommand{From: "A", To: "B", Amount: amount}, kind, "A"}
			expectPanic(t, fmt.Sprintf("a %s of %d", kind, amount), func() { _, _ = l.Move(cause(), m) })
			if len(l.Entries) != 0 {
				t.Errorf("a %s of %d made an entry", kind, amount)
			}
		}
	}
}

func compareResult(t *testing.T, amount money.Amount, reference string, at time.Time) {
	t.Helper()
	l := NewLedger([]Account{user("1111111111", money.Max, 7), user("2222222222", 0, 0)}, nil)
	c := cause()
	c.At = at
	entry, refusal := l.Post(c, KindTransfer, reference, []Leg{{"1111111111", -amount}, {"2222222222", amount}})
	expectRefusal(t, refusal, "")
	got := AppendResult([]byte("before "), l.Account("1111111111"), entry)[len("before "):]

	var shown *string
	if reference != "" {
		shown = &reference
	}
	want, err := json.Marshal(map[string]any{
		"account": map[string]any{"number": "1111111111", "balance": money.Max - amount, "held": 7, "available": money.Max - amount - 7},
		"entry": map[string]any{"id": entry.ID(), "operation_id": c.OperationID, "amount": -amount, "balance_after": money.Max - amount, "kind": KindTransfer,
			"counterparty": "2222222222", "reference": shown, "at": at.UTC(), "lamport": now},
	})
	if err != nil {
		t.Fatal(err)
	}
	var gotValue, wantValue any
	if err := json.Unmarshal(got, &gotValue); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal(want, &wantValue); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotValue, wantValue) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendResult(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{"", "rent", `"`, `\`, "\x00\n\u2028", "é\U0001F600", "\xff", "</script>", "null"} {
		compareResult(t, 550, reference, noon)
	}
	compareResult(t, 1, "", noon.Add(120*time.Microsecond))
	compareResult(t, 1, "", noon.In(time.FixedZone("", 3600)))
}

func FuzzAppendResult(f *testing.F) {
	f.Add(int64(1), "rent", int64(1_795_258_628_902_378))
	f.Add(int64(1000), "\x00\xff\u2028\\\"", int64(0))
	f.Fuzz(func(t *testing.T, amount int64, reference string, atUs int64) {
		at := time.UnixMicro(atUs)
		if amount < 1 || money.Amount(amount) > money.Max-7 || at.UTC().Year() < 0 || at.UTC().Year() > 9999 {
			return
		}
		compareResult(t, money.Amount(amount), reference, at)
	})
}
