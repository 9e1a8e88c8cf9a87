package files

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]struct{ name, key string }{
		"notes.txt":                    {"notes.txt", "notes.txt"},
		"NOTES.TXT":                    {"NOTES.TXT", "notes.txt"},
		"Straße":                       {"Straße", "strasse"},
		"STRASSE":                      {"STRASSE", "strasse"},
		"Σίσυφος":                      {"Σίσυφος", "σίσυφοσ"},
		"cafe\u0301.txt":               {"caf\u00e9.txt", "caf\u00e9.txt"},
		"CAF\u00c9.txt":                {"CAF\u00c9.txt", "caf\u00e9.txt"},
		"two words (1) & more.tar.gz":  {"two words (1) & more.tar.gz", "two words (1) & more.tar.gz"},
		"..hidden":                     {"..hidden", "..hidden"},
		".profile":                     {".profile", ".profile"},
		`a"b;c=d%20'e.txt`:             {`a"b;c=d%20'e.txt`, `a"b;c=d%20'e.txt`},
		"עברית.txt":                    {"עברית.txt", "עברית.txt"},
		"日本語.txt":                      {"日本語.txt", "日本語.txt"},
		"🎈.png":                        {"🎈.png", "🎈.png"},
		"CONTENTS":                     {"CONTENTS", "contents"},
		"COM10":                        {"COM10", "com10"},
		"COM0":                         {"COM0", "com0"},
		"com":                          {"com", "com"},
		"a.con":                        {"a.con", "a.con"},
		"null":                         {"null", "null"},
		strings.Repeat("a", 255):       {strings.Repeat("a", 255), strings.Repeat("a", 255)},
		strings.Repeat("é", 127):       {strings.Repeat("é", 127), strings.Repeat("é", 127)},
		strings.Repeat("e\u0301", 127): {strings.Repeat("é", 127), strings.Repeat("é", 127)}, // 381 bytes as it was given
		strings.Repeat("\u0390", 127):  {strings.Repeat("\u0390", 127), strings.Repeat("\u0390", 127)},
		strings.Repeat("\u0149", 127):  {strings.Repeat("\u0149", 127), strings.Repeat("\u02bcn", 127)},
		strings.Repeat("\u1fb7", 85):   {strings.Repeat("\u1fb7", 85), strings.Repeat("\u1fb6\u03b9", 85)},
	} {
		name, key, err := Name(given)
		if err != nil || name != want.name || key != want.key {
			t.Errorf("%q: %q %q %v, want %q %q", given, name, key, err, want.name, want.key)
		}
	}
}

func TestNamesRefused(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"", ".", "..", "...", "a.", "a. ", " a", "a ", " ", "a/b", "/etc/passwd", "../x", "..\\x", "a\\b", "C:\\x", "a\x00b", "\x00", "a\rb", "a\nb", "a\r\nSet-Cookie: b", "a\tb", "\x7f", "a\u0085b",
		"a\u202etxt.exe", "a\u200b", "\ufeffa", "a\u2066b", "a\u200fb", "a\u061cb", "a\u00adb", "a\u3164b", "a\u2028b", "a\u00a0b", "a\u3000b", "a\ufe0f", "a\u2800", "a\U000e0041", "\u0301a", "a\ue000", "a\ufffe",
		"a\xff", "\xc0\xaf", "CON", "con", "PRN", "Aux", "nul", "NUL.txt", "nul.tar.gz", "COM1", "com9.log", "LPT1", "lpt5.x", "COM¹", "lpt².txt", "CON .txt", "conin$", "CONOUT$.x",
		strings.Repeat("a", 256), strings.Repeat("é", 128), strings.Repeat("a", 300), strings.Repeat("e\u0301", 10_000), strings.Repeat("\u1fb7", 86),
	} {
		if name, key, err := Name(given); err == nil || name != "" || key != "" {
			t.Errorf("%.40q: %q %q %v", given, name, key, err)
		}
	}
}

// FuzzName: no name is accepted that has what must not be in one; what is shown is what was given; and to fold a name again changes nothing.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"notes.txt", "../x", "a\u202eb", "Straße", "e\u0301", "NUL.txt", "\u1fb7", "ﬃ", "İ", "\xff", "COM¹", "a.", "\u0345α\u0313"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		name, key, err := Name(given)
		if err != nil {
			return
		}
		if name != norm.NFC.String(given) || name == "" || len(name) > MaxName || !utf8.ValidString(name) || utf8.RuneCountInString(key) > maxKey || key == "" {
			t.Errorf("%q is shown as %q, with the key %q", given, name, key)
		}
		for _, r := range name {
			if r == '/' || r == '\\' || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Bidi_Control, r) || r != ' ' && unicode.IsSpace(r) {
				t.Errorf("%q has %U", name, r)
			}
		}
		if strings.Trim(name, " ") != name || strings.HasSuffix(name, ".") || isDevice(name) {
			t.Errorf("%q begins or ends as it must not, or is a device", name)
		}
		if again, sameKey, err := Name(name); err != nil || again != name || sameKey != key {
			t.Errorf("%q again is %q with the key %q, not %q: %v", name, again, sameKey, key, err)
		}
		if folded, ok := fold(key); !ok || folded != key {
			t.Errorf("the key %q of %q is folded to %q", key, name, folded)
		}
		for _, other := range []string{strings.ToUpper(name), strings.ToLower(name), norm.NFD.String(name)} {
			if _, otherKey, err := Name(other); err == nil && norm.NFC.String(other) == name && otherKey != key {
				t.Errorf("%q has the key %q, and %q has %q", name, key, other, otherKey)
			}
		}
	})
}
