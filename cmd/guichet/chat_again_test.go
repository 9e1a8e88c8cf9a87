package main

import (
	"net/http"
	"testing"
)

// Who says again that they enter has not left in between: their invitation waits.
func TestEnteringAgainWithdrawsNothing(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace := p.user(t), p.user(t)
		ada.enter("lobby")
		grace.enter("lobby")
		invited := ada.invite(60)
		ada.enter("lobby")
		if g := grace.accepts(invited.ID); g.Status != "playing" {
			t.Errorf("%+v", g)
		}
		h.audit()
	})
}

// A key that was used gives the same answer again, also to who has left the room since, or may not speak any more. To another request it is as it would be without.
func TestKeysOutliveMembership(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t), p.admin(t)
		ada.enter("lobby")
		key := header("Idempotency-Key", "once")
		first := ada.said("lobby", "Hello", key)
		h.storedMessages("lobby", 1)
		ada.leave("lobby")
		again := ada.say("lobby", "Hello", key)
		var same chatMessage
		again.into(t, http.StatusCreated, &same)
		if same.ID != first.ID || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%+v, not %+v", same, first)
		}
		ada.say("lobby", "Good-bye", key).problem(t, 422, "idempotency_key_reused")
		ada.say("lobby", "Good-bye").problem(t, 409, "not_a_member")
		ada.enter("lobby")
		ada.edit(first, "Hello, all", header("Idempotency-Key", "edit")).expect(t, http.StatusOK)
		admin.moderate("lobby", ada, map[string]any{"banned": true})
		if a := ada.edit(first, "Hello, all", header("Idempotency-Key", "edit")).expect(t, http.StatusOK); a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%v", a.header)
		}
		ada.edit(first, "Hello").problem(t, 403, "banned")
		h.audit()
	})
}

// Whoever is banned while their file is on its way is refused when it is there, and nothing of it stays. Who has only left is not.
func TestBannedDuringAnUpload(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, grace, admin := p.user(t).inside("lobby"), p.user(t).inside("lobby"), p.admin(t)
		banned, gone := ada.stream("banned.txt"), grace.stream("gone.txt")
		banned.send("half ")
		gone.send("half ")
		admin.moderate("lobby", ada, map[string]any{"banned": true})
		grace.leave("lobby")
		banned.send("and half")
		gone.send("and half")
		banned.end().problem(t, 403, "banned")
		gone.end().expect(t, http.StatusCreated)
		h.keeps(1)
		h.audit()
	})
}
