package exchange

import (
	"cmp"
	"math"
	"slices"
	"time"

	"guichet/models/money"
)

// Interval is the length of a candle, in seconds.
type Interval int64

// Intervals lists the lengths that are kept: 1m, 5m, 1h and 1d.
var Intervals = [...]Interval{60, 300, 3600, 86400}

var intervalNames = map[Interval]string{60: "1m", 300: "5m", 3600: "1h", 86400: "1d"}

func (i Interval) String() string { return intervalNames[i] }

// ParseInterval reads what String writes.
func ParseInterval(name string) (Interval, bool) {
	for interval, known := range intervalNames {
		if known == name {
			return interval, true
		}
	}
	return 0, false
}

// Start is when the candle begins that has t in it: a whole multiple of the interval since 1970, UTC.
func (i Interval) Start(t time.Time) time.Time {
	seconds := t.Unix()
	into := seconds % int64(i)
	if into < 0 {
		into += int64(i)
	}
	return time.Unix(seconds-into, 0).UTC()
}

// Candle is the trades of a symbol in one interval.
type Candle struct {
	Symbol   string
	Interval Interval
	Start    time.Time
	Open     money.Amount // of the first trade
	High     money.Amount
	Low      money.Amount
	Close    money.Amount // of the last trade
	Volume   int64        // shares; it stays at the highest that 64 bits have
	Trades   int64
}

// CandleKey names a candle of a symbol.
type CandleKey struct {
	Interval Interval
	Start    int64 // seconds since 1970
}

// Key names the candle.
func (c *Candle) Key() CandleKey { return CandleKey{c.Interval, c.Start.Unix()} }

// CandleKeys lists the candles that a trade at the given time is in, one for each interval.
func CandleKeys(at time.Time) []CandleKey {
	keys := make([]CandleKey, len(Intervals))
	for i, interval := range Intervals {
		keys[i] = CandleKey{interval, interval.Start(at).Unix()}
	}
	return keys
}

// AddTrades returns the candles that the trades of one symbol, in the order of their numbers, change: as known says that they were before, or new.
// They come by interval and start.
func AddTrades(known []Candle, trades []Trade) []Candle {
	before := make(map[CandleKey]*Candle, len(known))
	for i := range known {
		before[known[i].Key()] = &known[i]
	}
	changed := map[CandleKey]*Candle{}
	for i := range trades {
		for _, key := range CandleKeys(trades[i].At) {
			c := changed[key]
			if c == nil {
				c = candleAt(before[key], &trades[i], key)
				changed[key] = c
			}
			c.add(&trades[i])
		}
	}
	candles := make([]Candle, 0, len(changed))
	for _, c := range changed {
		candles = append(candles, *c)
	}
	slices.SortFunc(candles, func(a, b Candle) int {
		return cmp.Or(cmp.Compare(a.Interval, b.Interval), a.Start.Compare(b.Start))
	})
	return candles
}

func candleAt(before *Candle, first *Trade, key CandleKey) *Candle {
	if before != nil {
		c := *before
		return &c
	}
	return &Candle{Symbol: first.Symbol, Interval: key.Interval, Start: time.Unix(key.Start, 0).UTC(), Open: first.Price, High: first.Price, Low: first.Price}
}

func (c *Candle) add(t *Trade) {
	c.High, c.Low, c.Close = max(c.High, t.Price), min(c.Low, t.Price), t.Price
	if c.Volume += t.Quantity; c.Volume < 0 {
		c.Volume = math.MaxInt64
	}
	c.Trades++
}
