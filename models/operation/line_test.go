package operation

import (
	"testing"

	"guichet/models/id"
)

func TestAhead(t *testing.T) {
	t.Parallel()
	g := id.NewGenerator()
	a, b, c := g.Next(), g.Next(), g.Next()
	whole := []Batch{{a, 10}, {b, 256}, {c, 3}}
	single := func(base id.ID, indexes ...int) (line []Batch) {
		for _, i := range indexes {
			line = append(line, Batch{base.WithIndex(i), 1})
		}
		return line
	}
	for _, tt := range []struct {
		name      string
		line      []Batch
		operation id.ID
		want      int64
	}{
		{"nobody waits", nil, a, 0},
		{"the first of all", whole, a, 0},
		{"in the first batch", whole, a.WithIndex(9), 9},
		{"the first of the second batch", whole, b, 10},
		{"the last of a full batch", whole, b.WithIndex(255), 265},
		{"the last of all", whole, c.WithIndex(2), 268},
		{"executed since it was read", []Batch{{b, 5}}, a.WithIndex(3), 0},
		{"executed since, before what waits", []Batch{{a, 5}, {c, 5}}, b, 5},
		{"one of a batch that is executed one by one", single(a, 4, 5, 6), a.WithIndex(6), 2},
		{"the one being executed", single(a, 4, 5, 6), a.WithIndex(4), 0},
		{"replayed, among others of its batch", single(a, 3, 200), a.WithIndex(200), 1},
		{"replayed, between others of its batch", append(single(a, 3, 5, 200), Batch{b, 2}), a.WithIndex(5), 1},
		{"after replayed ones", append(single(a, 3, 200), Batch{b, 2}), b.WithIndex(1), 3},
		{"executed, and others of its batch replayed", single(a, 3, 200), a.WithIndex(150), 1},
	} {
		if got := ahead(tt.line, tt.operation); got != tt.want {
			t.Errorf("%s: %d are ahead, want %d", tt.name, got, tt.want)
		}
	}
}
