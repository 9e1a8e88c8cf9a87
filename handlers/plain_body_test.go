package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"guichet/api"
)

func contractOf(t testing.TB) *contract {
	t.Helper()
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	return newContract(spec)
}

// suitsSchema is the long way.
func suitsSchema(schema *openapi3.Schema, body []byte) bool {
	o := contractOperation{body: schema}
	_, err := o.validateBody(&http.Request{Header: http.Header{}}, body)
	return err == nil
}

// checkPlain: what is plainly as a schema has it is so by the schema, for every operation of the contract.
func checkPlain(t testing.TB, c *contract, body []byte) (plain int) {
	t.Helper()
	for name, o := range c.operations {
		if o.body == nil || !o.plain.suits(body) {
			continue
		}
		plain++
		if !suitsSchema(o.body, body) {
			t.Errorf("%s: %s is plain, and does not suit", name, body)
		}
	}
	return plain
}

func TestPlainBodies(t *testing.T) {
	t.Parallel()
	c := contractOf(t)
	for body, operation := range map[string]string{
		`{"from":"1111111111","to":"2222222222","amount":1}`:                                "POST /v1/transfers",
		` {"amount":1000000000000000,"from":"ABCD","to":"1111111111","reference":"lunch"} `: "POST /v1/transfers",
		`{"seats":["A-1-7","A-1-8"]}`:                                                       "POST /v1/events/:id/reservations",
		`{"quantity":100,"section":"A"}`:                                                    "POST /v1/events/:id/reservations",
		`{"text":"Hello, world"}`:                                                           "POST /v1/rooms/:id/messages",
		`{"amount":1}`:                                                                      "POST /v1/accounts/:number/deposits",
	} {
		if o := c.operations[operation]; o == nil || !o.plain.suits([]byte(body)) {
			t.Errorf("%s takes the long way with %s", operation, body)
		}
		if checkPlain(t, c, []byte(body)) == 0 {
			t.Errorf("%s is plain nowhere", body)
		}
	}
	transfer, reservation := c.operations["POST /v1/transfers"].plain, c.operations["POST /v1/events/:id/reservations"].plain
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `"a"`, `{`, `{"from":"1111111111","to":"2222222222"}`, `{"from":"1111111111","to":"2222222222","amount":0}`,
		`{"from":"1111111111","to":"2222222222","amount":1000000000000001}`, `{"from":"1111111111","to":"2222222222","amount":1.0}`, `{"from":"1111111111","to":"2222222222","amount":1e3}`,
		`{"from":"1111111111","to":"2222222222","amount":-1}`, `{"from":"1111111111","to":"2222222222","amount":01}`, `{"from":"1111111111","to":"2222222222","amount":"1"}`,
		`{"from":"1111111111","to":"2222222222","amount":9223372036854775808}`, `{"from":"1111111111","to":"2222222222","amount":1,"amount":1}`,
		`{"from":"1111111111","to":"2222222222","amount":1,"more":1}`, `{"from":"111","to":"2222222222","amount":1}`, `{"from":"aaaa","to":"2222222222","amount":1}`,
		`{"from":"1111111111","to":"2222222222","amount":1}{}`, `{"from":"1111111111","to":"2222222222","amount":1} x`, `{"From":"1111111111","to":"2222222222","amount":1}`,
		`{"from":"\u0031111111111","to":"2222222222","amount":1}`, `{"from":"1111111111","to":"2222222222","amount":1,"reference":""}`, `{"from":"1111111111","to":"2222222222","amount":1,"reference":null}`,
		`{"from":"1111111111","to":"2222222222","amount":1,"reference":"ä"}`, `{"from":"1111111111","to":"2222222222","amount":1,"reference":"` + strings.Repeat("a", 141) + `"}`,
	} {
		if transfer.suits([]byte(body)) {
			t.Errorf("%s is a plain transfer", body)
		}
	}
	for _, body := range []string{
		`{}`, `{"seats":[]}`, `{"seats":["A-1-7","A-1-7"]}`, `{"seats":[""]}`, `{"seats":["` + strings.Repeat("A", 33) + `"]}`, `{"seats":[1]}`, `{"seats":"A-1-7"}`, `{"seats":{"0":"A"}}`,
		`{"quantity":0}`, `{"quantity":101}`, `{"seats":["A"` + strings.Repeat(`,"B"`, 100) + `]}`,
	} {
		if reservation.suits([]byte(body)) {
			t.Errorf("%s is a plain reservation", body)
		}
	}
}

// Whatever is made of the contract's own examples: what is plain suits.
func TestPlainBodiesSuit(t *testing.T) {
	t.Parallel()
	c := contractOf(t)
	bodies := examplesOf(c)
	if len(bodies) < 20 {
		t.Fatalf("%d examples", len(bodies))
	}
	plain := 0
	rapid.Check(t, func(rt *rapid.T) {
		body := []byte(rapid.SampledFrom(bodies).Draw(rt, "body"))
		for range rapid.IntRange(0, 4).Draw(rt, "changes") {
			at := rapid.IntRange(0, len(body)).Draw(rt, "at")
			cut := min(len(body), at+rapid.IntRange(0, 3).Draw(rt, "cut"))
			put := rapid.SampledFrom([]string{"", "", "0", "9", `"`, ",", `,"a":1`, "null", ".5", "e2", "-", " ", "\n", "\x00", "ä", `\n`, "{", "]", "true"}).Draw(rt, "put")
			body = slices.Concat(body[:at], []byte(put), body[cut:])
		}
		plain += checkPlain(t, c, body)
	})
	if plain == 0 {
		t.Error("nothing was plain")
	}
}

// examplesOf are the examples of request bodies in the contract.
func examplesOf(c *contract) (bodies []string) {
	for _, o := range c.operations {
		if o.body == nil {
			continue
		}
		for _, example := range o.route.Operation.RequestBody.Value.Content["application/json"].Examples {
			if text, err := json.Marshal(example.Value.Value); err == nil {
				bodies = append(bodies, string(text))
			}
		}
	}
	slices.Sort(bodies)
	return bodies
}

func FuzzPlainBody(f *testing.F) {
	c := contractOf(f)
	for _, body := range examplesOf(c) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkPlain(t, c, body) })
}

func BenchmarkValidateBody(b *testing.B) {
	c := contractOf(b)
	body := []byte(`{"from":"1111111111","to":"2222222222","amount":1}`)
	for name, plain := range map[string]*plainBody{"plain": c.operations["POST /v1/transfers"].plain, "schema": nil} {
		b.Run(name, func(b *testing.B) {
			o := contractOperation{body: c.operations["POST /v1/transfers"].body, plain: plain}
			r := &http.Request{Header: http.Header{}}
			for b.Loop() {
				if _, err := o.validateBody(r, body); err != nil {
					b.Fatal(fmt.Errorf("%s: %w", bytes.TrimSpace(body), err))
				}
			}
		})
	}
}
