package handlers

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"guichet/models/id"
	"guichet/models/problem"
)

const defaultLimit = 50

func limitOf(limit *int) int {
	if limit == nil {
		return defaultLimit
	}
	return *limit
}

// page cuts what was read with a limit of one more than the page: if there is more, next is the key to go on after.
func page[T any](items []T, limit int, key func(*T) string) (kept []T, next string) {
	if len(items) <= limit {
		return items, ""
	}
	return items[:limit], key(&items[limit-1])
}

// Cursors are opaque: keys of the last item in base64, so that clients do not make up their own.
func encodeCursor(key string) *string {
	if key == "" {
		return nil
	}
	cursor := base64.RawURLEncoding.EncodeToString([]byte(key))
	return &cursor
}

func appendCursor(b []byte, key string) []byte {
	if key == "" {
		return append(b, "null"...)
	}
	return strconv.AppendQuote(b, *encodeCursor(key))
}

var errCursor = problem.New(problem.Malformed, "The cursor is not one that this list gave.")

func decodeCursor(cursor *string) (string, error) {
	if cursor == nil {
		return "", nil
	}
	key, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil || len(key) == 0 || !utf8.Valid(key) {
		return "", errCursor
	}
	return string(key), nil
}

func idCursor(cursor *string) (id.ID, error) {
	key, err := decodeCursor(cursor)
	if err != nil || key == "" {
		return id.ID{}, err
	}
	parsed, err := id.Parse(key)
	if err != nil {
		return id.ID{}, errCursor
	}
	return parsed, nil
}

// numbersCursor reads a cursor of two numbers.
func numbersCursor(cursor *string) (a, b int64, err error) {
	key, err := decodeCursor(cursor)
	if err != nil || key == "" {
		return 0, 0, err
	}
	first, second, _ := strings.Cut(key, ".")
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(second, 10, 64)
	if errA != nil || errB != nil || a <= 0 || b <= 0 {
		return 0, 0, errCursor
	}
	return a, b, nil
}

// numberCursor reads a cursor of one number; 0 is none.
func numberCursor(cursor *string) (int64, error) {
	key, err := decodeCursor(cursor)
	if err != nil || key == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(key, 10, 64)
	if err != nil || n <= 0 {
		return 0, errCursor
	}
	return n, nil
}

// timeKey is the key of what is listed by a time, in microseconds, and then by its id.
func timeKey(at time.Time, last id.ID) string {
	return strconv.FormatInt(at.UnixMicro(), 10) + "." + last.String()
}

// timeCursor reads a cursor that timeKey wrote; a zero id is none.
func timeCursor(cursor *string) (time.Time, id.ID, error) {
	key, err := decodeCursor(cursor)
	if err != nil || key == "" {
		return time.Time{}, id.ID{}, err
	}
	first, second, _ := strings.Cut(key, ".")
	at, errAt := strconv.ParseInt(first, 10, 64)
	last, errID := id.Parse(second)
	if errAt != nil || errID != nil {
		return time.Time{}, id.ID{}, errCursor
	}
	return time.UnixMicro(at), last, nil
}

// listAnswer answers with a page of what writes itself.
func listAnswer[T any](items []T, next string, appendJSON func(*T, []byte) []byte) jsonAnswer {
	body := append(make([]byte, 0, 384*len(items)+64), `{"items":[`...)
	for i := range items {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendJSON(&items[i], body)
	}
	body = appendCursor(append(body, `],"next_cursor":`...), next)
	return jsonAnswer{http.StatusOK, append(body, '}'), false}
}

// jsonAnswer answers with JSON that is written already.
type jsonAnswer struct {
	status   int
	body     []byte
	repeated bool
}

func (a jsonAnswer) write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	if a.repeated {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	return err
}

// VisitListOperationsResponse writes the answer.
func (a jsonAnswer) VisitListOperationsResponse(w http.ResponseWriter) error { return a.write(w) }
