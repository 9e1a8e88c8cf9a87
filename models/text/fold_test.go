package text

import (
	"testing"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "", "Tea Room": "tea room", "TEA ROOM": "tea room", "Stra\u00dfe": "strasse", "CAFE\u0301": "caf\u00e9", "ΣΑΣ": "σασ", "ς": "σ", "座席": "座席", "ﬃ": "ffi", "①": "①",
	} {
		if got := Fold(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, seed := range []string{"Tea Room", "e\u0301", "\u1E9E", "\u0390", "\u1FB7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, err := Line(text, most)
		if err != nil {
			return
		}
		folded := Fold(line)
		if again := Fold(folded); again != folded {
			t.Errorf("%q: %q, and then %q", text, folded, again)
		}
		if n := utf8.RuneCountInString(folded); n > 3*utf8.RuneCountInString(line) {
			t.Errorf("%q has become %d characters", line, n)
		}
	})
}
