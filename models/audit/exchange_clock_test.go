package audit

import (
	"testing"
	"time"

	"guichet/models/bank"
	"guichet/models/exchange"
)

// TestClocksOnTheWall: a lane is passed on to a process whose clock on the wall is behind, and back. Trades are then in candles that came before the last one.
func TestClocksOnTheWall(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		door, worker, slow := h.process(1), h.process(2), h.process(3)
		slow.slow = 26 * time.Hour
		door.open("ADA1")
		door.open("BOB1")
		door.list("TCB", 0, 1, 1, exchange.DefaultFeeBps)
		worker.execute(door.accept(bank.Lane, deposit("ADA1", 1000)))
		worker.execute(door.accept("exchange-0", issue("BOB1", "TCB", 100), limit("BOB1", exchange.Sell, "TCB", 100, 3)))
		for _, p := range []*process{slow, worker, slow, worker} {
			p.execute(door.accept("exchange-0", limit("ADA1", exchange.Buy, "TCB", 5, 3)))
		}
		expectHolds(t, h)
	})
}
