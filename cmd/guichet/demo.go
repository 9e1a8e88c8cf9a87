package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// person is a user of the demonstration.
type person struct{ name, password, account string }

var demoPeople = []person{
	{"ada", "counting-engine", "1111111111"},
	{"grace", "nanosecond-wire", "2222222222"},
}

// demoCash is what each of them is given, in minor units.
const demoCash = 100_000

// demo fills an empty store, through the API like anybody else, and prints how to go on. A store that somebody else uses is left alone. The admin's password
// is a new one at each start, unless it was set.
func (a *app) demo(ctx context.Context, address, adminPassword string, out io.Writer) error {
	ours, others, err := a.countDemoUsers(ctx)
	if err != nil {
		return err
	}
	if others > 0 && ours < len(demoPeople) {
		welcome(out, address)
		fmt.Fprintln(out, "\nThe store is in use: --demo has left it as it is.")
		return nil
	}
	shown := "the password that you have set"
	switch {
	case adminPassword != "":
	case others > 0 && !a.embedded:
		shown = "the password that it had"
	default:
		adminPassword = strings.ToLower(rand.Text())
		if err := a.ensureAdmin(ctx, adminPassword); err != nil {
			return err
		}
		shown = adminPassword + " / (until the next start)"
	}
	client := demoClient{base: "http://" + address + "/v1"}
	for _, p := range demoPeople {
		if err := client.introduce(ctx, p); err != nil {
			return fmt.Errorf("filling the store: %w", err)
		}
	}
	if err := a.demoExchange(ctx, &client, adminPassword); err != nil {
		return fmt.Errorf("filling the exchange: %w", err)
	}
	if err := a.demoTickets(ctx, &client, adminPassword); err != nil {
		return fmt.Errorf("offering trips: %w", err)
	}
	if err := a.demoHall(ctx, &client, adminPassword); err != nil {
		return fmt.Errorf("announcing an event: %w", err)
	}
	if err := a.demoTalk(ctx, &client, adminPassword); err != nil {
		return fmt.Errorf("opening rooms: %w", err)
	}
	welcome(out, address)
	fmt.Fprintf(out, "\nUsers (name / password / account)\n")
	for _, p := range demoPeople {
		fmt.Fprintf(out, "  %s / %s / %s\n", p.name, p.password, p.account)
	}
	fmt.Fprintf(out, "  admin / %s\n", shown)
	printDemoSymbols(out)
	if err := a.printDemoTrips(ctx, out); err != nil {
		return err
	}
	if err := a.printDemoEvents(ctx, out); err != nil {
		return err
	}
	if err := a.printDemoRooms(ctx, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nSign in:\n  curl -s http://%s/v1/sessions -H 'Content-Type: application/json' -d '{\"username\":\"%s\",\"password\":\"%s\"}'\n", address, demoPeople[0].name, demoPeople[0].password)
	return nil
}

// countDemoUsers counts the users of the demonstration that are there, and those that are neither of them nor the admin.
func (a *app) countDemoUsers(ctx context.Context) (ours, others int, err error) {
	names := make([]string, len(demoPeople))
	for i, p := range demoPeople {
		names[i] = p.name
	}
	if ours, _, err = a.identity.CountUsers(ctx, names...); err == nil {
		_, others, err = a.identity.CountUsers(ctx, append([]string{"admin"}, names...)...)
	}
	return ours, others, err
}

type demoClient struct {
	base  string
	token string
}

// introduce registers somebody and gives them cash; whoever is registered already is left alone.
func (c *demoClient) introduce(ctx context.Context, p person) error {
	status, err := c.post(ctx, "/users", map[string]any{"username": p.name, "password": p.password, "account_number": p.account}, nil)
	if err != nil || status == http.StatusConflict {
		return err
	}
	return c.as(ctx, p.name, p.password, func() error {
		_, err := c.post(ctx, "/accounts/"+p.account+"/deposits", map[string]any{"amount": demoCash}, nil)
		return err
	})
}

// as does something with a session of somebody's, which is ended then.
func (c *demoClient) as(ctx context.Context, name, password string, do func() error) error {
	var session struct {
		Token string `json:"token"`
	}
	if _, err := c.post(ctx, "/sessions", map[string]any{"username": name, "password": password, "take_over": true}, &session); err != nil {
		return err
	}
	c.token = session.Token
	defer func() { c.token = "" }()
	if err := do(); err != nil {
		return err
	}
	_, err := c.do(ctx, http.MethodDelete, "/sessions/current", nil, nil)
	return err
}

func (c *demoClient) post(ctx context.Context, path string, body, answer any) (int, error) {
	return c.do(ctx, http.MethodPost, path, body, answer)
}

// do makes a call and decodes its answer. 409 is left to the caller; every other refusal is an error.
func (c *demoClient) do(ctx context.Context, method, path string, body, answer any) (int, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(payload))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Prefer", "wait=10")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode >= 300 && response.StatusCode != http.StatusConflict {
		return response.StatusCode, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	if answer != nil {
		err = json.Unmarshal(text, answer)
	}
	return response.StatusCode, err
}
