package gomoku

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// fivesOn finds five in a row by a way of its own: it writes every line of the board as text, and looks for five letters next to each other.
func fivesOn(b *Board) (found []Stone) {
	var rows []string
	for row := range Size {
		rows = append(rows, string(b.AppendRow(nil, row)))
	}
	lines := slices.Clone(rows)
	for start := -Size; start <= 2*Size; start++ {
		var down, rising, falling strings.Builder
		for row := range Size {
			if start >= 0 && start < Size {
				down.WriteByte(rows[row][start])
			}
			if column := start + row; column >= 0 && column < Size {
				falling.WriteByte(rows[row][column])
			}
			if column := start - row; column >= 0 && column < Size {
				rising.WriteByte(rows[row][column])
			}
		}
		lines = append(lines, down.String(), falling.String(), rising.String())
	}
	for stone, five := range map[Stone]string{Black: "BBBBB", White: "WWWWW"} {
		if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, five) }) {
			found = append(found, stone)
		}
	}
	return found
}

// stateOf is what the plain way says of a board.
func stateOf(b *Board) State {
	switch {
	case len(fivesOn(b)) > 0:
		return Won
	case b.stones == Cells:
		return Full
	default:
		return Open
	}
}

// lines are all cells next to each other in a line of a length, wherever the board has room for it.
func lines(length int) (all [][]Move) {
	for row := range Size {
		for column := range Size {
			for _, d := range [][2]int{{0, 1}, {1, 0}, {1, 1}, {1, -1}} {
				var line []Move
				for n := range length {
					line = append(line, Move{row + n*d[0], column + n*d[1]})
				}
				if end := line[length-1]; end.Row < Size && end.Column >= 0 && end.Column < Size {
					all = append(all, line)
				}
			}
		}
	}
	return all
}

// set is a board on which nothing but these stones has been placed, and it is that colour's turn.
func set(stone Stone, on ...Move) *Board {
	b := &Board{}
	for _, m := range on {
		b.cells[m.Row][m.Column] = stone
	}
	if b.stones = 100; stone == White {
		b.stones = 101
	}
	return b
}

// Every line of five, six, seven, eight and nine that the board has room for wins, for both colours, whichever of its stones comes last; and nothing less does.
func TestEveryLineWins(t *testing.T) {
	counts := map[int]int{5: 2*15*11 + 2*11*11, 6: 2*15*10 + 2*10*10, 7: 2*15*9 + 2*9*9, 8: 2*15*8 + 2*8*8, 9: 2*15*7 + 2*7*7}
	for length, want := range counts {
		all := lines(length)
		if len(all) != want {
			t.Fatalf("%d lines of %d, want %d", len(all), length, want)
		}
		for _, line := range all {
			for last := range line {
				if last > 4 || length-1-last > 4 {
					continue // five were there before
				}
				others := slices.Delete(slices.Clone(line), last, last+1)
				for _, stone := range []Stone{Black, White} {
					b := set(stone, others...)
					if state, err := b.Place(line[last]); state != Won || err != nil || b.At(line[last]) != stone {
						t.Fatalf("%v with %v last: %v, %v", line, line[last], state, err)
					}
				}
			}
		}
	}
}

func TestFourDoNotWin(t *testing.T) {
	for _, line := range lines(5) {
		for gap := range line {
			for last := range line {
				if last == gap {
					continue
				}
				var others []Move
				for n := range line {
					if n != gap && n != last {
						others = append(others, line[n])
					}
				}
				for _, stone := range []Stone{Black, White} {
					b := set(stone, others...)
					if state, err := b.Place(line[last]); state != Open || err != nil {
						t.Fatalf("%v without %v: %v, %v", line, line[gap], state, err)
					}
					b = set(stone, others...)
					b.cells[line[gap].Row][line[gap].Column] = Black + White - stone
					if state, err := b.Place(line[last]); state != Open || err != nil {
						t.Fatalf("%v with another's stone on %v: %v, %v", line, line[gap], state, err)
					}
				}
			}
		}
	}
}

// Stones at the ends of two rows are no line, and neither are those of a diagonal that leaves the board.
func TestLinesDoNotGoRound(t *testing.T) {
	for _, stones := range [][]Move{
		{{3, 13}, {3, 14}, {4, 0}, {4, 1}, {4, 2}},
		{{13, 3}, {14, 3}, {0, 4}, {1, 4}, {2, 4}},
		{{3, 13}, {4, 14}, {5, 0}, {6, 1}, {7, 2}},
		{{3, 1}, {4, 0}, {5, 14}, {6, 13}, {7, 12}},
		{{13, 13}, {14, 14}, {0, 0}, {1, 1}, {2, 2}},
	} {
		for last := range stones {
			b := set(Black, slices.Delete(slices.Clone(stones), last, last+1)...)
			if state, err := b.Place(stones[last]); state != Open || err != nil {
				t.Errorf("%v: %v, %v", stones, state, err)
			}
		}
	}
}

// drawn is a record of a board that is full, and has no five of a colour in a row.
func drawn() string {
	var black, white []Move
	for row := range Size {
		for column := range Size {
			// Pairs of stones, moved on by two from row to row: no line has more than two alike, and black has one stone more.
			if (column+2*row)%4 < 2 {
				black = append(black, Move{row, column})
			} else {
				white = append(white, Move{row, column})
			}
		}
	}
	var record string
	for n := range black {
		record = Record(record, black[n])
		if n < len(white) {
			record = Record(record, white[n])
		}
	}
	return record
}

func TestFullBoardIsADraw(t *testing.T) {
	record := drawn()
	if Moves(record) != Cells {
		t.Fatalf("%d moves", Moves(record))
	}
	last := Recorded(record, Cells-1)
	b, err := Replay(record[:len(record)-2])
	if err != nil || b.State() != Open {
		t.Fatalf("before the last stone it is %v: %v", b.State(), err)
	}
	if state, err := b.Place(last); state != Full || err != nil || b.State() != Full {
		t.Errorf("%v, %v", state, err)
	}
	if five := fivesOn(b); five != nil {
		t.Errorf("the board has five in a row of %v", five)
	}
	if _, err := b.Place(last); !errors.Is(err, ErrOver) {
		t.Errorf("a stone on a full board: %v", err)
	}
}

// The last stone of a full board may win.
func TestLastStoneWins(t *testing.T) {
	b, err := Replay(drawn()[:2*(Cells-1)])
	if err != nil {
		t.Fatal(err)
	}
	last := Recorded(drawn(), Cells-1)
	for n := -4; n <= 4; n++ {
		if column := last.Column + n; n != 0 && column >= 0 && column < Size {
			b.cells[last.Row][column] = b.Turn()
		}
	}
	if state, err := b.Place(last); state != Won || err != nil {
		t.Errorf("%v, %v", state, err)
	}
}

func TestWhatCannotBePlaced(t *testing.T) {
	b, err := Replay("hhhi")
	if err != nil {
		t.Fatal(err)
	}
	before := *b
	for m, want := range map[Move]error{{7, 7}: ErrTaken, {7, 8}: ErrTaken, {-1, 0}: ErrOffBoard, {0, -1}: ErrOffBoard, {15, 0}: ErrOffBoard, {0, 15}: ErrOffBoard, {1 << 40, 3}: ErrOffBoard} {
		if _, err := b.Place(m); !errors.Is(err, want) || *b != before {
			t.Errorf("%v: %v", m, err)
		}
	}
	if row := string(b.AppendRow(nil, 7)); row != ".......BW......" || b.Turn() != Black || b.At(Move{7, 8}) != White {
		t.Errorf("the row is %s", row)
	}
	won, err := Replay("aaoaabobacocadodae")
	if err != nil || won.State() != Won {
		t.Fatalf("%v, %v", won.State(), err)
	}
	if _, err := won.Place(Move{7, 7}); !errors.Is(err, ErrOver) {
		t.Errorf("a stone after the end: %v", err)
	}
	for record, want := range map[string]error{"aaa": nil, "aap": nil, "aapa": ErrOffBoard, "aaaa": ErrTaken, "AA": ErrOffBoard, "aaoaabobacocadodaehh": ErrOver} {
		if _, err := Replay(record); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("record %q: %v", record, err)
		}
	}
}

// Games at random go as the plain way says, to their end.
func TestGamesAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 7)) //nolint:gosec // a test that can be repeated
	ends := map[State]int{}
	for range 300 {
		b, cells, record := &Board{}, random.Perm(Cells), ""
		for n := 0; b.State() == Open; n++ {
			m := Move{cells[n] / Size, cells[n] % Size}
			turn := b.Turn()
			state, err := b.Place(m)
			if record = Record(record, m); err != nil || state != stateOf(b) || b.At(m) != turn || Recorded(record, n) != m {
				t.Fatalf("after %s: %v, %v, want %v", record, state, err, stateOf(b))
			}
			if five := fivesOn(b); state == Won && !slices.Equal(five, []Stone{turn}) {
				t.Fatalf("after %s: %v has won, and %v has five", record, turn, five)
			}
		}
		ends[b.State()]++
		if again, err := Replay(record); err != nil || *again != *b {
			t.Fatalf("replayed, %s is another board: %v", record, err)
		}
	}
	if ends[Won] < 100 {
		t.Errorf("the games have ended as %v", ends)
	}
}

// FuzzReplay replays what may be a record, and compares each step with the plain way.
func FuzzReplay(f *testing.F) {
	f.Add("aaoaabobacocadodae")
	f.Add(drawn())
	f.Add("hhhihhp")
	f.Fuzz(func(t *testing.T, record string) {
		b := &Board{}
		taken := map[Move]bool{}
		var failed error
		for n := 0; n < Moves(record) && failed == nil; n++ {
			m := Recorded(record, n)
			before := *b
			var state State
			state, failed = b.Place(m)
			switch {
			case failed != nil:
				if *b != before || stateOf(b) == Open && !taken[m] && m.onBoard() {
					t.Fatalf("%q at %d: %v", record, n, failed)
				}
			case taken[m] || !m.onBoard() || stateOf(&before) != Open || state != stateOf(b):
				t.Fatalf("%q at %d: placed, %v", record, n, state)
			}
			taken[m] = true
		}
		again, err := Replay(record)
		if (err != nil) != (failed != nil || len(record)%2 != 0) || err == nil && *again != *b {
			t.Fatalf("%q: %v and %v", record, err, failed)
		}
	})
}
