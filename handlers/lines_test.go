package handlers

import (
	"fmt"
	"strings"
	"testing"
)

// TestNamesOfEvents: the name that is shown and stored is the normalised one, and one that does not show as it is written is refused.
func TestNamesOfEvents(t *testing.T) {
	onTheMarket(t, func(t *testing.T, m *market) {
		announce := func(name string) reply {
			return m.by(m.admin, "POST", "/v1/events", fmt.Sprintf(`{"name":"%s","starts_at":"2099-01-01T00:00:00Z","sections":[{"name":"A","rows":1,"seats_per_row":1,"price":1}]}`, name))
		}
		made := m.expect(announce(`Cafe\u0301`), 201, "").json
		shown := m.expect(m.by(m.admin, "GET", "/v1/events/"+made["id"].(string), ""), 200, "").json
		if made["name"] != "Café" || shown["name"] != "Café" {
			t.Errorf("made %q, shown %q", made["name"], shown["name"])
		}
		m.expect(announce(strings.Repeat("ä", 120)), 201, "")
		for _, name := range []string{"", " a", "a ", `a\tb`, `a\u200bb`, `a\u2800`, `\u0301a`, `a\u00a0b`, strings.Repeat("ä", 121), strings.Repeat(`\u0958`, 61)} { // of the last, NFC makes two each
			refused := m.expect(announce(name), 422, "invalid").json["errors"].([]any)[0].(map[string]any)
			if refused["pointer"] != "/name" {
				t.Errorf("%q: %v", name, refused)
			}
		}
	})
}
