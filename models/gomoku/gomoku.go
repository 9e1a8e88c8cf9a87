// Package gomoku is the board of a game of gomoku and its rules, and nothing else: no players, no clock, no store.
//
// It is freestyle gomoku with a free opening: 15 by 15 cells, black begins anywhere, and five or more stones of a colour next to each other in a row, a column or a
// diagonal win. A board that is full without them is a draw.
package gomoku

import (
	"errors"
	"fmt"
)

const (
	// Size is how many rows and columns a board has. They are numbered from 0.
	Size = 15
	// Cells is how many stones a board takes.
	Cells = Size * Size
	// inARow is how many stones next to each other win.
	inARow = 5
)

// Stone is what is on a cell.
type Stone uint8

// The zero Stone is none.
const (
	Free Stone = iota
	Black
	White
)

// Move is the cell that a stone is placed on.
type Move struct{ Row, Column int }

func (m Move) onBoard() bool { return m.Row >= 0 && m.Row < Size && m.Column >= 0 && m.Column < Size }

// State is what has come of a board.
type State uint8

// The states of a board: the zero State goes on.
const (
	Open State = iota
	Won        // by whoever placed the last stone
	Full       // a draw
)

// Why a stone cannot be placed.
var (
	ErrOffBoard = errors.New("gomoku: the board has no such cell")
	ErrTaken    = errors.New("gomoku: there is a stone on the cell")
	ErrOver     = errors.New("gomoku: the game is over")
)

// Board is the stones that were placed, in turns. The zero Board is empty.
type Board struct {
	cells  [Size][Size]Stone
	stones int
	state  State
}

// State is what has come of the board.
func (b *Board) State() State { return b.state }

// At is what is on a cell of the board.
func (b *Board) At(m Move) Stone { return b.cells[m.Row][m.Column] }

// Turn is the colour of the next stone.
func (b *Board) Turn() Stone {
	if b.stones%2 == 0 {
		return Black
	}
	return White
}

// Place puts the next stone on a cell, and returns what has come of the board. It looks at the lines through that stone alone, at most four cells each way: a line
// that wins has the last stone in it, or the game would have been over before. After an error, which is ErrOver, ErrOffBoard or ErrTaken, the board is as it was.
func (b *Board) Place(m Move) (State, error) {
	switch {
	case b.state != Open:
		return b.state, ErrOver
	case !m.onBoard():
		return Open, ErrOffBoard
	case b.At(m) != Free:
		return Open, ErrTaken
	}
	b.cells[m.Row][m.Column] = b.Turn()
	b.stones++
	switch {
	case b.wins(m):
		b.state = Won
	case b.stones == Cells:
		b.state = Full
	}
	return b.state, nil
}

// directions are those of the lines through a cell: a row, a column and both diagonals.
var directions = [...]Move{{0, 1}, {1, 0}, {1, 1}, {1, -1}}

// wins says whether the stone on a cell is one of five or more in a row.
func (b *Board) wins(m Move) bool {
	for _, d := range directions {
		if 1+b.run(m, d)+b.run(m, Move{-d.Row, -d.Column}) >= inARow {
			return true
		}
	}
	return false
}

// run counts the stones like that on a cell which follow it in a direction. As many as it takes to win will do.
func (b *Board) run(from, direction Move) int {
	n := 0
	for next := from; n < inARow-1; n++ {
		next = Move{next.Row + direction.Row, next.Column + direction.Column}
		if !next.onBoard() || b.At(next) != b.At(from) {
			break
		}
	}
	return n
}

// AppendRow writes a row of the board: a character for each cell, `.` for a free one, `B` and `W` for stones.
func (b *Board) AppendRow(to []byte, row int) []byte {
	for _, stone := range b.cells[row] {
		to = append(to, ".BW"[stone])
	}
	return to
}

// A record is the moves of a game as text: two letters for each, its row and its column, from a to o.

// Record adds a move to a record.
func Record(record string, m Move) string {
	return record + string([]byte{'a' + byte(m.Row), 'a' + byte(m.Column)})
}

// Moves is how many moves a record has.
func Moves(record string) int { return len(record) / 2 }

// Recorded is a move of a record, counted from 0.
func Recorded(record string, n int) Move {
	return Move{int(record[2*n]) - 'a', int(record[2*n+1]) - 'a'}
}

// Replay places the moves of a record on an empty board. It returns an error, and the board before it, if one of them could not be placed.
func Replay(record string) (*Board, error) {
	b := &Board{}
	if len(record)%2 != 0 {
		return b, fmt.Errorf("gomoku: a record of %d letters", len(record))
	}
	for n := range Moves(record) {
		if _, err := b.Place(Recorded(record, n)); err != nil {
			return b, fmt.Errorf("move %d of the record: %w", n+1, err)
		}
	}
	return b, nil
}
