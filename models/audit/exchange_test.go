package audit

import (
	"slices"
	"testing"

	"guichet/models/id"
)

func TestExchangeHolds(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		h.trade()
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		expectChecked(t, report.Checks, map[string]int64{"entries_sum_to_zero": 13, "balances_equal_postings": 33, "held_equals_holds": 12, "one_outcome_each": 51, "lane_sequences_dense": 51,
			"fifo": 44, "parked_agree": 1, "lamport": 64, "replay": 51,
			"book_not_crossed": 2, "levels_equal_orders": 5, "holdings_equal_issues": 3, "held_shares_equal_orders": 6, "held_cash_equals_orders": 20, "trades_dense": 9,
			"two_fills_each": 9, "filled_equals_fills": 20, "fees_equal_fills": 3, "trades_equal_entries": 9})
	})
}

// TestExchangeFindings falsifies the tables of the exchange, one lie at a time, and expects just those checks to report it that can see it.
func TestExchangeFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		day := h.trade()
		expectFindings(t, h, slices.Concat(liesOfBooks(day), liesOfHoldings(day), liesOfTrades(day), liesOfOrders(day), liesOfSymbols(day), liesOfSettlement(day)))
	})
}

func liesOfBooks(day tradingDay) []lie {
	return []lie{
		{"the book is crossed, and all else agrees", "book_not_crossed replay", []statementOf{
			tell("UPDATE orders SET price = 36 WHERE id = ?", day.openBuy), tell("UPDATE book_levels SET price = 36 WHERE symbol = 'TCB' AND price = 30"),
			tell("UPDATE holds SET amount = 720, remaining = 648 WHERE id = ?", day.openBuy), tell("UPDATE accounts SET held = held + 108 WHERE number = 'ADA1'")}},
		{"a level has more", "levels_equal_orders replay", []statementOf{tell("UPDATE book_levels SET quantity = quantity + 1 WHERE symbol = 'TCB' AND price = 30")}},
		{"a level counts an order more", "levels_equal_orders replay", []statementOf{tell("UPDATE book_levels SET orders = orders + 1 WHERE symbol = 'TCB' AND price = 36")}},
		{"a level is gone", "levels_equal_orders replay", []statementOf{tell("DELETE FROM book_levels WHERE symbol = 'XYZ'")}},
		{"a level from nowhere", "levels_equal_orders replay", []statementOf{tell("INSERT INTO book_levels (symbol, side, price, quantity, orders) VALUES ('IDLE', 'buy', 1, 1, 1)")}},
		{"a level is on the other side", "levels_equal_orders replay", []statementOf{tell("UPDATE book_levels SET side = 'sell' WHERE symbol = 'TCB' AND price = 28")}},
		{"less is held for an order, and its account agrees", "held_cash_equals_orders replay", []statementOf{
			tell("UPDATE holds SET remaining = remaining - 1 WHERE id = ?", day.openBuy), tell("UPDATE accounts SET held = held - 1 WHERE number = 'ADA1'")}},
		{"another account's money is held for an order", "held_cash_equals_orders replay", []statementOf{tell("UPDATE holds SET account = 'BOB1' WHERE id = ?", day.openBuy),
			tell("UPDATE accounts SET held = held - 540 WHERE number = 'ADA1'"), tell("UPDATE accounts SET held = held + 540 WHERE number = 'BOB1'")}},
		{"something is held for an order that has ended", "held_cash_equals_orders replay", []statementOf{
			tell("UPDATE holds SET remaining = remaining + 1 WHERE id = ?", day.cancelled), tell("UPDATE accounts SET held = held + 1 WHERE number = 'ADA1'")}},
		{"the hold of an order is gone, and its account agrees", "held_cash_equals_orders replay", []statementOf{
			tell("DELETE FROM holds WHERE id = ?", day.openBuy), tell("UPDATE accounts SET held = held - 540 WHERE number = 'ADA1'")}},
		{"an order is worth more than there may be", "book_not_crossed levels_equal_orders held_cash_equals_orders replay", []statementOf{
			tell("UPDATE orders SET price = 1000000000000000 WHERE id = ?", day.openBuy)}},
	}
}

func liesOfHoldings(day tradingDay) []lie {
	return []lie{
		{"a holding is larger", "holdings_equal_issues replay", []statementOf{tell("UPDATE holdings SET quantity = quantity + 1 WHERE account = 'BOB1' AND symbol = 'TCB'")}},
		{"shares were made, and the symbol agrees", "replay", []statementOf{
			tell("UPDATE holdings SET quantity = quantity + 1 WHERE account = 'BOB1' AND symbol = 'TCB'"), tell("UPDATE symbols SET issued = issued + 1 WHERE symbol = 'TCB'")}},
		{"shares changed hands without a trade", "replay", []statementOf{tell("UPDATE holdings SET quantity = quantity + 1 WHERE account = 'BOB1' AND symbol = 'TCB'"),
			tell("UPDATE holdings SET quantity = quantity - 1 WHERE account = 'ADA1' AND symbol = 'TCB'")}},
		{"more shares were issued", "holdings_equal_issues replay", []statementOf{tell("UPDATE symbols SET issued = issued + 1 WHERE symbol = 'IDLE'")}},
		{"an issue was of more", "replay", []statementOf{tell(`UPDATE operations SET payload = '{"account":"BOB1","symbol":"TCB","quantity":101}' WHERE id = ?`, day.issued)}},
		{"more shares are held", "held_shares_equal_orders replay", []statementOf{tell("UPDATE holdings SET held = held + 1 WHERE account = 'EVE1' AND symbol = 'TCB'")}},
		{"more shares are held than there are", "holdings_equal_issues held_shares_equal_orders replay", []statementOf{
			tell("UPDATE holdings SET quantity = held - 1 WHERE account = 'EVE1' AND symbol = 'TCB'")}},
		{"a holding is gone", "holdings_equal_issues held_shares_equal_orders replay", []statementOf{tell("DELETE FROM holdings WHERE account = 'EVE1' AND symbol = 'TCB'")}},
		{"a holding from nowhere", "replay", []statementOf{tell("INSERT INTO holdings (account, symbol, quantity, held, lamport) VALUES ('ADA1', 'IDLE', 0, 0, 1)")}},
		{"shares of nothing that is listed", "holdings_equal_issues replay", []statementOf{tell("INSERT INTO holdings (account, symbol, quantity, held, lamport) VALUES ('ADA1', 'NONE', 1, 0, 1)")}},
		{"a holding's stamp is behind", "replay", []statementOf{tell("UPDATE holdings SET lamport = lamport - 1 WHERE account = 'EVE1' AND symbol = 'TCB'")}},
	}
}

func liesOfTrades(day tradingDay) []lie {
	return []lie{
		{"a trade is gone", "trades_dense two_fills_each trades_equal_entries replay", []statementOf{tell("DELETE FROM trades WHERE symbol = 'TCB' AND number = 2")}},
		{"the last trade is gone", "trades_dense two_fills_each trades_equal_entries replay", []statementOf{tell("DELETE FROM trades WHERE symbol = 'TCB' AND number = 6")}},
		{"a trade is renumbered", "trades_dense two_fills_each trades_equal_entries replay", []statementOf{tell("UPDATE trades SET number = 7 WHERE symbol = 'TCB' AND number = 6")}},
		{"a trade that nobody made", "trades_dense two_fills_each trades_equal_entries replay", []statementOf{
			tell("INSERT INTO trades SELECT 'IDLE', 1, price, quantity, taker_side, maker_order, taker_order, at_us FROM trades WHERE symbol = 'TCB' AND number = 1")}},
		{"a symbol counts a trade more", "trades_dense replay", []statementOf{tell("UPDATE symbols SET trades = trades + 1 WHERE symbol = 'TCB'")}},
		{"a trade is of more", "two_fills_each replay", []statementOf{tell("UPDATE trades SET quantity = quantity + 1 WHERE symbol = 'TCB' AND number = 1")}},
		{"a trade is at another price", "two_fills_each replay", []statementOf{tell("UPDATE trades SET price = price + 1 WHERE symbol = 'TCB' AND number = 1")}},
		{"a trade is of another time", "two_fills_each replay", []statementOf{tell("UPDATE trades SET at_us = at_us + 1 WHERE symbol = 'TCB' AND number = 1")}},
		{"a trade was the other way", "two_fills_each replay", []statementOf{tell("UPDATE trades SET taker_side = 'sell' WHERE symbol = 'TCB' AND number = 1")}},
		{"a trade is another maker's", "two_fills_each replay", []statementOf{tell("UPDATE trades SET maker_order = ? WHERE symbol = 'TCB' AND number = 1", day.openSell)}},
		{"a trade is another taker's", "two_fills_each trades_equal_entries replay", []statementOf{tell("UPDATE trades SET taker_order = ? WHERE symbol = 'TCB' AND number = 1", day.openBuy)}},
		{"a trade and its fills are at another price", "two_fills_each replay", []statementOf{
			tell("UPDATE trades SET price = 42 WHERE symbol = 'TCB' AND number = 1"), tell("UPDATE fills SET price = 42 WHERE symbol = 'TCB' AND number = 1")}},
		{"a buyer's fill is gone", "two_fills_each filled_equals_fills replay", []statementOf{tell("DELETE FROM fills WHERE order_id = ?", day.bought)}},
		{"a seller's fill is gone", "two_fills_each filled_equals_fills fees_equal_fills replay", []statementOf{tell("DELETE FROM fills WHERE order_id = ?", day.sold)}},
		{"a fill is of more", "two_fills_each filled_equals_fills replay", []statementOf{tell("UPDATE fills SET quantity = quantity + 1 WHERE order_id = ?", day.bought)}},
		{"a fill is another order's", "two_fills_each filled_equals_fills replay", []statementOf{tell("UPDATE fills SET order_id = ? WHERE order_id = ?", day.cancelled, day.bought)}},
		{"a fill is another user's", "filled_equals_fills replay", []statementOf{tell("UPDATE fills SET user_id = ? WHERE order_id = ?", day.sold, day.bought)}},
		{"a fill is an unknown order's", "two_fills_each filled_equals_fills replay", []statementOf{tell("UPDATE fills SET order_id = ? WHERE order_id = ?", day.refused, day.bought)}},
		{"a maker was a taker", "two_fills_each replay", []statementOf{tell("UPDATE fills SET liquidity = 'taker' WHERE order_id = ?", day.sold)}},
		{"a third fill, of nothing", "two_fills_each replay", []statementOf{tell(`INSERT INTO fills (user_id, at_us, symbol, number, order_id, side, quantity, price, fee, liquidity, lamport)
			SELECT user_id, at_us + 1, symbol, number, order_id, side, 0, price, 0, liquidity, lamport FROM fills WHERE order_id = ?`, day.bought)}},
		{"a fee is larger", "two_fills_each fees_equal_fills replay", []statementOf{tell("UPDATE fills SET fee = fee + 1 WHERE order_id = ?", day.sold)}},
		{"a buyer paid a fee", "two_fills_each fees_equal_fills replay", []statementOf{tell("UPDATE fills SET fee = 1 WHERE order_id = ?", day.bought)}},
		{"a fill bears another stamp", "replay", []statementOf{tell("UPDATE fills SET lamport = lamport + 1 WHERE order_id = ?", day.bought)}},
		{"a candle is gone", "replay", []statementOf{tell("DELETE FROM candles WHERE symbol = 'TCB' AND interval_s = 60")}},
		{"a candle from nowhere", "replay", []statementOf{tell("INSERT INTO candles (symbol, interval_s, start_us, open, high, low, close, volume, trades) VALUES ('IDLE', 60, 0, 1, 1, 1, 1, 1, 1)")}},
		{"a candle has more volume", "replay", []statementOf{tell("UPDATE candles SET volume = volume + 1 WHERE symbol = 'TCB' AND interval_s = 86400")}},
		{"a candle closed higher", "replay", []statementOf{tell("UPDATE candles SET close = close + 1 WHERE symbol = 'XYZ' AND interval_s = 300")}},
	}
}

func liesOfOrders(day tradingDay) []lie {
	return []lie{
		{"more of an open order is filled", "levels_equal_orders held_shares_equal_orders filled_equals_fills replay", []statementOf{tell("UPDATE orders SET filled = filled + 1 WHERE id = ?", day.openSell)}},
		{"less of an order is filled", "filled_equals_fills replay", []statementOf{tell("UPDATE orders SET filled = filled - 1 WHERE id = ?", day.bought)}},
		{"an order that is filled was cancelled", "filled_equals_fills replay", []statementOf{tell("UPDATE orders SET status = 'cancelled' WHERE id = ?", day.bought)}},
		{"an order that was cancelled is filled", "filled_equals_fills replay", []statementOf{tell("UPDATE orders SET status = 'filled' WHERE id = ?", day.cancelled)}},
		{"an order that was cancelled is open", "levels_equal_orders held_cash_equals_orders filled_equals_fills replay", []statementOf{tell("UPDATE orders SET status = 'open' WHERE id = ?", day.cancelled)}},
		{"an open order is in no known state", "levels_equal_orders held_shares_equal_orders filled_equals_fills replay", []statementOf{tell("UPDATE orders SET status = 'lost' WHERE id = ?", day.openSell)}},
		{"an open order has ended", "filled_equals_fills replay", []statementOf{tell("UPDATE orders SET completed_at_us = 1 WHERE id = ?", day.openSell)}},
		{"an order ended at another time", "replay", []statementOf{tell("UPDATE orders SET completed_at_us = completed_at_us + 1 WHERE id = ?", day.bought)}},
		{"an order was for less than was filled", "filled_equals_fills replay", []statementOf{tell("UPDATE orders SET quantity = filled - 1 WHERE id = ?", day.bought)}},
		{"an order is gone", "filled_equals_fills replay", []statementOf{tell("DELETE FROM orders WHERE id = ?", day.bought)}},
		{"an order without a fill is gone", "replay", []statementOf{tell("DELETE FROM orders WHERE id = ?", day.cancelled)}},
		{"an open order is gone", "levels_equal_orders held_shares_equal_orders filled_equals_fills replay", []statementOf{tell("DELETE FROM orders WHERE id = ?", day.openSell)}},
		{"an order that nobody placed", "replay", []statementOf{tell(`INSERT INTO orders (id, user_id, account, symbol, side, type, time_in_force, post_only, quantity, filled, price, status,
			priority, submitted_at_us, completed_at_us, lamport) SELECT ?, user_id, account, symbol, side, type, time_in_force, post_only, quantity, filled, price, status,
			priority, submitted_at_us, completed_at_us, lamport FROM orders WHERE id = ?`, id.NewGenerator().Next(), day.cancelled)}},
		{"an order is another user's", "filled_equals_fills replay", []statementOf{tell("UPDATE orders SET user_id = ? WHERE id = ?", day.sold, day.bought)}},
		{"an order has another client's id", "replay", []statementOf{tell("UPDATE orders SET client_order_id = 'a-2' WHERE id = ?", day.bought)}},
		{"an order came earlier", "replay", []statementOf{tell("UPDATE orders SET priority = priority - 1 WHERE id = ?", day.openSell)}},
		{"an order was submitted earlier", "replay", []statementOf{tell("UPDATE orders SET submitted_at_us = submitted_at_us - 1 WHERE id = ?", day.openSell)}},
		{"an order was in force for another time", "replay", []statementOf{tell("UPDATE orders SET time_in_force = 'ioc' WHERE id = ?", day.bought)}},
		{"an order was post-only", "replay", []statementOf{tell("UPDATE orders SET post_only = TRUE WHERE id = ?", day.openBuy)}},
		{"an order bears another stamp", "replay", []statementOf{tell("UPDATE orders SET lamport = lamport + 1 WHERE id = ?", day.cancelled)}},
		{"an order asked for more", "replay", []statementOf{
			tell(`UPDATE operations SET payload = '{"account":"ADA1","symbol":"TCB","side":"buy","type":"limit","time_in_force":"gtc","quantity":51,"price":32,"client_order_id":"a-1"}' WHERE id = ?`, day.bought)}},
		{"an order was placed by another", "replay", []statementOf{tell("UPDATE operations SET user_id = ? WHERE id = ?", day.sold, day.cancelled)}},
		{"a refusal is a success", "replay", []statementOf{tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", day.refused)}},
		{"a success is a refusal", "replay", []statementOf{tell("UPDATE outcomes SET status = 'rejected', problem = 'insufficient_funds\nno' WHERE operation_id = ?", day.openBuy)}},
		{"an order cannot be read", "replay", []statementOf{tell("UPDATE operations SET payload = '{}' WHERE id = ?", day.refused)}},
	}
}

func liesOfSymbols(day tradingDay) []lie {
	return []lie{
		{"trading was never halted", "replay", []statementOf{tell("DELETE FROM symbol_halts WHERE symbol = 'TCB'")}},
		{"trading was resumed earlier", "replay", []statementOf{
			tell("UPDATE symbol_halts SET lamport = (SELECT lamport FROM outcomes WHERE operation_id = ?) - 1 WHERE symbol = 'TCB' AND NOT halted", day.halted)}},
		{"trading is not halted", "replay", []statementOf{tell("UPDATE symbols SET halted = FALSE WHERE symbol = 'XYZ'")}},
		{"a symbol is of another lane", "replay", []statementOf{tell("UPDATE symbols SET lane = 'exchange-1' WHERE symbol = 'TCB'")}},
		{"a symbol was listed later", "replay", []statementOf{tell("UPDATE symbols SET listed_lamport = lamport WHERE symbol = 'TCB'")}},
		{"a symbol's stamp is behind", "replay", []statementOf{tell("UPDATE symbols SET lamport = lamport - 1 WHERE symbol = 'TCB'")}},
		{"a symbol has another tick", "replay", []statementOf{tell("UPDATE symbols SET tick = 2 WHERE symbol = 'TCB'")}},
		{"a symbol has another lot", "replay", []statementOf{tell("UPDATE symbols SET lot = 5 WHERE symbol = 'XYZ'")}},
		{"a symbol has another fee", "two_fills_each replay", []statementOf{tell("UPDATE symbols SET fee_bps = 1100 WHERE symbol = 'TCB'")}},
		{"a symbol is gone", "holdings_equal_issues trades_dense two_fills_each replay", []statementOf{tell("DELETE FROM symbols WHERE symbol = 'TCB'")}},
	}
}

func liesOfSettlement(day tradingDay) []lie {
	return []lie{
		{"a trade has no entry", "entries_sum_to_zero trades_equal_entries replay", []statementOf{tell("DELETE FROM entries WHERE operation_id = ?", day.bought)}},
		{"a trade has no entry at all", "entries_sum_to_zero trades_equal_entries replay", []statementOf{tell("DELETE FROM entries WHERE operation_id = ? AND part = 1", day.taker)}},
		{"an entry is of another trade", "trades_equal_entries replay", []statementOf{tell("UPDATE entries SET reference = 'TCB-99' WHERE operation_id = ?", day.bought)}},
		{"two entries are of one trade", "trades_equal_entries replay", []statementOf{tell("UPDATE entries SET reference = 'TCB-2' WHERE operation_id = ? AND part = 1", day.taker)}},
		{"an entry is of no trade", "trades_equal_entries replay", []statementOf{tell("UPDATE entries SET reference = NULL WHERE operation_id = ?", day.bought)}},
		{"a trade's entry is of another kind", "trades_equal_entries replay", []statementOf{tell("UPDATE entries SET kind = 'transfer' WHERE operation_id = ?", day.bought)}},
		{"an entry says it is a trade's", "trades_equal_entries replay", []statementOf{tell("UPDATE entries SET kind = 'trade', reference = 'TCB-1' WHERE kind = 'withdrawal'")}},
		{"there are more fees", "balances_equal_postings fees_equal_fills replay", []statementOf{tell("UPDATE accounts SET balance = balance + 1 WHERE number = 'fees-TCB'")}},
		{"the account for the fees is gone", "fees_equal_fills", []statementOf{tell("DELETE FROM accounts WHERE number = 'fees-IDLE'")}},
	}
}
