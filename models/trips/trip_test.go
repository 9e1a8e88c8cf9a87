package trips

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"guichet/models/money"
	"guichet/models/problem"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	trip := train(seats(1, 1))
	for _, tt := range []struct {
		at     time.Duration
		closed bool
		want   TripStatus
	}{{0, false, Open}, {3*time.Hour - 1, false, Open}, {3 * time.Hour, false, Departed}, {0, true, Closed}, {3 * time.Hour, true, Departed}} {
		trip.Closed = tt.closed
		if got := trip.Status(noon.Add(tt.at)); got != tt.want {
			t.Errorf("after %v, closed: %t: %s", tt.at, tt.closed, got)
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	trip := train(seats(100, 10), ClassDefinition{"bed", 500, 3})
	trip.Classes[0].Sold, trip.Classes[0].Held = 4, 2
	for _, tt := range []struct {
		name   string
		change Change
		code   problem.Code
		fields string
	}{
		{"fewer than are taken", Change{Classes: []ClassChange{{"seat", nil, new(int64(5))}}}, problem.StockInUse, ""},
		{"none", Change{Closed: new(true), Classes: []ClassChange{{"bed", nil, new(int64(0))}, {"seat", nil, new(int64(0))}}}, problem.StockInUse, ""},
		{"as many as are taken", Change{Classes: []ClassChange{{"seat", nil, new(int64(6))}}}, "", ""},
		{"a new class without a price", Change{Classes: []ClassChange{{"bed", new(money.Amount(1)), nil}, {"deck", nil, new(int64(1))}}}, problem.Invalid, "/classes/1/price"},
		{"a new class without a stock", Change{Classes: []ClassChange{{"deck", new(money.Amount(0)), nil}}}, problem.Invalid, "/classes/0/stock"},
		{"a new class without anything", Change{Classes: []ClassChange{{"deck", nil, nil}, {"seat", nil, new(int64(0))}}}, problem.Invalid, "/classes/0/price /classes/0/stock"},
		{"a new class", Change{Classes: []ClassChange{{"deck", new(money.Amount(0)), new(int64(0))}}}, "", ""},
		{"as many classes as there may be", Change{Classes: newClasses(MaxClasses - 2)}, "", ""},
		{"one class too many", Change{Classes: newClasses(MaxClasses - 1)}, problem.Invalid, "/classes"},
		{"nothing", Change{}, "", ""},
		{"everything else", Change{Name: new("Day train"), DepartsAt: new(noon), Closed: new(true), RefundBps: new(0), RefundMinutes: new(9)}, "", ""},
	} {
		before := fmt.Sprintf("%+v", *trip)
		definition, refusal := trip.Changed(&tt.change)
		if fmt.Sprintf("%+v", *trip) != before {
			t.Errorf("%s: the trip has changed by itself", tt.name)
		}
		var fields []string
		code := problem.Code("")
		if refusal != nil {
			code = refusal.Code
			for _, f := range refusal.Fields {
				fields = append(fields, f.Pointer)
			}
		}
		if code != tt.code || strings.Join(fields, " ") != tt.fields || (refusal == nil) != (definition != nil && code == "") {
			t.Errorf("%s: %v %v", tt.name, refusal, fields)
		}
	}
}

func newClasses(n int) (all []ClassChange) {
	for i := range n {
		all = append(all, ClassChange{fmt.Sprint("class ", i), new(money.Amount(1)), new(int64(1))})
	}
	return all
}

// What an admin changes bears the stamp of the change, and only that; what has become of the tickets stays.
func TestDefine(t *testing.T) {
	t.Parallel()
	trip := train(seats(100, 10), ClassDefinition{"bed", 500, 3})
	trip.Classes[0].Sold, trip.Classes[0].Held, trip.Classes[0].Lamport = 4, 2, 40
	definition, refusal := trip.Changed(&Change{Name: new("Day train"), Classes: []ClassChange{{"deck", new(money.Amount(7)), new(int64(8))}, {"bed", new(money.Amount(600)), nil}}})
	if refusal != nil {
		t.Fatal(refusal)
	}
	trip.Define(definition, 50)
	want := []Class{{"seat", 0, 100, 10, 4, 2, 40}, {"bed", 1, 600, 3, 0, 0, 50}, {"deck", 2, 7, 8, 0, 0, 50}}
	if fmt.Sprint(trip.Classes) != fmt.Sprint(want) || trip.Name != "Day train" || trip.Lamport != 50 || trip.Created != 2 || trip.LastStamp() != 50 {
		t.Errorf("%+v", trip)
	}
	if again := trip.Definition(); !again.equal(definition) {
		t.Errorf("%+v, want %+v", again, definition)
	}
}
