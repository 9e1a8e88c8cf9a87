package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"guichet/api"
)

// contractRouter finds the operation of the contract that a request is for.
var contractRouter = sync.OnceValues(func() (routers.Router, error) {
	spec, err := api.GetSpec()
	if err != nil {
		return nil, err
	}
	spec.Servers = nil
	for _, kind := range []string{"image/png", "application/pdf", "text/html", "multipart/byteranges"} { // of tickets and files
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	return gorillamux.NewRouter(spec)
})

// client calls a process, as somebody or nobody. Every answer is checked against the contract.
type client struct {
	testing.TB
	base     string
	token    string
	username string
	password string
	account  string
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// option changes a request before it is sent.
type option func(*http.Request)

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func wait(r *http.Request) { r.Header.Set("Prefer", "wait=30") }

// as is a client that is nobody yet.
func (p *process) client(t testing.TB) *client {
	return &client{TB: t, base: "http://" + p.address}
}

var usersMade atomic.Int64

// registering has room for as many as register at once: passwords are hashed, which a server does for a few at a time.
var registering = make(chan struct{}, 4)

// user registers somebody new and signs them in.
func (p *process) user(t testing.TB) *client {
	t.Helper()
	registering <- struct{}{}
	defer func() { <-registering }()
	c := p.client(t)
	n := usersMade.Add(1)
	c.username, c.password = fmt.Sprintf("user-%d", n), "a-password-of-tests"
	var user struct {
		AccountNumber string `json:"account_number"`
	}
	c.postPatiently("/v1/users", map[string]any{"username": c.username, "password": c.password}).into(t, http.StatusCreated, &user)
	c.account = user.AccountNumber
	c.signIn()
	return c
}

// admin signs the admin in, taking over.
func (p *process) admin(t testing.TB) *client {
	t.Helper()
	c := p.client(t)
	c.username, c.password = "admin", adminPassword
	c.signIn()
	return c
}

// signIn signs in, taking over, and keeps the token.
func (c *client) signIn() {
	c.Helper()
	var session struct {
		Token string
		User  struct {
			AccountNumber string `json:"account_number"`
		}
	}
	c.postPatiently("/v1/sessions", map[string]any{"username": c.username, "password": c.password, "take_over": true}).into(c, http.StatusCreated, &session)
	c.token, c.account = session.Token, session.User.AccountNumber
}

// postPatiently posts again while the server has no time to hash the password, as it then asks for.
func (c *client) postPatiently(path string, body any) (a answer) {
	c.Helper()
	eventually(c, "post to "+path, func() error {
		if a = c.post(path, body); a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" {
			return fmt.Errorf("status %d\n%s", a.status, a.body)
		}
		return nil
	})
	return a
}

// list lists a symbol as the admin: any price, any quantity, and a fee of 10 %.
func (c *client) list(symbol string) {
	c.Helper()
	c.post("/v1/symbols", map[string]any{"symbol": symbol, "name": "of tests", "tick": 1, "lot": 1}).expect(c, http.StatusCreated)
}

// issue grants somebody shares as the admin.
func (c *client) issue(symbol string, to *client, quantity int64) {
	c.Helper()
	a := c.post("/v1/symbols/"+symbol+"/issues", map[string]any{"account": to.account, "quantity": quantity}, wait).expect(c, http.StatusOK)
	if !strings.Contains(string(a.body), `"status":"succeeded"`) {
		c.Fatalf("an issue of %d %s: %s", quantity, symbol, a.body)
	}
}

// at is the same person at another process.
func (c *client) at(p *process) *client {
	other := *c
	other.base = "http://" + p.address
	return &other
}

func (c *client) get(path string, options ...option) answer {
	c.Helper()
	return c.do(http.MethodGet, path, nil, options...)
}

func (c *client) post(path string, body any, options ...option) answer {
	c.Helper()
	return c.do(http.MethodPost, path, body, options...)
}

// do makes a call, checks the answer against the contract and fails the test if it gets none.
func (c *client) do(method, path string, body any, options ...option) answer {
	c.Helper()
	a, err := c.try(method, path, body, options...)
	if err != nil {
		c.Fatal(err)
	}
	return a
}

// try is do for processes that may be dead. body is sent as JSON, or as it is if it is a string.
func (c *client) try(method, path string, body any, options ...option) (answer, error) {
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		payload = strings.NewReader(b)
	case io.Reader:
		payload = b
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		payload = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, c.base+path, payload)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, change := range options {
		change(request)
	}
	response, err := testTransport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{response.StatusCode, response.Header, text}
	if err := checkContract(request, a); err != nil {
		c.Errorf("%s %s: %d is not as the contract says: %v\n%s", method, path, a.status, err, a.body)
	}
	return a, nil
}

// testTransport has room for hundreds of clients, and gives a server that hangs up.
var testTransport = &http.Transport{MaxIdleConnsPerHost: 1024, ResponseHeaderTimeout: patience}

// checkContract says what about an answer is not as the contract has it.
func checkContract(request *http.Request, a answer) error {
	if !strings.HasPrefix(request.URL.Path, "/v1/") {
		return nil
	}
	if a.status >= 400 && a.header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("a problem sent as %q", a.header.Get("Content-Type"))
	}
	if a.header.Get("Lamport-Time") == "" {
		return fmt.Errorf("no Lamport-Time")
	}
	router, err := contractRouter()
	if err != nil {
		return err
	}
	route, parameters, err := router.FindRoute(request)
	if err != nil {
		if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
			return nil // the contract has no such path or method, and the answer says so
		}
		return err
	}
	return openapi3filter.ValidateResponse(request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

// into expects a status and decodes the body.
func (a answer) into(t testing.TB, status int, value any) {
	t.Helper()
	a.expect(t, status)
	if err := json.Unmarshal(a.body, value); err != nil {
		t.Fatalf("%v\n%s", err, a.body)
	}
}

// expect fails the test unless the answer has the status.
func (a answer) expect(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d\n%s", a.status, status, a.body)
	}
	return a
}

// problem expects a problem with a status and a code.
func (a answer) problem(t testing.TB, status int, code string) {
	t.Helper()
	var problem struct {
		Code   string
		Status int
	}
	a.into(t, status, &problem)
	if problem.Code != code || problem.Status != status {
		t.Fatalf("problem %d %s, want %d %s\n%s", problem.Status, problem.Code, status, code, a.body)
	}
}

// outcome is what tests look at of an operation.
type outcome struct {
	ID       string
	Kind     string
	Lane     string
	Status   string
	Position *int64
	Lamport  int64
	Result   struct {
		Account struct{ Balance, Held, Available int64 }
		Entry   struct {
			ID     string
			Amount int64
		}
	}
	Problem *struct{ Code string }
}

// operation expects an operation with a status.
func (a answer) operation(t testing.TB, status int) outcome {
	t.Helper()
	var o outcome
	a.into(t, status, &o)
	return o
}

// deposit pays cash into the client's account and waits for it.
func (c *client) deposit(amount int64) outcome {
	c.Helper()
	o := c.post("/v1/accounts/"+c.account+"/deposits", map[string]any{"amount": amount}, wait).operation(c, http.StatusOK)
	if o.Status != "succeeded" {
		c.Fatalf("deposit: %+v", o)
	}
	return o
}

// transfer asks for a transfer to another client.
func (c *client) transfer(to *client, amount int64, options ...option) answer {
	c.Helper()
	return c.post("/v1/transfers", map[string]any{"from": c.account, "to": to.account, "amount": amount}, options...)
}

// balance reads the client's balance.
func (c *client) balance() int64 {
	c.Helper()
	var account struct{ Balance int64 }
	c.get("/v1/accounts/"+c.account).into(c, http.StatusOK, &account)
	return account.Balance
}
