package games

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"guichet/models/chat"
	"guichet/models/id"
)

// payloadOf is the payload that a command is submitted with.
func payloadOf(c *Command) any {
	return map[string]any{KindInvitation: c.Invitation, KindAcceptance: c.Acceptance, KindMove: c.Move, KindLeaving: c.Leaving, KindTimeout: c.Ending, KindWithdrawal: c.Ending}[c.Kind]
}

func TestDecodeCommand(t *testing.T) {
	t.Parallel()
	game, other := ids.Next(), ids.Next()
	for _, c := range []*Command{
		{Kind: KindInvitation, Invitation: InvitationCommand{chat.Lobby, "ada", MinMoveSeconds}},
		{Kind: KindInvitation, Invitation: InvitationCommand{other, "Ädä \"", MaxMoveSeconds}},
		{Kind: KindAcceptance, Acceptance: AcceptanceCommand{game, "grace"}},
		{Kind: KindMove, Move: MoveCommand{game, 0, 14}},
		{Kind: KindMove, Move: MoveCommand{game, 14, 0}},
		{Kind: KindLeaving, Leaving: LeavingCommand{game}},
		{Kind: KindTimeout, Ending: EndingCommand{[]id.ID{game, other}}},
		{Kind: KindWithdrawal, Ending: EndingCommand{[]id.ID{game}}},
	} {
		payload, err := json.Marshal(payloadOf(c))
		ok(t, err)
		if got, err := DecodeCommand(c.Kind, payload); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %+v %v, want %+v", payload, got, err, c)
		}
	}
}

func TestNoCommands(t *testing.T) {
	t.Parallel()
	const game = `"0199b2c4-8a10-7000-8000-3f2a9c51d600"`
	for _, c := range [][2]string{
		{"purchase", `{}`}, {KindInvitation, ``}, {KindInvitation, `[]`}, {KindInvitation, `{}`}, {KindInvitation, `{"room":` + game + `,"user":"ada"}`},
		{KindInvitation, `{"room":` + game + `,"user":"ada","move_seconds":0}`}, {KindInvitation, `{"room":` + game + `,"user":"ada","move_seconds":86401}`},
		{KindInvitation, `{"room":` + game + `,"user":"","move_seconds":1}`}, {KindInvitation, `{"room":"lobby","user":"ada","move_seconds":1}`}, {KindInvitation, `{"user":"ada","move_seconds":1}`},
		{KindAcceptance, `{"game":` + game + `}`}, {KindAcceptance, `{"user":"grace"}`},
		{KindMove, `{"row":1,"column":1}`}, {KindMove, `{"game":` + game + `,"row":-1,"column":0}`}, {KindMove, `{"game":` + game + `,"row":15,"column":0}`},
		{KindMove, `{"game":` + game + `,"row":0,"column":-1}`}, {KindMove, `{"game":` + game + `,"row":0,"column":15}`}, {KindMove, `{"game":` + game + `,"row":0.5,"column":0}`},
		{KindLeaving, `{}`}, {KindLeaving, `{"game":"x"}`},
		{KindTimeout, `{}`}, {KindTimeout, `{"games":[]}`}, {KindWithdrawal, `{"games":[` + strings.Repeat(game+`,`, MaxEndings) + game + `]}`},
	} {
		if got, err := DecodeCommand(c[0], []byte(c[1])); err == nil {
			t.Errorf("%s %s was read as %+v", c[0], c[1], got)
		}
	}
}

// No payload panics, and what was read can be decided.
func FuzzDecodeCommand(f *testing.F) {
	f.Add(KindInvitation, `{"room":"6c6f6262-7900-0000-0000-000000000000","user":"ada","move_seconds":300}`)
	f.Add(KindMove, `{"game":"0199b2c4-8a10-7000-8000-3f2a9c51d600","row":7,"column":7}`)
	f.Add(KindTimeout, `{"games":["0199b2c4-8a10-7000-8000-3f2a9c51d600"]}`)
	f.Fuzz(func(t *testing.T, kind, payload string) {
		c, err := DecodeCommand(kind, []byte(payload))
		if err != nil {
			return
		}
		if named := c.Games(); (len(named) == 0) != (kind == KindInvitation) || len(named) > MaxEndings {
			t.Errorf("%+v names %v", c, named)
		}
		_, _ = newTable(t).submit(submission{"ada", ids.Next(), c})
	})
}
