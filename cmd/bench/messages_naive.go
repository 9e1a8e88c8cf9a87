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

// naiveChatRun names the rows of the baseline of messages, which figures look up.
const naiveChatRun = "naive chat, one INSERT a request"

// naiveChat measures the chat that one would write first, on the same MariaDB, under the same load by the same clients: it has no sessions, no sequence, no feed
// and no history to pay for. As with the other naive handlers, pool sizes and both ways of sending parameters are tried first and the best is kept.
type naiveChat struct{}

func (naiveChat) name() string { return "naive-chat" }

// naiveChatTunings are those that are tried: the more connections, the more commits share a write to the disk.
var naiveChatTunings = []tuning{{8, false}, {16, false}, {32, false}, {64, false}, {128, false}, {256, false}, {32, true}, {64, true}}

func (n naiveChat) run(ctx context.Context, l *lab) error {
	servers, err := l.real(ctx)
	if err != nil {
		return err
	}
	dsn, err := servers.createDatabase(ctx, "bench_naive_chat")
	if err != nil {
		return err
	}
	best, err := n.tune(ctx, l, dsn)
	if err != nil {
		return err
	}
	for _, clients := range crowds(l.clients) {
		m, err := n.drive(ctx, l, dsn, best, clients, l.duration)
		if err != nil {
			return fmt.Errorf("%d clients: %w", clients, err)
		}
		l.report.add(row{
			run: naiveChatRun, clients: clients, pattern: oneRoom, accepted: m.acceptedRate(), applied: m.appliedRate(), latency: m.latency,
			remarks: best.String() + "; " + cpuPerRequest(m.cpu, total(m.applied)),
		})
	}
	return nil
}

// tune returns the tuning with the highest rate in short runs.
func (n naiveChat) tune(ctx context.Context, l *lab, dsn string) (best tuning, err error) {
	window := min(2*time.Second, l.duration)
	var highest float64
	for _, t := range naiveChatTunings {
		for _, clients := range crowds(l.clients) {
			m, err := n.drive(ctx, l, dsn, t, clients, window)
			if err != nil {
				return best, fmt.Errorf("%v, %d clients: %w", t, clients, err)
			}
			progress("  naive chat, %v, %d clients: %s/s", t, clients, kilo(m.appliedRate()))
			if m.appliedRate() > highest {
				highest, best = m.appliedRate(), t
			}
		}
	}
	return best, nil
}

// drive runs one load on a fresh table and counts its rows afterwards.
func (naiveChat) drive(ctx context.Context, l *lab, dsn string, t tuning, n int, window time.Duration) (m measurement, err error) {
	books, err := openNaiveBooks(dsn, 1, false)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, books.close()) }()
	if err := errors.Join(books.db.Migrator().DropTable(&naiveMessage{}), books.db.AutoMigrate(&naiveMessage{})); err != nil {
		return m, err
	}
	server, err := startBaseline(ctx, l, "naive-chat", "-chat", "-dsn", dsn, "-pool", strconv.Itoa(t.pool), "-prepared="+strconv.FormatBool(t.prepared))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, server.process.stop()) }()
	said := &talk{}
	clients, err := connectClients(ctx, server.address, n, func(i int) *client {
		return said.client(newPen(server.address, accountHeader+": "+accountNumber(i)))
	})
	if err != nil {
		return m, err
	}
	defer closeAll(clients)
	m, err = load{
		clients: clients, judge: said.judge, warmup: min(l.warmup(), window), window: window,
		watch: []*process{server.process, l.servers.mariadb, l.generator()},
	}.drive(ctx)
	if err != nil {
		return m, err
	}
	var rows int64
	if err := books.db.Model(&naiveMessage{}).Count(&rows).Error; err != nil {
		return m, err
	}
	if rows != said.said.Load() {
		return m, fmt.Errorf("naive chat does not hold: %d rows of %d messages", rows, said.said.Load())
	}
	return m, nil
}

// naiveMessage is a row of the naive chat.
type naiveMessage struct {
	ID     int64  `gorm:"primaryKey"`
	Room   string `gorm:"size:32"`
	UserID int64
	Text   string `gorm:"type:text"`
	At     time.Time
}

// naiveChatHandler stores each message in a transaction of its own.
type naiveChatHandler struct{ books *naiveBooks }

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
	if err := h.books.db.WithContext(c.Request().Context()).Create(&m).Error; err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{"id": m.ID, "room": m.Room, "user": m.UserID, "text": m.Text, "at": m.At})
}
