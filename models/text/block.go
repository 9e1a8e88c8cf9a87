package text

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Block returns a text of several lines in Unicode's form NFC. most is how long it may be then, in UTF-16 units, as with Line. Line feeds and tabs are the only
// control characters that it may have. The error says what is wrong with the text, for people.
func Block(text string, most int) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("must be valid UTF-8")
	}
	block := norm.NFC.String(text)
	if units(block) > most {
		return "", fmt.Errorf("must have at most %d characters", most)
	}
	shows := false
	for _, r := range block {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return "", fmt.Errorf("must not have control characters other than line feeds and tabs")
		}
		shows = shows || r != ' ' && visible(r) && !unicode.Is(unicode.M, r)
	}
	if !shows {
		return "", fmt.Errorf("must have something that shows")
	}
	return block, nil
}
