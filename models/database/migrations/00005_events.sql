-- +goose Up
-- sections are JSON, and never change. Without a waiting room its rate is 0.
CREATE TABLE events (
    id                     BINARY(16)   NOT NULL PRIMARY KEY,
    name                   VARCHAR(480) NOT NULL,
    starts_at_us           BIGINT       NOT NULL,
    sections               MEDIUMTEXT   NOT NULL,
    max_per_user           INT          NOT NULL,
    waiting_rate           INT          NOT NULL DEFAULT 0,
    waiting_window_seconds INT          NOT NULL DEFAULT 0,
    lamport                BIGINT       NOT NULL
);
CREATE INDEX events_by_start ON events (starts_at_us, id);

-- Reservations are made in Redis; a row follows. seats are their numbers in the hall, in the order of the reservation, with commas between them.
CREATE TABLE reservations (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    event_id         BINARY(16)   NOT NULL,
    user_id          BINARY(16)   NOT NULL,
    account          VARCHAR(34)  NOT NULL,
    seats            TEXT         NOT NULL,
    total            BIGINT       NOT NULL,
    status           VARCHAR(12)  NOT NULL,
    reserved_at_us   BIGINT       NOT NULL,
    expires_at_us    BIGINT       NOT NULL,
    paid_by          BINARY(16)   NULL,
    refunded_by      BINARY(16)   NULL,
    lamport          BIGINT       NOT NULL
);
CREATE INDEX reservations_by_user ON reservations (user_id, id);
-- What is held of an event is a short range: Redis is made anew from it, and compared with it.
CREATE INDEX reservations_of_event ON reservations (event_id, status);

-- Whatever Redis says, the key has no seat sold twice.
CREATE TABLE sold_seats (
    event_id         BINARY(16)   NOT NULL,
    seat             INT          NOT NULL,
    reservation_id   BINARY(16)   NOT NULL,
    PRIMARY KEY (event_id, seat)
);

CREATE TABLE tickets (
    reservation_id   BINARY(16)   NOT NULL,
    seat             INT          NOT NULL,
    event_id         BINARY(16)   NOT NULL,
    user_id          BINARY(16)   NOT NULL,
    status           VARCHAR(12)  NOT NULL,
    used_at_us       BIGINT       NOT NULL DEFAULT 0,
    used_where       VARCHAR(320) NULL,
    lamport          BIGINT       NOT NULL,
    PRIMARY KEY (reservation_id, seat)
);
CREATE INDEX tickets_by_user ON tickets (user_id, reservation_id, seat);

INSERT INTO accounts (number, lamport, opened_lamport, opened_at_us) VALUES ('events', 0, 0, 0);

-- +goose Down
DELETE FROM accounts WHERE number = 'events';
DROP TABLE tickets;
DROP TABLE sold_seats;
DROP TABLE reservations;
DROP TABLE events;
