// Package ticket makes the codes of tickets: what a ticket is for, signed, in letters and digits that fit a QR picture well.
//
// A code is computed from what it stands for, and stored nowhere. That somebody can show one proves that it was issued; whether it is still good is for the
// tables to say.
package ticket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math"

	"rsc.io/qr"

	"guichet/models/id"
)

// Kind says which counter a ticket is of.
type Kind byte

// The kinds.
const (
	Trip  Kind = 1
	Event Kind = 2
)

// Code is what a ticket is for.
type Code struct {
	Kind  Kind
	Owner id.ID // the purchase of a trip, the reservation of an event
	Index int   // the ticket's number in the purchase, the seat's in the hall; 0 to 2^32−1
}

const (
	payloadSize = 1 + 16 + 4 // kind, owner, index
	// macSize is how much of the MAC a code shows: 88 bits cannot be guessed at a door, and make a code 32 bytes, whose picture has 29 × 29 modules.
	macSize  = 11
	codeSize = payloadSize + macSize
	// codeLength is the length of a code in characters of five bits. The last one has four bits to spare, which are 0.
	codeLength = (codeSize*8 + 4) / 5
)

// crockford is Douglas Crockford's base 32: no I, L, O or U, which people take for others. It is a part of the alphabet that QR codes pack densely.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Signer signs codes and knows its own. It is safe for concurrent use.
type Signer struct{ secret [32]byte }

// NewSigner returns a signer with a key.
func NewSigner(secret [32]byte) *Signer { return &Signer{secret} }

// Sign returns the code's text: 52 upper-case letters and digits, always the same ones. It panics if the index is out of its range.
func (s *Signer) Sign(c Code) string {
	if c.Index < 0 || c.Index > math.MaxUint32 {
		panic(fmt.Sprintf("ticket: an index of %d", c.Index))
	}
	raw := make([]byte, 0, payloadSize+sha256.Size)
	raw = append(raw, byte(c.Kind))
	raw = append(raw, c.Owner[:]...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(c.Index))
	return crockford.EncodeToString(s.mac(raw)[:codeSize])
}

// mac appends the MAC to a payload.
func (s *Signer) mac(payload []byte) []byte {
	h := hmac.New(sha256.New, s.secret[:])
	h.Write(payload)
	return h.Sum(payload)
}

// Verify reads the text of a code; false if this signer's key has not signed it. A code has one text only: what could be read as the same, such as lower
// case, is refused.
func (s *Signer) Verify(text string) (Code, bool) {
	if len(text) != codeLength {
		return Code{}, false
	}
	raw, err := crockford.DecodeString(text)
	// Line ends, and what the spare bits are, make no difference to the decoder.
	if err != nil || len(raw) != codeSize || crockford.EncodeToString(raw) != text {
		return Code{}, false
	}
	signed := s.mac(append(make([]byte, 0, payloadSize+sha256.Size), raw[:payloadSize]...))
	if !hmac.Equal(signed[payloadSize:codeSize], raw[payloadSize:]) {
		return Code{}, false
	}
	return Code{Kind: Kind(raw[0]), Owner: id.ID(raw[1:17]), Index: int(binary.BigEndian.Uint32(raw[17:]))}, true
}

// Picture is a QR code of a text as PNG, black on white with the margin that scanners want. It can be read with a seventh of it damaged.
//
// rsc.io/qr draws it rather than skip2/go-qrcode: neither has changed for years, but the former has a release, and a fifth of the code.
func Picture(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	return code.PNG(), nil
}
