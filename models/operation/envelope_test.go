package operation

import (
	"testing"

	"guichet/models/id"
)

// An envelope whose commands are not those of its batches is refused: what it lacks would be taken out of line with the rest, and lost.
func TestEnvelopeWithoutItsCommands(t *testing.T) {
	t.Parallel()
	g := id.NewGenerator()
	first, second := g.Next(), g.Next()
	command := func(i id.ID) Command { return Command{ID: i, UserID: i, Kind: "order", Payload: []byte(`{}`)} }
	whole := []Command{command(first), command(first.WithIndex(1)), command(second.WithIndex(7))}
	batches := []Batch{{first, 2}, {second.WithIndex(7), 1}}
	for name, commands := range map[string][]Command{
		"none": nil, "the last is missing": whole[:2], "the first is missing": whole[1:], "one too many": append(whole[:3:3], command(g.Next())),
		"another order": {whole[1], whole[0], whole[2]}, "somebody else's": {whole[0], whole[1], command(second)},
	} {
		e := Envelope{Batches: batches, Commands: commands}
		if _, err := DecodeEnvelope(lane, e.Encode()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	e := Envelope{Batches: batches, Commands: whole}
	if _, err := DecodeEnvelope(lane, e.Encode()); err != nil {
		t.Error(err)
	}
}
