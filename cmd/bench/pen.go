package main

import (
	"context"
	"fmt"
	"strconv"
)

// A pen writes the requests of one client of trips or events. What it returns is valid until the next.
type pen struct {
	host    string
	headers string // whole lines with their ends
	request []byte
}

// newPen writes for a host; headers are whole lines without their ends.
func newPen(host string, headers ...string) *pen {
	p := &pen{host: host}
	for _, line := range headers {
		p.headers += line + "\r\n"
	}
	return p
}

// write writes a request; an empty body is none.
func (p *pen) write(method, path, body string) []byte {
	r := p.request[:0]
	r = append(append(append(r, method...), ' '), path...)
	r = append(append(append(r, " HTTP/1.1\r\nHost: "...), p.host...), "\r\n"...)
	r = append(r, p.headers...)
	if body != "" {
		r = append(r, "Content-Type: application/json\r\n"...)
	}
	r = strconv.AppendInt(append(r, "Content-Length: "...), int64(len(body)), 10)
	p.request = append(append(r, "\r\n\r\n"...), body...)
	return p.request
}

// pen writes the requests of a person; further headers are whole lines without their ends.
func (h *house) pen(p *person, headers ...string) *pen {
	return newPen(h.address, append([]string{"Authorization: Bearer " + p.token}, headers...)...)
}

// connectClients connects clients 1 … n, each of which equip makes.
func connectClients(ctx context.Context, address string, n int, equip func(i int) *client) ([]*client, error) {
	var clients []*client
	for i := 1; i <= n; i++ {
		w, err := dialWire(ctx, address)
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		c := equip(i)
		c.wire = w
		clients = append(clients, c)
	}
	return clients, nil
}
