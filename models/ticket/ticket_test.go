package ticket

import (
	"bytes"
	"image/color"
	"image/png"
	"math"
	"regexp"
	"strings"
	"testing"

	"rsc.io/qr"

	"guichet/models/id"
)

var shape = regexp.MustCompile(`^[0-9A-Z]{20,64}$`)

func codes() []Code {
	g := id.NewGenerator()
	return []Code{{Trip, g.Next(), 0}, {Event, g.Next(), 0}, {Event, g.Next().WithIndex(255), 65_535}, {Trip, id.ID{}, 1}, {Event, g.Next(), math.MaxUint32}}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s, seen := NewSigner([32]byte{1}), map[string]bool{}
	for _, c := range codes() {
		text := s.Sign(c)
		if !shape.MatchString(text) || len(text) != 52 || text != s.Sign(c) || seen[text] {
			t.Errorf("%+v is signed as %q, and as %q", c, text, s.Sign(c))
		}
		seen[text] = true
		if got, ok := s.Verify(text); !ok || got != c {
			t.Errorf("signed %+v, read %+v, %t", c, got, ok)
		}
	}
}

func TestIndexOutOfRange(t *testing.T) {
	t.Parallel()
	for _, index := range []int{-1, math.MaxUint32 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("an index of %d was signed", index)
				}
			}()
			NewSigner([32]byte{}).Sign(Code{Kind: Event, Index: index})
		}()
	}
}

// Whatever is changed, it is no code any more.
func TestForged(t *testing.T) {
	t.Parallel()
	s := NewSigner([32]byte{1})
	refused := func(what, text string) {
		t.Helper()
		if got, ok := s.Verify(text); ok || got != (Code{}) {
			t.Errorf("%s: %q is read as %+v", what, text, got)
		}
	}
	for _, c := range codes() {
		text := s.Sign(c)
		raw, err := crockford.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range len(raw) * 8 {
			flipped := bytes.Clone(raw)
			flipped[bit/8] ^= 1 << (bit % 8)
			refused("a flipped bit", crockford.EncodeToString(flipped))
		}
		for at := range text {
			for _, other := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcxyz-_=.\n\x00é" {
				if other != rune(text[at]) { // at the end these are the spare bits, too
					refused("another character", text[:at]+string(other)+text[at+1:])
				}
			}
			refused("one less", text[:at]+text[at+1:])
			refused("a line end in it", text[:at]+"\n"+text[at:])
			refused("a line end in place of one", text[:at]+"\n"+text[at+1:])
			refused("cut", text[:at])
		}
		refused("lower case", strings.ToLower(text))
		refused("padded", text+"====")
		refused("twice", text+text)
		refused("longer", text+"0")
		refused("spaces", " "+text[1:])
		refused("another key", NewSigner([32]byte{2}).Sign(c))
		refused("no MAC", crockford.EncodeToString(append(raw[:payloadSize:payloadSize], make([]byte, macSize)...)))
	}
	refused("nothing", "")
	refused("the contract's example", "01K5PW8S40E0080007SGS9V4KHB00000G0R40M30E209")
	refused("long", strings.Repeat("0", 1<<20))
}

// What is read is what would be written.
func FuzzVerify(f *testing.F) {
	s := NewSigner([32]byte{1})
	for _, c := range codes() {
		f.Add(s.Sign(c))
		f.Add(strings.ToLower(s.Sign(c)))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if c, ok := s.Verify(text); ok && s.Sign(c) != text {
			t.Errorf("%q is read as %+v, which is written %q", text, c, s.Sign(c))
		}
	})
}

// The picture shows the modules that the code has, eight pixels each, within a margin of four.
func TestPicture(t *testing.T) {
	t.Parallel()
	text := NewSigner([32]byte{1}).Sign(codes()[0])
	picture, err := Picture(text)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	const modules, margin, scale = 29, 4, 8
	if size := drawn.Bounds().Size(); code.Size != modules || size.X != (modules+2*margin)*scale || size.Y != size.X {
		t.Fatalf("%v pixels for %d modules", size, code.Size)
	}
	for y := range drawn.Bounds().Dy() {
		for x := range drawn.Bounds().Dx() {
			want := color.Gray{Y: 0xff}
			if code.Black(x/scale-margin, y/scale-margin) {
				want.Y = 0
			}
			if got := color.GrayModel.Convert(drawn.At(x, y)); got != want {
				t.Fatalf("at %d, %d: %v, want %v", x, y, got, want)
			}
		}
	}
	if again, err := Picture(text); err != nil || !bytes.Equal(again, picture) {
		t.Errorf("drawn again, it is another picture (%v)", err)
	}
	if _, err := Picture(strings.Repeat("x", 5000)); err == nil {
		t.Error("5,000 bytes were drawn")
	}
}
