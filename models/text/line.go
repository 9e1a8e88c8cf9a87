// Package text says what a line of text may be that people give names by: what is stored is what is shown, and texts that look alike are one.
package text

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Line returns a text in Unicode's form NFC, so that texts that look alike because they are written in another form are one. most is how long it may be then, in
// UTF-16 units, which is how schemas count. The error says what is wrong with the text, for people: it is empty or too long, has characters that do not show, or
// spaces at its ends.
func Line(text string, most int) (string, error) {
	line := norm.NFC.String(text)
	first, _ := utf8.DecodeRuneInString(line)
	last, _ := utf8.DecodeLastRuneInString(line)
	switch {
	case !utf8.ValidString(text):
		return "", fmt.Errorf("must be valid UTF-8")
	case line == "":
		return "", fmt.Errorf("must not be empty")
	case units(line) > most:
		return "", fmt.Errorf("must have at most %d characters", most)
	case first == ' ' || last == ' ':
		return "", fmt.Errorf("must not have spaces at its ends")
	case unicode.Is(unicode.M, first):
		return "", fmt.Errorf("must not begin with a combining mark")
	}
	for _, r := range line {
		if !visible(r) {
			return "", fmt.Errorf("must not have control characters, invisible characters, or spaces other than the plain one")
		}
	}
	return line, nil
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
