package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Every operation of the contract is asked with what is nearly, and with what is not at all, as its schemas say: it answers as the contract says, and
// never with a fault of its own. An operation that is added is covered by this as it is.
func TestContractFromItsSchemas(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		s := &siege{admin: p.admin(t), statuses: map[int]int{}}
		made := s.admin.deposit(1000)
		s.values = map[string]string{"number": s.admin.account, "id": made.ID, "name": "bank"}
		s.ids = map[string]string{
			"/v1/trips/{id}": s.admin.offerSeats(1, 1000).ID, "/v1/events/{id}": s.admin.announce(map[string]any{"sections": []section{{"A", 20, 20, 1}}}), "/v1/rooms/{id}": "lobby",
		}
		for _, o := range contractOperations(t) {
			if s.admin.get("/v1/users/me").status == http.StatusUnauthorized {
				s.admin.signIn()
			}
			s.parameters(t, o)
			s.bodies(t, o)
			s.admin.signIn()
			s.admin.pause(false)
		}
		faults := 0
		for status, n := range s.statuses {
			if status >= 500 {
				faults += n
			}
		}
		t.Logf("%d requests: %v", s.sent, s.statuses)
		t.Logf("5xx=%d", faults)
		if faults != 0 || s.sent < 1000 {
			t.Errorf("%d requests, 5xx=%d", s.sent, faults)
		}
		s.admin.deposit(1)
		h.audit()
	})
}

// siege is what TestContractFromItsSchemas counts.
type siege struct {
	admin    *client
	values   map[string]string
	ids      map[string]string // of things that there are, by the beginning of their paths
	statuses map[int]int
	sent     int
}

// valuesFor are the values of an operation's path: of things that there are, where they are known.
func (s *siege) valuesFor(o contractOperation) map[string]string {
	values := maps.Clone(s.values)
	for beginning, id := range s.ids {
		if strings.HasPrefix(o.path, beginning) {
			values["id"] = id
		}
	}
	return values
}

func (s *siege) parameters(t *testing.T, o contractOperation) {
	for _, p := range o.parameters {
		for _, m := range mutants(p.Schema.Value) {
			text, ok := asParameter(m.value)
			if !ok {
				continue
			}
			path, options := o.fill(s.valuesFor(o)), []option(nil)
			switch p.In {
			case openapi3.ParameterInPath:
				if text == "" || text == "." || text == ".." || strings.ContainsAny(text, "/") { // another path
					continue
				}
				given := maps.Clone(s.valuesFor(o))
				given[p.Name] = text
				path = o.fill(given)
			case openapi3.ParameterInQuery:
				path += "?" + url.Values{p.Name: {text}}.Encode()
			case openapi3.ParameterInHeader:
				if strings.ContainsAny(text, "\x00\x1b\r\n") { // not to be sent
					continue
				}
				options = append(options, header(p.Name, text))
			}
			refuse := !fits(p.Schema.Value, text) && text != "" && p.Name != "Prefer"
			s.ask(t, o, path, s.validBody(o), p.In+" "+p.Name+", "+m.what, refuse, options...)
		}
	}
	s.ask(t, o, o.fill(s.valuesFor(o))+"?unknown=1&unknown=2", s.validBody(o), "an unknown parameter", false)
	s.ask(t, o, o.fill(s.valuesFor(o))+"?%zz&;&=", s.validBody(o), "a query that is none", false)
}

// fits says whether a parameter's text is as its schema says.
func fits(schema *openapi3.Schema, text string) bool {
	if schema.Type.Is(openapi3.TypeInteger) {
		n, err := strconv.ParseInt(text, 10, 64)
		return err == nil && schema.VisitJSON(float64(n)) == nil
	}
	return schema.VisitJSON(text) == nil
}

func (s *siege) validBody(o contractOperation) any {
	schema := o.body()
	if schema == nil {
		return nil
	}
	body := example(schema)
	if schema.Properties["from"] != nil { // that of the contract is not the admin's
		body = with(body, "from", s.values["number"])
	}
	return body
}

func (s *siege) bodies(t *testing.T, o contractOperation) {
	schema := o.body()
	if schema == nil {
		s.ask(t, o, o.fill(s.valuesFor(o)), `{"unexpected":true}`, "a body where there is none", false)
		return
	}
	for _, m := range mutants(schema) {
		s.ask(t, o, o.fill(s.valuesFor(o)), m.value, "body: "+m.what, !m.valid)
	}
	for _, text := range []string{"", "{", "[]", "{}", "null", "\x00", `{"a":1}{"b":2}`, strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 50_000), `"` + strings.Repeat("\\u0000", 1000) + `"`} {
		refuse := text != "{}" || len(schema.Required) > 0 || schema.MinProps > 0
		s.ask(t, o, o.fill(s.valuesFor(o)), strings.NewReader(text), "body: "+text[:min(len(text), 20)], refuse)
	}
	s.ask(t, o, o.fill(s.valuesFor(o)), strings.NewReader(strings.Repeat("x", 1<<20+1)), "a body that is too large", true)
}

func (s *siege) ask(t *testing.T, o contractOperation, path string, body any, what string, refuse bool, options ...option) {
	t.Helper()
	if text, isText := body.(string); isText { // try sends strings as they are
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(encoded)
	}
	var a answer
	if o.streams() {
		a = s.admin.peek(o.method, path, options...)
	} else {
		a = s.admin.do(o.method, path, body, options...)
	}
	s.sent++
	s.statuses[a.status]++
	if a.status >= 500 || o.Responses.Status(a.status) == nil {
		t.Errorf("%s, %s: %d is not declared\n%s", o.OperationID, what, a.status, a.body)
	}
	if refuse && !slices.Contains([]int{400, 404, 413, 415, 422}, a.status) {
		t.Errorf("%s, %s: %d, though it is not as the schema says\n%s", o.OperationID, what, a.status, a.body)
	}
	if a.status == http.StatusNoContent || a.status == http.StatusUnauthorized && !o.public {
		s.admin.signIn()
	}
}

// peek reads the head of an answer that does not end by itself; a problem it reads whole.
func (c *client) peek(method, path string, options ...option) answer {
	c.Helper()
	request, err := http.NewRequest(method, c.base+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	for _, change := range options {
		change(request)
	}
	response, err := testTransport.RoundTrip(request)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.status != http.StatusOK {
		var text bytes.Buffer
		_, _ = text.ReadFrom(response.Body)
		a.body = text.Bytes()
		if err := checkContract(request, a); err != nil {
			c.Errorf("%s %s: %d is not as the contract says: %v\n%s", method, path, a.status, err, a.body)
		}
	}
	return a
}
