-- +goose Up
-- name_key is the name as names are compared. A room may belong to an event or to a symbol, each of which has at most one.
CREATE TABLE rooms (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    name             VARCHAR(320) NOT NULL,
    name_key         VARCHAR(480) NOT NULL UNIQUE,
    topic            TEXT         NOT NULL,
    event_id         BINARY(16)   NULL UNIQUE,
    symbol           VARCHAR(12)  NULL UNIQUE,
    opened_by        BINARY(16)   NULL,
    opened_at_us     BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL
);
CREATE INDEX rooms_by_time ON rooms (opened_at_us, id);
INSERT INTO rooms (id, name, name_key, topic, opened_at_us, lamport) VALUES (X'6C6F6262790000000000000000000000', 'Lobby', 'lobby', 'Where everybody meets', 0, 0);

-- Who is in a room. lamport is the stamp of entering; again_lamport, of when somebody who was in the room said again that they enter.
CREATE TABLE room_members (
    room_id          BINARY(16)   NOT NULL,
    user_id          BINARY(16)   NOT NULL,
    username         VARCHAR(64)  NOT NULL,
    entered_at_us    BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL,
    again_lamport    BIGINT       NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX room_members_by_name ON room_members (room_id, username);
CREATE INDEX room_members_by_user ON room_members (user_id);

-- Who may not speak in a room until when, and who may not be there at all.
CREATE TABLE room_restrictions (
    room_id          BINARY(16)   NOT NULL,
    user_id          BINARY(16)   NOT NULL,
    muted_until_us   BIGINT       NOT NULL DEFAULT 0,
    banned           BOOLEAN      NOT NULL DEFAULT FALSE,
    lamport          BIGINT       NOT NULL,
    PRIMARY KEY (room_id, user_id)
);

-- What was said. Messages are given their sequence and log_offset in Redis; rows follow, in the order of their offsets. A message's id is made of its offset and time.
CREATE TABLE messages (
    log_offset       BIGINT       NOT NULL PRIMARY KEY,
    room_id          BINARY(16)   NOT NULL,
    sequence         BIGINT       NOT NULL,
    user_id          BINARY(16)   NOT NULL,
    username         VARCHAR(64)  NOT NULL,
    text             TEXT         NOT NULL,
    at_us            BIGINT       NOT NULL,
    edited_at_us     BIGINT       NOT NULL DEFAULT 0,
    deleted_at_us    BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL,
    UNIQUE (room_id, sequence)
);

-- How far the table has followed the log: all messages with an offset up to here are rows.
CREATE TABLE message_log (
    id               INT          NOT NULL PRIMARY KEY,
    stored_offset    BIGINT       NOT NULL
);
INSERT INTO message_log (id, stored_offset) VALUES (1, 0);

-- name_key is the name as names are compared; content names what the storage has.
CREATE TABLE files (
    room_id          BINARY(16)   NOT NULL,
    name_key         VARCHAR(400) NOT NULL,
    id               BINARY(16)   NOT NULL,
    name             VARCHAR(320) NOT NULL,
    content          BINARY(16)   NOT NULL UNIQUE,
    size             BIGINT       NOT NULL,
    content_type     VARCHAR(128) NOT NULL,
    sha256           BINARY(32)   NOT NULL,
    user_id          BINARY(16)   NOT NULL,
    username         VARCHAR(64)  NOT NULL,
    at_us            BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL,
    PRIMARY KEY (room_id, name_key)
);
CREATE UNIQUE INDEX files_of_room ON files (room_id, id);

-- How many bytes of files each user has, of the quota.
CREATE TABLE file_usage (
    user_id          BINARY(16)   NOT NULL PRIMARY KEY,
    bytes            BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL
);

-- moves are pairs of letters, row and column, a to o.
CREATE TABLE games (
    id               BINARY(16)   NOT NULL PRIMARY KEY,
    room_id          BINARY(16)   NOT NULL,
    status           VARCHAR(12)  NOT NULL,
    black_id         BINARY(16)   NOT NULL,
    black            VARCHAR(64)  NOT NULL,
    white_id         BINARY(16)   NULL,
    white            VARCHAR(64)  NULL,
    moves            VARCHAR(450) NOT NULL,
    winner_id        BINARY(16)   NULL,
    reason           VARCHAR(16)  NULL,
    move_seconds     INT          NOT NULL,
    deadline_us      BIGINT       NOT NULL DEFAULT 0,
    invited_at_us    BIGINT       NOT NULL,
    ended_at_us      BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL
);
CREATE INDEX games_of_room ON games (room_id, id);
CREATE INDEX games_waiting ON games (room_id, black_id, status);
CREATE INDEX games_due ON games (status, deadline_us);

CREATE TABLE game_records (
    user_id          BINARY(16)   NOT NULL PRIMARY KEY,
    won              BIGINT       NOT NULL DEFAULT 0,
    lost             BIGINT       NOT NULL DEFAULT 0,
    drawn            BIGINT       NOT NULL DEFAULT 0,
    lamport          BIGINT       NOT NULL
);

-- sequence is 1, 2, 3 ... in the order of the commits; times ascend with it.
CREATE TABLE announcements (
    sequence         BIGINT       NOT NULL PRIMARY KEY,
    id               BINARY(16)   NOT NULL UNIQUE,
    text             TEXT         NOT NULL,
    username         VARCHAR(64)  NOT NULL,
    at_us            BIGINT       NOT NULL,
    lamport          BIGINT       NOT NULL
);
CREATE INDEX announcements_by_time ON announcements (at_us, sequence);

-- The sequence of the last announcement. Who begins or ends a session has it locked for sharing, who announces for update: so each announcement comes before or after.
CREATE TABLE announcement_head (
    id               INT          NOT NULL PRIMARY KEY,
    last             BIGINT       NOT NULL,
    at_us            BIGINT       NOT NULL
);
INSERT INTO announcement_head (id, last, at_us) VALUES (1, 0, 0);

-- Announcements up to this sequence were told while a session lived, or have become notices, or were made before the user registered.
ALTER TABLE users ADD COLUMN announced_until BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE users DROP COLUMN announced_until;
DROP TABLE announcement_head;
DROP TABLE announcements;
DROP TABLE game_records;
DROP TABLE games;
DROP TABLE file_usage;
DROP TABLE files;
DROP TABLE message_log;
DROP TABLE messages;
DROP TABLE room_restrictions;
DROP TABLE room_members;
DROP TABLE rooms;
