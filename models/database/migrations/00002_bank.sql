-- +goose Up
-- Amounts are minor units. Accounts without a user are the house's own, such as cash.
CREATE TABLE accounts (
    number           VARCHAR(34)  NOT NULL PRIMARY KEY,
    user_id          BINARY(16)   NULL,
    balance          BIGINT       NOT NULL DEFAULT 0,
    held             BIGINT       NOT NULL DEFAULT 0,
    postings         BIGINT       NOT NULL DEFAULT 0,
    last_posting_us  BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL,
    opened_lamport   BIGINT       NOT NULL,
    opened_at_us     BIGINT       NOT NULL
);
CREATE INDEX accounts_by_user ON accounts (user_id);
INSERT INTO accounts (number, lamport, opened_lamport, opened_at_us) VALUES ('cash', 0, 0, 0);

-- A journal entry of the ledger: the part-th that its operation made. Its postings sum to zero.
CREATE TABLE entries (
    operation_id     BINARY(16)   NOT NULL,
    part             INT          NOT NULL,
    kind             VARCHAR(32)  NOT NULL,
    reference        VARCHAR(140) NULL,
    lamport          BIGINT       NOT NULL,
    at_us            BIGINT       NOT NULL,
    PRIMARY KEY (operation_id, part)
);

-- Keyed so that a statement is one range, and the balance as of a time one look-up: within an account at_us never goes back.
CREATE TABLE postings (
    account          VARCHAR(34)  NOT NULL,
    at_us            BIGINT       NOT NULL,
    sequence         BIGINT       NOT NULL,
    operation_id     BINARY(16)   NOT NULL,
    part             INT          NOT NULL,
    amount           BIGINT       NOT NULL,
    balance_after    BIGINT       NOT NULL,
    counterparty     VARCHAR(34)  NOT NULL,
    PRIMARY KEY (account, at_us, sequence)
);

-- Money set aside: authorised, then captured in one or more parts, or released.
CREATE TABLE holds (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    account          VARCHAR(34)  NOT NULL,
    amount           BIGINT       NOT NULL,
    remaining        BIGINT       NOT NULL,
    operation_id     BINARY(16)   NOT NULL,
    lamport          BIGINT       NOT NULL
);
CREATE INDEX holds_by_account ON holds (account);

-- +goose Down
DROP TABLE holds;
DROP TABLE postings;
DROP TABLE entries;
DROP TABLE accounts;
