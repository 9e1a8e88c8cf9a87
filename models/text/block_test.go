package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestBlock(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4000)
	for _, c := range []struct{ text, want string }{
		{"Hello, world", "Hello, world"},
		{" spaces at the ends ", " spaces at the ends "},
		{"two\nlines\tand a tab", "two\nlines\tand a tab"},
		{"e\u0301", "é"},
		{"👩\u200d👧", "👩\u200d👧"},
		{"🏳️\u200d🌈", "🏳️\u200d🌈"},
		{"שלום", "שלום"},
		{"0", "0"},
		{long, long},
		{strings.Repeat("e\u0301", 4000), strings.Repeat("é", 4000)}, // what counts is the normal form
		{strings.Repeat("😀", 2000), strings.Repeat("😀", 2000)},
		{strings.Repeat("😀", 2000) + "x", ""}, // UTF-16 units, as schemas count
		{long + "x", ""},
		{strings.Repeat("\u0958", 2001), ""}, // becomes longer
		{"", ""},
		{" ", ""},
		{" \n\t", ""},
		{"\u00a0\u3000\u2003", ""},
		{"\u200b\u200d\ufeff", ""},
		{"\u2800\u3164", ""},
		{"\u0301", ""},
		{"a\x00b", ""},
		{"a\rb", ""},
		{"a\r\nb", ""},
		{"a\x1b[31m", ""},
		{"a\x7f", ""},
		{"a\u0085b", ""},
		{"a\xff", ""},
		{"\xed\xa0\x80", ""},
	} {
		got, err := Block(c.text, 4000)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%.40q: %.40q, %v; want %.40q", c.text, got, err, c.want)
		}
	}
}

func FuzzBlock(f *testing.F) {
	for _, text := range []string{"hello", "a\nb\tc", "e\u0301", "\u200b", "👩\u200d👧", "\x00", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Block(text, 50)
		if err != nil {
			if got != "" {
				t.Errorf("%q with %v", got, err)
			}
			return
		}
		if !utf8.ValidString(got) || !norm.NFC.IsNormalString(got) || units(got) > 50 || strings.TrimFunc(got, unicode.IsSpace) == "" ||
			strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Errorf("%q becomes %q", text, got)
		}
		if again, err := Block(got, 50); again != got || err != nil {
			t.Errorf("%q becomes %q, %v", got, again, err)
		}
	})
}
