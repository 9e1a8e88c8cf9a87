package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesThatAreTheSame(t *testing.T) {
	t.Parallel()
	for key, names := range map[string][]string{
		"ada":     {"ada", "Ada", "ADA", "ａｄａ", "ＡＤＡ", "𝒜𝒹𝒶", "ⓐⓓⓐ"},
		"strasse": {"strasse", "straße", "STRASSE", "STRAẞE"},
		"σοφοσ":   {"σοφος", "ΣΟΦΟΣ", "σοφοσ"},
		"josé":    {"josé", "jose\u0301", "JOSÉ", "JOSE\u0301"},
		"office":  {"office", "oﬃce", "OFFICE"},
		"カ":       {"カ", "ｶ"},
		"한":       {"한", "\u1112\u1161\u11ab"},
	} {
		for _, name := range names {
			display, got, err := NormalizeUsername(name)
			if err != nil || got != key {
				t.Errorf("%q: key %q, want %q (%v)", name, got, key, err)
			}
			if again, key, err := NormalizeUsername(display); err != nil || again != display || key != got {
				t.Errorf("%q: its display form %q becomes %q, %q (%v)", name, display, again, key, err)
			}
		}
	}
}

func TestNamesThatAreDifferent(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range []string{"ada", "ada1", "ada_", "ada-lovelace", "ada.l", "áda", "ädа", "аda", "ıda", "ida", "adaa", "a", "1", "@da", "اَدا", "艾达"} {
		_, key, err := NormalizeUsername(name)
		must(t, err)
		if other, taken := seen[key]; taken {
			t.Errorf("%q and %q have the same key %q", name, other, key)
		}
		seen[key] = name
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	for what, name := range map[string]string{
		"empty": "", "space": "a b", "only a space": " ", "trailing space": "ada ", "no-break space": "a\u00a0b", "ideographic space": "a\u3000b",
		"tab": "a\tb", "newline": "ada\n", "null": "a\x00b", "delete": "a\x7fb", "C1 control": "a\u0085b",
		"zero width space": "a\u200bb", "joiner": "a\u200db", "non-joiner": "a\u200cb", "joiner after virama": "क्\u200dष", "word joiner": "a\u2060b",
		"byte order mark": "\ufeffada", "soft hyphen": "a\u00adb", "right-to-left override": "a\u202eb", "isolate": "a\u2066b", "left-to-right mark": "a\u200eb",
		"grapheme joiner": "a\u034fb", "variation selector": "a\ufe0fb", "Mongolian separator": "a\u180eb", "Hangul filler": "a\u3164b", "choseong filler": "a\u115fb",
		"halfwidth filler": "a\uffa0b", "tag": "a\U000e0061b", "braille blank": "a\u2800b", "line separator": "a\u2028b", "noncharacter": "a\uffffb", "private use": "a\ue000b",
		"replacement": "a\ufffdb", "combining mark first": "\u0301ada", "becomes a space": "a\u00b4b", "mixed directions": "adaא", "emoji": "ada🙂",
		"not UTF-8": "a\xffb", "surrogate": "a\xed\xa0\x80b", "unassigned": "a\u0378b", "65 characters": strings.Repeat("a", 65),
		"65 when normalised": strings.Repeat("ﬃ", 21) + "aa", "huge": strings.Repeat("a", 1<<20), "a pile of marks": "a" + strings.Repeat("\u0301", 64),
	} {
		display, key, err := NormalizeUsername(name)
		var refused *UsernameError
		if !errors.As(err, &refused) || refused.Message == "" || display != "" || key != "" {
			t.Errorf("%s: %q → %q, %q, %v", what, name, display, key, err)
		}
	}
}

func TestNamesOfSixtyFourCharacters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("a", 64), strings.Repeat("ß", 64), strings.Repeat("é", 64), strings.Repeat("e\u0301", 64), strings.Repeat("漢", 64), strings.Repeat("ΐ", 64)} {
		display, key, err := NormalizeUsername(name)
		if err != nil || utf8.RuneCountInString(display) != 64 || utf8.RuneCountInString(key) > maxUsernameKey {
			t.Errorf("%q: %q, %q, %v", name, display, key, err)
		}
	}
}

func FuzzNormalizeUsername(f *testing.F) {
	for _, seed := range []string{"ada", "ＡＤＡ", "straße", "ΣΟΦΟΣ", "jose\u0301", "oﬃce", "क्\u200dष", "a\u200bb", "İstanbul", "Ꭰꭰ", "ᾳᾼ", "ŉ", "ǰ", "ΐ", "\u1e9b\u0323", "שלום", "a\xff", "ﷺ", "\u0345\u0301", "ͅa"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		display, key, err := NormalizeUsername(name)
		if err != nil {
			var refused *UsernameError
			if !errors.As(err, &refused) || display != "" || key != "" {
				t.Fatalf("%q: refused with %q, %q, %v", name, display, key, err)
			}
			return
		}
		if n := utf8.RuneCountInString(display); n < 1 || n > MaxUsername || utf8.RuneCountInString(key) > maxUsernameKey || key == "" {
			t.Fatalf("%q: lengths of %q, %q", name, display, key)
		}
		if !visible(display) || !visible(key) || !utf8.ValidString(display) || !utf8.ValidString(key) {
			t.Fatalf("%q: invisible characters in %q, %q", name, display, key)
		}
		if again, sameKey, err := NormalizeUsername(display); err != nil || again != display || sameKey != key {
			t.Fatalf("%q: display %q becomes %q, key %q becomes %q (%v)", name, display, again, key, sameKey, err)
		}
		// A key may be longer than a name, or not a name at all; but if it is one, it is its own key.
		if _, sameKey, err := NormalizeUsername(key); err == nil && sameKey != key {
			t.Fatalf("%q: the key of the key %q is %q", name, key, sameKey)
		}
	})
}
