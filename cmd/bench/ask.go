package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// Account numbers of the bench: all of one length, so that a request can be patched in place.
const (
	firstAccount  = 7_000_000_000
	accountDigits = 10
	// smallestPool is the number of accounts that transfers go to when fewer clients than that send.
	smallestPool = 32
)

// accountNumber is that of the person with the given index. Number 0 is the hot account, which nobody sends from.
func accountNumber(index int) string { return fmt.Sprint(firstAccount + int64(index)) }

// poolOf is how many accounts, from index 1, take part in a uniform load of n clients.
func poolOf(clients int) int { return max(clients, smallestPool) }

// A pattern says where transfers go.
type pattern string

const (
	uniform pattern = "uniform"     // each to a random other of the pool
	hot     pattern = "hot account" // all to account 0
)

var patterns = []pattern{uniform, hot}

// An ask is a transfer request as bytes, in which only the recipient changes.
type ask struct {
	request []byte
	to      int // offset of the recipient's digits
}

// newAsk prepares POST path for transfers of 1 from one account; headers are whole lines without their ends.
func newAsk(host, path, from string, headers []string) *ask {
	before := fmt.Sprintf(`{"from":"%s","to":"`, from)
	after := `","amount":1}`
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n", path, host)
	for _, line := range headers {
		fmt.Fprintf(&b, "%s\r\n", line)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(before)+accountDigits+len(after), before)
	to := b.Len()
	b.WriteString(accountNumber(0))
	b.WriteString(after)
	return &ask{b.Bytes(), to}
}

// transfers returns what the client that owns numbers[own] asks next under the pattern, again and again.
func (p pattern) transfers(a *ask, numbers []string, own int) func(*rand.Rand) []byte {
	if p == hot {
		return func(*rand.Rand) []byte { return a.request }
	}
	return func(rng *rand.Rand) []byte {
		to := 1 + rng.IntN(len(numbers)-2) // one fewer than there are to choose from: not oneself
		if to >= own {
			to++
		}
		copy(a.request[a.to:], numbers[to])
		return a.request
	}
}
