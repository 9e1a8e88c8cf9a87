package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// auditTimeout bounds the audit after a run; it replays some hundred thousand operations.
const auditTimeout = 10 * time.Minute

// A shape is a way of running guichet.
type shape struct {
	word  string   // on the command line
	label string   // in the report
	real  bool     // on MariaDB and Redis, else on the embedded pair
	roles []string // its processes, by their subcommands; the first listens
	extra []string // of the environment, beside where the books are
}

var (
	splitShape    = shape{word: "split", label: "guichet, MariaDB + Redis, api and worker apart", real: true, roles: []string{"api", "worker"}}
	singleShape   = shape{word: "single", label: "guichet, MariaDB + Redis, one process", real: true, roles: []string{"serve"}}
	embeddedShape = shape{word: "embedded", label: "guichet, embedded pair, one process", roles: []string{"serve"}}

	shapes = []shape{splitShape, singleShape, embeddedShape}
)

// A house is a running guichet with its people, on books of its own.
type house struct {
	shape
	lab       *lab
	settings  []string // of the environment
	address   string
	processes []*process
	people    []person
}

// openHouse starts a guichet of the shape on a fresh copy of books with at least n people; it is
// ready and has executed an operation.
func (l *lab) openHouse(ctx context.Context, s shape, n int) (*house, error) {
	books, err := l.stock(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := books.ensure(ctx, l, n); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", s.word, err)
	}
	settings, err := books.site.copied(ctx)
	if err != nil {
		return nil, fmt.Errorf("copy the books of %s: %w", s.word, err)
	}
	h := &house{shape: s, lab: l, settings: settings, people: slices.Clone(books.people)}
	if err := h.start(ctx); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	if err := h.warm(ctx, n); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	return h, nil
}

// start runs the processes of the house and waits until it answers.
func (h *house) start(ctx context.Context) error {
	for _, role := range h.roles {
		if err := h.spawn(ctx, role); err != nil {
			return err
		}
	}
	return h.processes[0].waitReady(ctx, "http://"+h.address+"/readyz", 5*time.Millisecond)
}

// spawn adds a process of the given role; the first of a house is the one that answers requests.
func (h *house) spawn(ctx context.Context, role string) error {
	program, err := h.lab.guichet(ctx)
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	env := append(append(cleanEnvironment(), h.settings...), h.extra...)
	var profiled string
	if h.lab.profiles != "" {
		if profiled, err = freeAddress(); err != nil {
			return err
		}
		env = append(env, "GUICHET_PPROF_LISTEN="+profiled)
	}
	p, err := spawn(h.lab.dir, role, program, []string{role}, append(env, "GUICHET_LISTEN="+address))
	if err != nil {
		return err
	}
	p.profiles, p.pprof = h.lab.profiles, profiled
	if len(h.processes) == 0 {
		h.address = address
	}
	h.processes = append(h.processes, p)
	return nil
}

// warm proves the whole road with one deposit, and signs the people in again if their sessions have expired since.
func (h *house) warm(ctx context.Context, n int) error {
	status, err := h.call(ctx, http.MethodGet, "/v1/users/me", h.people[0].token, nil, nil)
	if status == http.StatusUnauthorized {
		err = h.eachPerson(h.people[:n], func(p *person) error { return h.signIn(ctx, p) })
	}
	if err != nil {
		return err
	}
	return h.deposit(ctx, &h.people[0])
}

// stop ends the processes, those that answer first, and reports each that had ended by itself.
func (h *house) stop() error {
	var errs []error
	for _, p := range h.processes {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

// close stops the house and audits its books; err is what happened in it before.
func (h *house) close(ctx context.Context, err error) error {
	if stopErr := h.stop(); err != nil || stopErr != nil {
		return errors.Join(err, stopErr)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	program, err := h.lab.guichet(ctx)
	if err != nil {
		return err
	}
	env := append(cleanEnvironment(), h.settings...)
	if err := runToEnd(ctx, h.lab.dir, "audit", program, []string{"audit"}, env); err != nil {
		return fmt.Errorf("the books do not hold: %w", err)
	}
	h.lab.report.audits++
	progress("  audit holds (%s)", time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// watched are the processes whose CPU is reported: those of the house, its servers, and the generator if asked for.
func (h *house) watched(withGenerator bool) []*process {
	list := slices.Clone(h.processes)
	if h.real {
		list = append(list, h.lab.servers.mariadb, h.lab.servers.redis)
	}
	if withGenerator {
		list = append(list, h.lab.generator())
	}
	return list
}

// clients connects the first n people after the hot account's owner. With wait they ask for the
// finished operation, else for the promise alone.
func (h *house) clients(ctx context.Context, n int, p pattern, wait bool) ([]*client, error) {
	numbers := make([]string, poolOf(n)+1)
	for i := range numbers {
		numbers[i] = h.people[i].number
	}
	var clients []*client
	for i := 1; i <= n; i++ {
		w, err := dialWire(ctx, h.address)
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
		headers := []string{"Authorization: Bearer " + h.people[i].token}
		if wait {
			headers = append(headers, "Prefer: wait=30")
		}
		ask := newAsk(h.address, "/v1/transfers", numbers[i], headers)
		clients = append(clients, &client{wire: w, next: p.transfers(ask, numbers, i)})
	}
	return clients, nil
}

// peopleFor is how many people a load of n clients needs: its pool and the owner of the hot account.
func peopleFor(n int) int { return poolOf(n) + 1 }
