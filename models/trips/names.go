package trips

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// How long names may be, in UTF-16 units, which is how schemas count.
const (
	MaxName      = 120
	MaxClassName = 40
)

// NormalizeName returns a name of a trip or a class in Unicode's form NFC, so that names that look alike because they are written in another form are one. The
// error says what is wrong with the name, for people: it is empty or too long, has characters that do not show, or spaces at its ends.
func NormalizeName(text string, most int) (string, error) {
	name := norm.NFC.String(text)
	first, _ := utf8.DecodeRuneInString(name)
	last, _ := utf8.DecodeLastRuneInString(name)
	switch {
	case !utf8.ValidString(text):
		return "", fmt.Errorf("must be valid UTF-8")
	case name == "":
		return "", fmt.Errorf("must not be empty")
	case units(name) > most:
		return "", fmt.Errorf("must have at most %d characters", most)
	case first == ' ' || last == ' ':
		return "", fmt.Errorf("must not have spaces at its ends")
	case unicode.Is(unicode.M, first):
		return "", fmt.Errorf("must not begin with a combining mark")
	}
	for _, r := range name {
		if !visible(r) {
			return "", fmt.Errorf("must not have control characters, invisible characters, or spaces other than the plain one")
		}
	}
	return name, nil
}

// visible says whether a character shows, or is the plain space. The blank of Braille is a symbol to Unicode.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) && r != '\u2800'
}

func units(s string) (n int) {
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}
