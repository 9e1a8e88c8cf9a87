-- +goose Up
-- Times are microseconds since 1970 (UTC), stamps are Lamport times, ids are 16 bytes (see models/id).

CREATE TABLE users (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    username         VARCHAR(64)  NOT NULL,
    username_key     VARCHAR(255) NOT NULL UNIQUE,
    password_hash    VARCHAR(255) NOT NULL,
    role             VARCHAR(16)  NOT NULL,
    wrong_passwords  INT          NOT NULL DEFAULT 0,
    locked_until_us  BIGINT       NOT NULL DEFAULT 0,
    created_at_us    BIGINT       NOT NULL
);

-- One live session per user: the user is the key.
CREATE TABLE sessions (
    user_id          BINARY(16)   NOT NULL PRIMARY KEY,
    id               BINARY(16)   NOT NULL,
    token_hash       BINARY(32)   NOT NULL UNIQUE,
    created_at_us    BIGINT       NOT NULL,
    last_seen_at_us  BIGINT       NOT NULL
);

CREATE TABLE feed_tickets (
    ticket_hash      BINARY(32)   NOT NULL PRIMARY KEY,
    user_id          BINARY(16)   NOT NULL,
    session_id       BINARY(16)   NOT NULL,
    expires_at_us    BIGINT       NOT NULL
);

CREATE TABLE notices (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    user_id          BINARY(16)   NOT NULL,
    kind             VARCHAR(32)  NOT NULL,
    text             TEXT         NOT NULL,
    data             MEDIUMTEXT   NOT NULL,
    at_us            BIGINT       NOT NULL,
    delivered_at_us  BIGINT       NOT NULL DEFAULT 0
);
CREATE INDEX notices_by_user ON notices (user_id, id);
CREATE INDEX notices_undelivered ON notices (user_id, delivered_at_us, id);

CREATE TABLE idempotency_keys (
    user_id          BINARY(16)   NOT NULL,
    key_hash         BINARY(32)   NOT NULL,
    request_hash     BINARY(32)   NOT NULL,
    operation_id     BINARY(16)   NULL,
    status           SMALLINT     NOT NULL DEFAULT 0,
    body             MEDIUMBLOB   NULL,
    created_at_us    BIGINT       NOT NULL,
    PRIMARY KEY (user_id, key_hash)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_us);

-- The journal of what was accepted. Rows are inserted before the 202 and never changed.
CREATE TABLE operations (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    user_id          BINARY(16)   NOT NULL,
    lane             VARCHAR(32)  NOT NULL,
    kind             VARCHAR(48)  NOT NULL,
    payload          MEDIUMTEXT   NOT NULL,
    lamport          BIGINT       NOT NULL,
    submitted_at_us  BIGINT       NOT NULL,
    traceparent      VARCHAR(64)  NOT NULL DEFAULT ''
);
CREATE INDEX operations_by_user ON operations (user_id, id);

-- What an intake wrote in one insert and no lane has executed yet: operations id+0 … id+count-1. Deleted by the commit that executes them.
CREATE TABLE journal_batches (
    lane             VARCHAR(32)  NOT NULL,
    id               BINARY(16)   NOT NULL,
    operations       INT          NOT NULL,
    PRIMARY KEY (lane, id)
);

-- What became of an operation: one row, inserted in the transaction that has the effect.
CREATE TABLE outcomes (
    operation_id     BINARY(16)   NOT NULL PRIMARY KEY,
    lane             VARCHAR(32)  NOT NULL,
    sequence         BIGINT       NOT NULL,
    status           VARCHAR(16)  NOT NULL,
    lamport          BIGINT       NOT NULL,
    started_at_us    BIGINT       NOT NULL,
    finished_at_us   BIGINT       NOT NULL,
    result           MEDIUMTEXT   NULL,
    problem          TEXT         NULL
);

-- Operations whose outcome was a fault: parked until an operator replays them.
CREATE TABLE parked_operations (
    operation_id     BINARY(16)   NOT NULL PRIMARY KEY,
    parked           BOOLEAN      NOT NULL,
    replays          INT          NOT NULL DEFAULT 0,
    cause            TEXT         NOT NULL,
    parked_at_us     BIGINT       NOT NULL
);

CREATE TABLE lanes (
    name             VARCHAR(32)  NOT NULL PRIMARY KEY,
    fence            BIGINT       NOT NULL DEFAULT 0,
    holder           VARCHAR(128) NOT NULL DEFAULT '',
    paused           BOOLEAN      NOT NULL DEFAULT FALSE,
    sequence         BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL DEFAULT 0
);

-- Feed entries have global, dense positions in the order of their commits: the head is locked last in each transaction that adds some.
CREATE TABLE feed_head (
    id               INT          NOT NULL PRIMARY KEY,
    position         BIGINT       NOT NULL
);
INSERT INTO feed_head (id, position) VALUES (1, 0);

-- operation_id stands in for data where the entry tells of an operation's outcome, which the journal has.
CREATE TABLE feed_entries (
    position         BIGINT       NOT NULL PRIMARY KEY,
    topic            VARCHAR(96)  NOT NULL,
    event            VARCHAR(32)  NOT NULL,
    at_us            BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL,
    operation_id     BINARY(16)   NULL,
    data             MEDIUMTEXT   NULL
);
CREATE INDEX feed_entries_by_topic ON feed_entries (topic, position);

-- +goose Down
DROP TABLE feed_entries;
DROP TABLE feed_head;
DROP TABLE lanes;
DROP TABLE parked_operations;
DROP TABLE outcomes;
DROP TABLE journal_batches;
DROP TABLE operations;
DROP TABLE idempotency_keys;
DROP TABLE notices;
DROP TABLE feed_tickets;
DROP TABLE sessions;
DROP TABLE users;
