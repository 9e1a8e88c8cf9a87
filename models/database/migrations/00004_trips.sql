-- +goose Up
-- stock is what there is in all: neither sold nor held are stock - sold - held.
CREATE TABLE trips (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    name             VARCHAR(480) NOT NULL,
    departs_at_us    BIGINT       NOT NULL,
    closed           BOOLEAN      NOT NULL DEFAULT FALSE,
    refund_bps       INT          NOT NULL,
    refund_minutes   INT          NOT NULL,
    lamport          BIGINT       NOT NULL,
    created_lamport  BIGINT       NOT NULL
);
CREATE INDEX trips_by_departure ON trips (departs_at_us, id);

CREATE TABLE trip_classes (
    trip_id          BINARY(16)   NOT NULL,
    name             VARCHAR(160) NOT NULL,
    ordinal          INT          NOT NULL,
    price            BIGINT       NOT NULL,
    stock            BIGINT       NOT NULL,
    sold             BIGINT       NOT NULL DEFAULT 0,
    held             BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL,
    PRIMARY KEY (trip_id, name)
);

-- What the admin made of a trip, beside the queue: operations with a greater stamp have seen it. definition is the trip with its classes after the change.
CREATE TABLE trip_changes (
    trip_id          BINARY(16)   NOT NULL,
    lamport          BIGINT       NOT NULL,
    definition       MEDIUMTEXT   NOT NULL,
    at_us            BIGINT       NOT NULL,
    PRIMARY KEY (trip_id, lamport)
);

-- The id is that of the operation. paid_by and refunded_by are the operations whose journal entries moved the money.
CREATE TABLE purchases (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    user_id          BINARY(16)   NOT NULL,
    account          VARCHAR(34)  NOT NULL,
    trip_id          BINARY(16)   NOT NULL,
    class            VARCHAR(160) NOT NULL,
    quantity         BIGINT       NOT NULL,
    price            BIGINT       NOT NULL,
    status           VARCHAR(12)  NOT NULL,
    expires_at_us    BIGINT       NOT NULL,
    created_at_us    BIGINT       NOT NULL,
    paid_by          BINARY(16)   NULL,
    refunded_by      BINARY(16)   NULL,
    refunded         BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL
);
CREATE INDEX purchases_by_user ON purchases (user_id, id);

-- The purchases that are held, by when they expire.
CREATE TABLE held_purchases (
    expires_at_us    BIGINT       NOT NULL,
    purchase_id      BINARY(16)   NOT NULL,
    PRIMARY KEY (expires_at_us, purchase_id)
);

INSERT INTO accounts (number, lamport, opened_lamport, opened_at_us) VALUES ('trips', 0, 0, 0);

-- What codes of tickets are signed with. Made once, at the first start.
CREATE TABLE ticket_key (
    id               INT          NOT NULL PRIMARY KEY,
    secret           BINARY(32)   NOT NULL
);

-- +goose Down
DROP TABLE ticket_key;
DELETE FROM accounts WHERE number = 'trips';
DROP TABLE held_purchases;
DROP TABLE purchases;
DROP TABLE trip_changes;
DROP TABLE trip_classes;
DROP TABLE trips;
