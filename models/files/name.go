package files

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"guichet/models/text"
)

// MaxName is how long a name may be, in bytes of UTF-8: what the file systems of those who download it take.
const MaxName = 255

const (
	maxGiven = 16 * MaxName // bytes, before normalisation, which can shorten
	maxKey   = 400          // characters: the width of the column
)

var errNameTooLong = fmt.Errorf("must have a name of at most %d bytes", MaxName)

// Name returns a file's name as it is shown, which is as it was given, in Unicode's form NFC, and the key that it is compared by: names that differ in case alone are
// one, as they are on the disks of many. The error says what is wrong with the name, for people. Refused is what could be taken for a path, what does not show or
// turns the writing around, and what some system would store under another name, or take for a device of its own.
func Name(given string) (name, key string, err error) {
	if len(given) > maxGiven {
		return "", "", errNameTooLong
	}
	if name = norm.NFC.String(given); len(name) > MaxName {
		return "", "", errNameTooLong
	}
	if name, err = text.Line(given, MaxName); err != nil {
		return "", "", err
	}
	switch {
	case strings.ContainsAny(name, `/\`):
		return "", "", errors.New(`must not have a name with / or \`)
	case strings.HasSuffix(name, "."): // so neither . nor ..
		return "", "", errors.New("must not have a name that ends with a dot")
	case isDevice(name):
		return "", "", errors.New("must not have a name that is a device's, such as NUL or COM1, with or without an extension")
	}
	key, ok := fold(name)
	if !ok || utf8.RuneCountInString(key) > maxKey {
		return "", "", errNameTooLong
	}
	return name, key, nil
}

// ports are the numbers of serial and parallel ports, of which Windows takes some in another form too.
var ports = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"}

// isDevice says whether Windows takes a name for one of its devices, which it does whatever the extension.
// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
func isDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if digit, found := strings.CutPrefix(base, port); found && slices.Contains(ports, digit) {
			return true
		}
	}
	return false
}

// fold repeats case folding and normalisation until they change nothing: each can give the other something to do.
func fold(name string) (string, bool) {
	for range 4 {
		folded := norm.NFC.String(cases.Fold().String(name))
		if folded == name {
			return name, true
		}
		name = folded
	}
	return "", false
}
