package handlers

import (
	"encoding/json"
	"testing"
	"time"

	"guichet/api"
	"guichet/models/identity"
	"guichet/models/messages"
	"guichet/models/problem"
)

// A message that the database does not have yet is told again to who repeats the request: if they may not speak any more, and if the database is away and Redis has lost
// other keys.
func TestRepeatedMessageThatIsNotStored(t *testing.T) {
	for name, then := range map[string]func(c *counter){
		"muted": func(c *counter) {
			until, err := json.Marshal(time.Now().Add(time.Hour).UTC().Truncate(time.Second))
			must(c.t, err)
			c.moderates(c.as("root", identity.RoleAdmin), "Ada", api.MemberChange{MutedUntil: until})
		},
		"away": func(c *counter) {
			must(c.t, c.Redis.HSet(c.t.Context(), "chat:{chat}:state", "before", 1, "made", time.Now().UnixMilli()).Err())
			must(c.t, c.DB.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBothStores(t, func(t *testing.T, c *counter) {
				h := openHall(t, c)
				c.RedisIsDurable, c.Messages = true, messages.NewLog(c.Redis, c.DB, c.Clock)
				say := func(text string) reply {
					return c.ask("POST", "/v1/rooms/lobby/messages", `{"text":"`+text+`"}`, "Authorization", "Bearer "+h.token, "Idempotency-Key", "a-key")
				}
				first := c.expect(say("hello"), 201, "")
				then(c)
				if again := c.expect(say("hello"), 201, ""); again.json["id"] != first.json["id"] || again.json["sequence"] != first.json["sequence"] {
					t.Errorf("%v; want %v", again.json, first.json)
				}
				if other := say("something else"); other.json["code"] != string(problem.IdempotencyKeyReused) {
					t.Errorf("another request with the key: %d %v", other.Code, other.json)
				}
			})
		})
	}
}
