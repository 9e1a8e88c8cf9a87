package text

import (
	"strings"
	"testing"
)

const most = 40

func TestLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"seat": "seat", "Night train to the Alps": "Night train to the Alps", "Cafe\u0301": "Café", "座席": "座席", `"quoted" \ <&>`: `"quoted" \ <&>`, "1": "1", "🚂": "🚂",
		strings.Repeat("ä", 40): strings.Repeat("ä", 40), strings.Repeat("🚂", 20): strings.Repeat("🚂", 20), strings.Repeat("a\u0308", 40): strings.Repeat("ä", 40),
		"": "", " seat": "", "seat ": "", " ": "", "a\tb": "", "a\nb": "", "a\u0000b": "", "a\u00a0b": "", "a\u200bb": "", "a\u202eb": "", "a\u00adb": "", "\ufeffa": "",
		"\u0301a": "", "a\ufe0f": "", "a\u2800": "", "\u3164": "", "a\ue000": "", "\xff": "", "a\u2028": "", strings.Repeat("ä", 41): "", strings.Repeat("🚂", 20) + "a": "",
		strings.Repeat("\u0958", 21): "", // which NFC makes two of
	} {
		got, err := Line(text, most)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
		if again, err := Line(got, most); want != "" && (again != got || err != nil) {
			t.Errorf("%q is not the same again: %q %v", got, again, err)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, seed := range []string{"seat", "e\u0301", "\u0958", " x", "🚂"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, err := Line(text, most)
		if err != nil {
			return
		}
		if again, err := Line(line, most); err != nil || again != line {
			t.Errorf("%q: %q, and then %q %v", text, line, again, err)
		}
		if len([]rune(line)) > most {
			t.Errorf("%q is longer than %d characters", line, most)
		}
	})
}
