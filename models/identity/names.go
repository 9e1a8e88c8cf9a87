package identity

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// MaxUsername is how many characters a user name may have.
const MaxUsername = 64

const (
	maxUsernameInput = 16 * MaxUsername // bytes, before normalisation, which can shorten
	maxUsernameKey   = 255              // characters: the width of the column
)

// NormalizeUsername returns a user name as it is shown and the key that it is compared by. Names that look alike because they are written in another
// Unicode form, width or case have the same key. The display form is NFKC; the key is that of PRECIS UsernameCaseMapped (RFC 8265), case folded,
// so that ß and ss, or ς and σ, are the same too. The key of the display form is the key. The error is a *UsernameError.
func NormalizeUsername(s string) (display, key string, err error) {
	if len(s) > maxUsernameInput {
		return "", "", errUsernameTooLong
	}
	display = norm.NFKC.String(s)
	switch n := utf8.RuneCountInString(display); {
	case !utf8.ValidString(s):
		return "", "", &UsernameError{"must be valid UTF-8"}
	case n == 0:
		return "", "", &UsernameError{"must not be empty"}
	case n > MaxUsername:
		return "", "", errUsernameTooLong
	case !visible(s) || !visible(display):
		return "", "", &UsernameError{"must not have spaces, control characters or invisible characters"}
	}
	if first, _ := utf8.DecodeRuneInString(display); unicode.Is(unicode.M, first) {
		return "", "", &UsernameError{"must not begin with a combining mark"}
	}
	mapped, err := precis.UsernameCaseMapped.String(display)
	if err != nil {
		return "", "", &UsernameError{"has characters that a user name may not have, or mixes writing directions"}
	}
	key, ok := fold(mapped)
	if !ok {
		return "", "", errUsernameTooLong
	}
	return display, key, nil
}

var errUsernameTooLong = &UsernameError{"must have at most 64 characters"}

// visible says whether every character of s shows: PRECIS lets joiners pass in some scripts, where two names would differ by nothing that one can see.
func visible(s string) bool {
	for _, r := range s {
		if unicode.IsSpace(r) || unicode.In(r, unicode.C, unicode.Z, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Noncharacter_Code_Point) {
			return false
		}
	}
	return true
}

// fold repeats case folding and normalisation until they change nothing: each can give the other something to do.
func fold(s string) (string, bool) {
	for range 4 {
		folded := norm.NFKC.String(cases.Fold().String(s))
		if folded == s {
			return s, utf8.RuneCountInString(s) <= maxUsernameKey
		}
		s = folded
	}
	return "", false
}
