package audit

import (
	"time"

	"guichet/models/database"
	"guichet/models/exchange"
	"guichet/models/operation"
)

// meet compares what is recorded in the place of a digest with it. A digest that was met is 0.
func meet(digests []uint64, at int64, recorded uint64) bool {
	if at < 0 || at >= int64(len(digests)) || digests[at] != recorded {
		return false
	}
	digests[at] = 0
	return true
}

func (x *exchangeReplayer) compareTrades(tx database.Tx, c *Check) error {
	for t, err := range trades(tx) {
		if err != nil {
			return err
		}
		t.At = operation.FromMicro(t.atUs)
		if again := x.tapes[t.Symbol]; again == nil || !meet(again.trades, t.Number-1, digestTrade(&t.Trade)) {
			c.find("trade %s of %d at %d is not recorded as it was replayed", t.ID(), t.Quantity, t.Price)
		}
	}
	for _, name := range x.names() {
		for i, digest := range x.tapes[name].trades {
			if digest != 0 {
				c.find("trade %s-%d was replayed, and is not recorded so", name, i+1)
			}
		}
	}
	return nil
}

func (x *exchangeReplayer) compareFills(tx database.Tx, c *Check) error {
	for f, err := range fills(tx) {
		if err != nil {
			return err
		}
		f.At = operation.FromMicro(f.atUs)
		at := 2 * (f.Number - 1)
		if f.Liquidity == exchange.Maker {
			at++
		}
		if again := x.tapes[f.Symbol]; again == nil || !meet(again.fills, at, digestFill(&f.Fill)) {
			c.find("fill %s of order %s, %d at %d, is not recorded as it was replayed", f.ID(), f.OrderID, f.Quantity, f.Price)
		}
	}
	for _, name := range x.names() {
		for i, digest := range x.tapes[name].fills {
			if digest != 0 {
				c.find("a fill of trade %s-%d was replayed, and is not recorded so", name, i/2+1)
			}
		}
	}
	return nil
}

func (x *exchangeReplayer) compareLevels(tx database.Tx, c *Check) error {
	again := map[levelKey]exchange.Level{}
	for name, t := range x.tapes {
		for _, side := range [...]exchange.Side{exchange.Buy, exchange.Sell} {
			for _, l := range t.Levels(side, t.Len()) {
				again[levelKey{name, side, l.Price}] = l
			}
		}
	}
	return compareLevels(tx, c, again, "replayed")
}

func (x *exchangeReplayer) compareCandles(tx database.Tx, c *Check) error {
	for recorded, err := range candles(tx) {
		if err != nil {
			return err
		}
		recorded.Start = time.UnixMicro(recorded.startUs).UTC()
		var again exchange.Candle
		if t := x.tapes[recorded.Symbol]; t != nil {
			again = t.candles[recorded.Key()]
			delete(t.candles, recorded.Key())
		}
		if recorded.Candle != again {
			c.find("the candle of %s is %+v; replayed, it is %+v", recorded.Symbol, recorded.Candle, again)
		}
	}
	for _, name := range x.names() {
		for _, candle := range x.tapes[name].candles {
			c.find("the candle of %s is not recorded; replayed, it is %+v", name, candle)
		}
	}
	return nil
}
