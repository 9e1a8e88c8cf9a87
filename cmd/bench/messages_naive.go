package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// naiveChatRun and numberedChatRun name the rows of the baselines of messages, which figures look up.
const (
	naiveChatRun    = "naive chat, one INSERT a request"
	numberedChatRun = "naive chat, one INSERT a request, with the room's next sequence"
)

// naiveChat measures the chat that one would write first, under the same load by the same clients: it has no sessions, no feed and no history to
// pay for. Its messages have the order in which their transactions happened to get a number, and holes; or, if numbered, what guichet's have: the room's next sequence.
type naiveChat struct{ numbered bool }

func (n naiveChat) name() string {
	if n.numbered {
		return "numbered-chat"
	}
	return "naive-chat"
}

// naiveChatTunings are those that are tried: the more connections, the more commits share a write to the disk.
var naiveChatTunings = []tuning{{8, false}, {16, false}, {32, false}, {64, false}, {128, false}, {256, false}, {32, true}, {64, true}}

// numberedChatTunings: with more connections, more of them want the same number, and with eight somebody never gets one.
var numberedChatTunings = []tuning{{1, false}, {2, false}, {4, false}, {1, true}, {2, true}, {4, true}}

func (n naiveChat) run(ctx context.Context, l *lab) error {
	r := rival{what: n.name(), database: "bench_naive_chat", tunings: naiveChatTunings, drive: n.drive}
	if n.numbered {
		r.tunings = numberedChatTunings
	}
	return r.measure(ctx, l, crowds(l.clients))
}

func (n naiveChat) drive(ctx context.Context, a attempt) (line row, err error) {
	books, err := openNaiveBooks(a.dsn, 1, false)
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	if err := errors.Join(books.db.Migrator().DropTable(&naiveMessage{}), books.db.AutoMigrate(&naiveMessage{})); err != nil {
		return line, err
	}
	run, flag := naiveChatRun, "-chat"
	if n.numbered {
		run, flag = numberedChatRun, "-numbered-chat"
		if err := books.db.Exec("CREATE UNIQUE INDEX by_sequence ON naive_messages (room, sequence)").Error; err != nil {
			return line, err
		}
	}
	said := &talk{}
	m, err := a.drive(ctx, "naive-chat", []string{flag}, said.judge, func(s *baselineServer) ([]*client, error) {
		return connectClients(ctx, s.address, a.clients, func(i int) *client {
			return said.client(newPen(s.address, accountHeader+": "+accountNumber(i)))
		})
	})
	if err != nil {
		return line, err
	}
	var rows int64
	if err := books.db.Model(&naiveMessage{}).Count(&rows).Error; err != nil {
		return line, err
	}
	if rows != said.said.Load() {
		return line, fmt.Errorf("naive chat does not hold: %d rows of %d messages", rows, said.said.Load())
	}
	if n.numbered {
		var last int64
		if err := books.db.Model(&naiveMessage{}).Select("COALESCE(MAX(sequence), 0)").Scan(&last).Error; err != nil || last != rows {
			return line, errors.Join(err, fmt.Errorf("naive chat does not hold: the last of %d messages is number %d", rows, last))
		}
	}
	return a.row(run, oneRoom, m), nil
}

// naiveMessage is a row of the naive chat.
type naiveMessage struct {
	ID       int64  `gorm:"primaryKey"`
	Room     string `gorm:"size:32"`
	Sequence *int64
	UserID   int64
	Text     string `gorm:"type:text"`
	At       time.Time
}

// naiveChatHandler stores each message in a transaction of its own.
type naiveChatHandler struct {
	books    *naiveBooks
	numbered bool
}

func (h naiveChatHandler) post(c echo.Context) error {
	var body struct {
		Text string `json:"text"`
	}
	if err := c.Bind(&body); err != nil {
		return err
	}
	user, err := strconv.ParseInt(c.Request().Header.Get(accountHeader), 10, 64)
	if err != nil || body.Text == "" || len(body.Text) > 16_000 {
		return echo.NewHTTPError(http.StatusUnprocessableEntity, "not a message")
	}
	m := naiveMessage{Room: "lobby", UserID: user, Text: body.Text, At: time.Now().UTC()}
	db := h.books.db.WithContext(c.Request().Context())
	if h.numbered {
		err = insertNumbered(db, &m)
	} else {
		err = db.Create(&m).Error
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{"id": m.ID, "room": m.Room, "sequence": m.Sequence, "user": m.UserID, "text": m.Text, "at": m.At})
}
