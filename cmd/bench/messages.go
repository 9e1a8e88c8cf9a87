package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// messageRun names the rows of messages, which figures look up.
const messageRun = "messages, MariaDB + Redis, api and worker apart"

// oneRoom is the load of messages: everybody talks in one room.
const oneRoom pattern = "one room"

// messageWords tells the load of messages in the report's conditions.
const messageWords = "messages: everybody posts 120 bytes to one room; applied: stored in MariaDB, all that were accepted over the time from the first POST until the last is a row"

// storePatience bounds how long the rows of a load may take after its last answer.
const storePatience = time.Minute

// messageLoad measures messages that are accepted and stored.
type messageLoad struct{}

func (messageLoad) name() string { return "messages" }

func (m messageLoad) run(ctx context.Context, l *lab) error {
	for _, n := range crowds(l.clients) {
		h, err := l.openHouse(ctx, splitShape, peopleFor(n))
		if err != nil {
			return err
		}
		if err := h.close(ctx, m.measure(ctx, l, h, n)); err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
	}
	return nil
}

func (messageLoad) measure(ctx context.Context, l *lab, h *house, n int) error {
	for i := 1; i <= n; i++ {
		if _, err := h.call(ctx, http.MethodPut, "/v1/rooms/lobby/members/me", h.people[i].token, nil, nil); err != nil {
			return err
		}
	}
	t := &talk{}
	clients, err := connectClients(ctx, h.address, n, func(i int) *client { return t.client(h.pen(&h.people[i])) })
	if err != nil {
		return err
	}
	defer closeAll(clients)
	began := time.Now()
	m, err := load{clients: clients, judge: t.judge, warmup: l.warmup(), window: l.duration, watch: h.watched(true)}.drive(ctx)
	if err != nil {
		return err
	}
	answered := time.Now()
	if err := l.servers.awaitMessages(ctx, t.said.Load()); err != nil {
		return err
	}
	l.report.add(row{
		run: messageRun, clients: n, pattern: oneRoom, accepted: m.acceptedRate(), applied: rate(t.said.Load(), time.Since(began)), latency: m.latency,
		remarks: fmt.Sprintf("all %d stored %s ms after the last answer; slowest %s ms; %s",
			t.said.Load(), millis(time.Since(answered)), millis(m.latency.max), cpuPerRequest(m.cpu, total(m.accepted))),
	})
	return nil
}

// awaitMessages waits until so many messages are rows.
func (s *realServers) awaitMessages(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		rows, err := s.count(ctx, runDatabase+".messages")
		if err != nil {
			return err
		}
		if rows == n {
			return nil
		}
		if rows > n {
			return fmt.Errorf("%d messages are stored, and %d were accepted", rows, n)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d messages of %d are stored: %w", rows, n, ctx.Err())
		case <-tick.C:
		}
	}
}

// A talk is what everybody says in one room.
type talk struct{ said atomic.Int64 }

func (t *talk) client(p *pen) *client {
	request := p.write(http.MethodPost, "/v1/rooms/lobby/messages", messageBody(time.Now()))
	return &client{next: func(*rand.Rand) []byte { return request }}
}

func (t *talk) judge(r reply) (verdict, error) {
	if r.status != http.StatusCreated {
		return 0, unexpected(r)
	}
	t.said.Add(1)
	return applied, nil
}
