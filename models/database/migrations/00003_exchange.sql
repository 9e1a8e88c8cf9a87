-- +goose Up
-- Prices and fees are minor units, quantities are shares. sequence is that of the last book.changed, trades the number of the last trade, issued what the
-- holdings sum to.
CREATE TABLE symbols (
    symbol           VARCHAR(12)  NOT NULL PRIMARY KEY,
    name             VARCHAR(80)  NOT NULL,
    tick             BIGINT       NOT NULL,
    lot              BIGINT       NOT NULL,
    fee_bps          INT          NOT NULL,
    lane             VARCHAR(32)  NOT NULL,
    halted           BOOLEAN      NOT NULL DEFAULT FALSE,
    sequence         BIGINT       NOT NULL DEFAULT 0,
    trades           BIGINT       NOT NULL DEFAULT 0,
    issued           BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL,
    listed_lamport   BIGINT       NOT NULL,
    listed_at_us     BIGINT       NOT NULL
);

-- Trading was halted or resumed, beside the queue: operations with a greater stamp have seen it.
CREATE TABLE symbol_halts (
    symbol           VARCHAR(12)  NOT NULL,
    lamport          BIGINT       NOT NULL,
    halted           BOOLEAN      NOT NULL,
    at_us            BIGINT       NOT NULL,
    PRIMARY KEY (symbol, lamport)
);

-- The id is that of the operation; priority is the place in the line of its price: orders of a symbol are matched in the order of their priorities.
-- price is 0 for market orders; completed_at_us is 0 while the order is open.
CREATE TABLE orders (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    user_id          BINARY(16)   NOT NULL,
    account          VARCHAR(34)  NOT NULL,
    client_order_id  VARCHAR(64)  NULL,
    symbol           VARCHAR(12)  NOT NULL,
    side             VARCHAR(4)   NOT NULL,
    type             VARCHAR(8)   NOT NULL,
    time_in_force    VARCHAR(4)   NOT NULL,
    post_only        BOOLEAN      NOT NULL,
    quantity         BIGINT       NOT NULL,
    filled           BIGINT       NOT NULL,
    price            BIGINT       NOT NULL,
    status           VARCHAR(12)  NOT NULL,
    priority         BIGINT       NOT NULL,
    submitted_at_us  BIGINT       NOT NULL,
    completed_at_us  BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL
);
-- A user's orders of one state, newest first; without a state it is one range for each. The few open ones are found among any number of others.
CREATE INDEX orders_by_user ON orders (user_id, status, id);
-- The client's own ids: unique for ever, and looked up before an order is accepted. Any number of orders have none.
CREATE UNIQUE INDEX orders_by_client_id ON orders (user_id, client_order_id);
-- A book is rebuilt from one range, in the order in which it was built.
CREATE INDEX orders_of_book ON orders (symbol, status, priority);

-- held is what open sell orders offer.
CREATE TABLE holdings (
    account          VARCHAR(34)  NOT NULL,
    symbol           VARCHAR(12)  NOT NULL,
    quantity         BIGINT       NOT NULL,
    held             BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL,
    PRIMARY KEY (account, symbol)
);

-- Keyed so that the tape is one range. number is dense, from 1.
CREATE TABLE trades (
    symbol           VARCHAR(12)  NOT NULL,
    number           BIGINT       NOT NULL,
    price            BIGINT       NOT NULL,
    quantity         BIGINT       NOT NULL,
    taker_side       VARCHAR(4)   NOT NULL,
    maker_order      BINARY(16)   NOT NULL,
    taker_order      BINARY(16)   NOT NULL,
    at_us            BIGINT       NOT NULL,
    PRIMARY KEY (symbol, number)
);

-- Each side of a trade, keyed so that a user's fills are one range. Nobody trades with themselves, so a trade is one fill at most for a user.
CREATE TABLE fills (
    user_id          BINARY(16)   NOT NULL,
    at_us            BIGINT       NOT NULL,
    symbol           VARCHAR(12)  NOT NULL,
    number           BIGINT       NOT NULL,
    order_id         BINARY(16)   NOT NULL,
    side             VARCHAR(4)   NOT NULL,
    quantity         BIGINT       NOT NULL,
    price            BIGINT       NOT NULL,
    fee              BIGINT       NOT NULL,
    liquidity        VARCHAR(5)   NOT NULL,
    lamport          BIGINT       NOT NULL,
    PRIMARY KEY (user_id, at_us, symbol, number)
);
-- The fills of one order, which may lie far apart among those of its user.
CREATE INDEX fills_by_order ON fills (order_id);

-- What rests in the book at each price. A level whose orders are gone has no row.
CREATE TABLE book_levels (
    symbol           VARCHAR(12)  NOT NULL,
    side             VARCHAR(4)   NOT NULL,
    price            BIGINT       NOT NULL,
    quantity         BIGINT       NOT NULL,
    orders           BIGINT       NOT NULL,
    PRIMARY KEY (symbol, side, price)
);

-- interval_s is 60, 300, 3600 or 86400; start_us is a whole multiple of it.
CREATE TABLE candles (
    symbol           VARCHAR(12)  NOT NULL,
    interval_s       INT          NOT NULL,
    start_us         BIGINT       NOT NULL,
    open             BIGINT       NOT NULL,
    high             BIGINT       NOT NULL,
    low              BIGINT       NOT NULL,
    close            BIGINT       NOT NULL,
    volume           BIGINT       NOT NULL,
    trades           BIGINT       NOT NULL,
    PRIMARY KEY (symbol, interval_s, start_us)
);

-- +goose Down
DROP TABLE candles;
DROP TABLE book_levels;
DROP TABLE fills;
DROP TABLE trades;
DROP TABLE holdings;
DROP TABLE orders;
DROP TABLE symbol_halts;
DROP TABLE symbols;
