package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// prefill puts resting limit orders of the first people into the book of a symbol, by a few statements that the database makes a million rows of, as if their
// owners had placed them: with their operations and outcomes, with what is held for them, and with the book's levels, so that an audit replays them like all
// others. No worker may run meanwhile. The orders are where the middle of the mix never comes, on 20,000 levels.
func (s *realServers) prefill(ctx context.Context, database, symbol string, orders, people int) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	session := &snapshot{conn} // whose close ends what the statements leave behind
	for _, statement := range prefillStatements(database, symbol, orders, people) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("%.200s: %w", statement, err), session.close())
		}
	}
	return errors.Join(checkPrefilled(ctx, conn, symbol, orders), session.close())
}

// prefillStatements write the orders to a table of their own first: what is known of order n of seq_1_to_… (MariaDB's tables of numbers) goes from there
// into all others. Each is accepted and executed at stamps of its own, after everything before; ids are version 7, a thousand a millisecond.
func prefillStatements(database, symbol string, orders, people int) []string {
	return []string{
		"USE " + database,
		fmt.Sprintf(`SELECT lane, GREATEST((SELECT MAX(lamport) FROM lanes), (SELECT MAX(lamport) FROM accounts), (SELECT MAX(lamport) FROM symbols))
			INTO @lane, @stamp FROM symbols WHERE symbol = '%s'`, symbol),
		"SELECT sequence INTO @sequence FROM lanes WHERE name = @lane",
		fmt.Sprintf("SET @ms = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED) - %d", orders/1000+1),
		fmt.Sprintf(`CREATE TEMPORARY TABLE filling (n BIGINT NOT NULL PRIMARY KEY, id BINARY(16) NOT NULL, account VARCHAR(34) NOT NULL, user_id BINARY(16) NOT NULL, side VARCHAR(4) NOT NULL,
			price BIGINT NOT NULL, quantity BIGINT NOT NULL, lamport BIGINT NOT NULL, at_us BIGINT NOT NULL)
			SELECT seq AS n, UNHEX(CONCAT(LPAD(HEX((@ms + seq DIV 1000) * 65536 + 0x7000 + seq MOD 1000), 16, '0'), '8000000000000000')) AS id, number AS account, user_id,
			IF(seq MOD 2, 'buy', 'sell') AS side, IF(seq MOD 2, %[1]d - %[2]d - seq * 7919 MOD 10000, %[1]d + %[2]d + seq * 7919 MOD 10000) AS price, 1 + seq * 31 MOD %[3]d AS quantity,
			@stamp + 2 * seq AS lamport, (@ms + seq DIV 1000) * 1000 AS at_us
			FROM seq_1_to_%[4]d JOIN accounts ON number = CAST(%[5]d + 1 + seq DIV 2 MOD %[6]d AS CHAR) ORDER BY seq`,
			center, 2*band, largestQuantity, orders, int64(firstAccount), people),
		"START TRANSACTION",
		`INSERT INTO operations (id, user_id, lane, kind, payload, lamport, submitted_at_us) SELECT id, user_id, @lane, 'order', CONCAT('{"account":"', account, '","symbol":"` + symbol +
			`","side":"', side, '","type":"limit","time_in_force":"gtc","quantity":', quantity, ',"price":', price, '}'), lamport - 1, at_us FROM filling`,
		`INSERT INTO outcomes (operation_id, lane, sequence, status, lamport, started_at_us, finished_at_us) SELECT id, @lane, @sequence + n, 'succeeded', lamport, at_us, at_us FROM filling`,
		`INSERT INTO orders (id, user_id, account, symbol, side, type, time_in_force, post_only, quantity, filled, price, status, priority, submitted_at_us, lamport)
			SELECT id, user_id, account, '` + symbol + `', side, 'limit', 'gtc', FALSE, quantity, 0, price, 'open', lamport, at_us, lamport FROM filling`,
		`INSERT INTO holds (id, account, amount, remaining, operation_id, lamport) SELECT id, account, price * quantity, price * quantity, id, lamport FROM filling WHERE side = 'buy'`,
		`UPDATE accounts JOIN (SELECT account, SUM(IF(side = 'buy', price * quantity, 0)) AS more, MAX(lamport) AS last FROM filling GROUP BY account) AS f ON number = account
			SET held = held + more, lamport = last`,
		`UPDATE holdings JOIN (SELECT account, SUM(quantity) AS more, MAX(lamport) AS last FROM filling WHERE side = 'sell' GROUP BY account) AS f USING (account)
			SET held = held + more, lamport = last WHERE symbol = '` + symbol + `'`,
		`INSERT INTO book_levels (symbol, side, price, quantity, orders) SELECT '` + symbol + `', side, price, SUM(quantity), COUNT(*) FROM filling GROUP BY side, price`,
		fmt.Sprintf("UPDATE symbols SET lamport = @stamp + 2 * %d WHERE symbol = '%s'", orders, symbol),
		fmt.Sprintf("UPDATE lanes SET sequence = sequence + %[1]d, lamport = @stamp + 2 * %[1]d WHERE name = @lane", orders),
		"COMMIT",
	}
}

// checkPrefilled sees to it that the orders are there: a person who is missing would be no error of the statements.
func checkPrefilled(ctx context.Context, conn *sql.Conn, symbol string, orders int) error {
	var rows int
	if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM orders WHERE symbol = ? AND status = 'open'", symbol).Scan(&rows); err != nil {
		return err
	}
	if rows != orders {
		return fmt.Errorf("there are %d open orders, and not %d", rows, orders)
	}
	return nil
}
