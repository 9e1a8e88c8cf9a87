package trips

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeCommand(t *testing.T) {
	t.Parallel()
	trip, purchase := ids.Next(), ids.Next()
	for _, c := range []*Command{
		{Kind: KindPurchase, Purchase: PurchaseCommand{"1", "no id", "seat", -5, true, 1}},
		{Kind: KindPurchase, Purchase: PurchaseCommand{"1", trip.String(), "", 1 << 60, false, 86_400}},
		{Kind: KindConfirmation, Change: ChangeCommand{"1", trip, "seat", purchase}},
		{Kind: KindCancellation, Change: ChangeCommand{"1", trip, "seat", purchase}},
		{Kind: KindExpiry, Expiry: ExpiryCommand{[]DuePurchase{{purchase, trip, "seat"}, {trip, purchase, "bed"}}}},
		{Kind: KindExpiry, Expiry: ExpiryCommand{make([]DuePurchase, MaxExpiries)}},
	} {
		payload, err := json.Marshal(map[string]any{KindPurchase: c.Purchase, KindConfirmation: c.Change, KindCancellation: c.Change, KindExpiry: c.Expiry}[c.Kind])
		ok(t, err)
		if got, err := DecodeCommand(c.Kind, payload); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %+v %v, want %+v", payload, got, err, c)
		}
	}
}

func TestNoCommands(t *testing.T) {
	t.Parallel()
	const trip = "0199b2c4-8a10-7000-8000-3f2a9c51d600"
	purchase := func(hold any) string {
		return fmt.Sprintf(`{"account":"1","trip":%q,"class":"seat","quantity":1,"hold_s":%v}`, trip, hold)
	}
	for _, c := range [][2]string{
		{"order", `{}`}, {KindPurchase, ``}, {KindPurchase, `[]`}, {KindPurchase, `{}`}, {KindPurchase, purchase(0)}, {KindPurchase, purchase(-1)}, {KindPurchase, purchase(86_401)},
		{KindPurchase, purchase(int64(1) << 62)}, {KindPurchase, purchase(0.5)}, {KindPurchase, strings.Replace(purchase(1), `"1"`, `""`, 1)}, {KindPurchase, strings.Replace(purchase(1), `"1"`, `"trips"`, 1)},
		{KindConfirmation, `{}`}, {KindConfirmation, `{"account":"1","trip":"x","purchase":"x"}`}, {KindConfirmation, `{"account":"1","trip":"` + trip + `"}`},
		{KindCancellation, `{"trip":"` + trip + `","purchase":"` + trip + `"}`}, {KindCancellation, `{"account":"1","purchase":"` + trip + `"}`},
		{KindExpiry, `{}`}, {KindExpiry, `{"purchases":[]}`}, {KindExpiry, `{"purchases":[` + strings.Repeat(`{},`, MaxExpiries) + `{}]}`},
	} {
		if got, err := DecodeCommand(c[0], []byte(c[1])); err == nil {
			t.Errorf("%s %s was read as %+v", c[0], c[1], got)
		}
	}
}

// No payload panics, and what was read is written and read alike.
func FuzzDecodeCommand(f *testing.F) {
	f.Add(KindPurchase, `{"account":"1","trip":"x","class":"seat","quantity":1,"hold_s":600}`)
	f.Add(KindExpiry, `{"purchases":[{"purchase":"0199b2c4-8a10-7000-8000-3f2a9c51d600"}]}`)
	f.Add(KindCancellation, `{"account":"1","trip":"0199b2c4-8a10-7000-8000-3f2a9c51d600","purchase":"0199b2c4-8a10-7000-8000-3f2a9c51d600"}`)
	f.Fuzz(func(t *testing.T, kind, payload string) {
		c, err := DecodeCommand(kind, []byte(payload))
		if err != nil {
			return
		}
		if c.Kind == KindPurchase && (c.Purchase.hold() < MinHold || c.Purchase.hold() > MaxHold) {
			t.Errorf("%+v", c)
		}
		if named := c.Trips(); len(named) == 0 || c.Kind == KindPurchase && !named[0].IsZero() && !strings.EqualFold(named[0].String(), c.Purchase.Trip) {
			t.Errorf("%+v names %v", c, named)
		}
	})
}
