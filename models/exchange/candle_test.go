package exchange

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"guichet/models/money"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestIntervals(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"1m": "2026-11-21T23:59:00Z", "5m": "2026-11-21T23:55:00Z", "1h": "2026-11-21T23:00:00Z", "1d": "2026-11-21T00:00:00Z"} {
		interval, known := ParseInterval(name)
		if got := interval.Start(at("2026-11-22T01:59:59.999999+02:00")); !known || interval.String() != name || !got.Equal(at(want)) || got.Location() != time.UTC {
			t.Errorf("%s: %v", name, got)
		}
		if got := interval.Start(at(want)); !got.Equal(at(want)) {
			t.Errorf("%s: its own start is in the one of %v", name, got)
		}
		if got := interval.Start(time.Unix(-1, 0)); got.Unix() != -int64(interval) {
			t.Errorf("%s: before 1970: %v", name, got)
		}
	}
	if interval, known := ParseInterval("2m"); known {
		t.Errorf("2m is %d", interval)
	}
}

func TestAddTrades(t *testing.T) {
	t.Parallel()
	trade := func(number int64, price money.Amount, quantity int64, when string) Trade {
		return Trade{Symbol: "TCB", Number: number, Price: price, Quantity: quantity, At: at(when)}
	}
	minute := func(start string, open, high, low, last money.Amount, volume, trades int64) Candle {
		return Candle{Symbol: "TCB", Interval: 60, Start: at(start).UTC(), Open: open, High: high, Low: low, Close: last, Volume: volume, Trades: trades}
	}
	known := []Candle{minute("2026-11-21T12:00:00Z", 30, 34, 29, 31, 100, 7), minute("2026-11-21T11:59:00Z", 1, 1, 1, 1, 1, 1)}
	candles := AddTrades(known, []Trade{trade(8, 33, 5, "2026-11-21T12:00:59.9Z"), trade(9, 28, 1, "2026-11-21T12:01:00Z"), trade(10, 36, 2, "2026-11-21T12:00:59Z")})
	want := []Candle{
		minute("2026-11-21T12:00:00Z", 30, 36, 29, 36, 107, 9), minute("2026-11-21T12:01:00Z", 28, 28, 28, 28, 1, 1),
	}
	for _, interval := range Intervals[1:] {
		c := minute(interval.Start(at("2026-11-21T12:00:00Z")).Format(time.RFC3339), 33, 36, 28, 36, 8, 3)
		c.Interval = interval
		want = append(want, c)
	}
	if !slices.Equal(candles, want) {
		t.Errorf("%+v\nwant\n%+v", candles, want)
	}
	if known[0].Trades != 7 || len(AddTrades(known, nil)) != 0 {
		t.Error("what was known has changed, or changes without a trade")
	}
	if full := AddTrades([]Candle{minute("2026-11-21T12:00:00Z", 1, 1, 1, 1, math.MaxInt64, 1)}, []Trade{trade(1, 1, 1, "2026-11-21T12:00:00Z")}); full[0].Volume != math.MaxInt64 {
		t.Errorf("a volume of %d", full[0].Volume)
	}
}

// However the trades come in rounds, the candles are the same.
func TestCandlesOfRounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var trades []Trade
		for n := range rapid.IntRange(1, 40).Draw(t, "trades") {
			trades = append(trades, Trade{Symbol: "TCB", Number: int64(n) + 1, Price: money.Amount(rapid.Int64Range(1, 50).Draw(t, "price")), Quantity: rapid.Int64Range(1, 9).Draw(t, "quantity"),
				At: noon.Add(time.Duration(rapid.Int64Range(-4000, 4000).Draw(t, "at")) * time.Second)})
		}
		cut := rapid.IntRange(0, len(trades)).Draw(t, "cut")
		first := AddTrades(nil, trades[:cut])
		all := map[CandleKey]Candle{}
		for _, c := range append(first, AddTrades(first, trades[cut:])...) {
			all[c.Key()] = c
		}
		volume := int64(0)
		for _, c := range AddTrades(nil, trades) {
			if all[c.Key()] != c {
				t.Fatalf("%+v, want %+v", all[c.Key()], c)
			}
			if c.Interval == 86400 {
				volume += c.Volume
			}
			delete(all, c.Key())
		}
		for _, trade := range trades {
			volume -= trade.Quantity
		}
		if volume != 0 || len(all) != 0 {
			t.Fatalf("%d too much in a day's candles; %v", volume, all)
		}
	})
}
