package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// registrars is how many people register at once; each costs the server some 50 ms of argon2id, so
// more than a few would only queue.
const registrars = 8

// funding is what each person holds before a run, in minor units: enough for any run.
const funding = 1_000_000_000_000

const password = "four-words-nobody-guesses"

// A person is a user of the bench; person 0 owns the hot account.
type person struct{ username, number, token string }

func newPerson(index int) person {
	return person{username: fmt.Sprintf("bench%05d", index), number: accountNumber(index)}
}

// register makes a user, signs in and deposits the funding.
func (h *house) register(ctx context.Context, p *person) error {
	body := map[string]any{"username": p.username, "password": password, "account_number": p.number}
	if _, err := h.call(ctx, http.MethodPost, "/v1/users", "", body, nil); err != nil {
		return err
	}
	if err := h.signIn(ctx, p); err != nil {
		return err
	}
	return h.deposit(ctx, p)
}

// signIn replaces the person's token; an older session, if any, ends.
func (h *house) signIn(ctx context.Context, p *person) error { return h.signInWith(ctx, p, password) }

func (h *house) signInWith(ctx context.Context, p *person, password string) error {
	body := map[string]any{"username": p.username, "password": password, "take_over": true}
	var session struct{ Token string }
	if _, err := h.call(ctx, http.MethodPost, "/v1/sessions", "", body, &session); err != nil {
		return err
	}
	p.token = session.Token
	return nil
}

func (h *house) deposit(ctx context.Context, p *person) error {
	var o operation
	body := map[string]any{"amount": funding}
	if _, err := h.call(ctx, http.MethodPost, "/v1/accounts/"+p.number+"/deposits", p.token, body, &o); err != nil {
		return err
	}
	if o.Status != "succeeded" {
		return fmt.Errorf("deposit %s is %s", o.ID, o.Status)
	}
	return nil
}

// operation is what the bench reads of an operation.
type operation struct {
	ID         string     `json:"id"`
	Status     string     `json:"status"`
	Submitted  time.Time  `json:"submitted_at"`
	Finished   *time.Time `json:"finished_at"`
	LamportEnd uint64     `json:"lamport"`
}

// eachPerson does something for a list of people, a few at a time.
func (h *house) eachPerson(people []person, do func(*person) error) error {
	var group errgroup.Group
	group.SetLimit(registrars)
	for i := range people {
		group.Go(func() error {
			if err := do(&people[i]); err != nil {
				return fmt.Errorf("%s: %w", people[i].username, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// control is the client of everything but the load itself.
var control = &http.Client{
	Timeout:   40 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: registrars},
}

// call asks the house for something, waiting for queued work to end, and decodes the answer into out
// unless that is nil. An answer that is not 2xx is an error.
func (h *house) call(ctx context.Context, method, path, token string, body, out any) (status int, err error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+h.address+path, reader)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Prefer", "wait=30")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := control.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end below
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err
	}
	if response.StatusCode/100 != 2 {
		return response.StatusCode, fmt.Errorf("%s %s: %d %s", method, path, response.StatusCode, text)
	}
	if out == nil {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.Unmarshal(text, out)
}
