package text

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns what names are compared by: two that differ in case alone, or in Unicode's form, have the same. It repeats case folding and normalisation to NFC until
// they change nothing, as each can give the other something to do; the result has at most three times the characters.
func Fold(name string) string {
	for {
		folded := norm.NFC.String(cases.Fold().String(name))
		if folded == name {
			return folded
		}
		name = folded
	}
}
