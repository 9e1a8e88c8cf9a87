package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

var errorf = fmt.Errorf

// scrape reads the metrics of a process.
func (p *process) scrape(t testing.TB) map[string]float64 {
	t.Helper()
	response, err := http.Get("http://" + p.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
				values[line[:at]] = value
			}
		}
	}
	return values
}

// metric says whether a metric has a value.
func (p *process) metric(name string, want float64) error {
	if got, there := p.scrape(p.house)[name]; got != want || !there {
		return fmt.Errorf("%s is %v (there: %t), want %v", name, got, there, want)
	}
	return nil
}

func TestMetrics(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		ada, admin := p.user(t), p.admin(t)
		ada.deposit(5)
		admin.pause(true)
		for range 3 {
			ada.post("/v1/accounts/"+ada.account+"/deposits", `{"amount":1}`).expect(t, http.StatusAccepted)
		}
		ada.get("/v1/nothing").expect(t, http.StatusNotFound)
		values := p.scrape(t)
		for name, want := range map[string]float64{
			`guichet_lane_depth{lane="bank"}`: 3, `guichet_lane_paused{lane="bank"}`: 1, `guichet_lane_held{lane="bank"}`: 1, `guichet_lane_operations_total{lane="bank"}`: 1,
			"guichet_feed_subscriptions": 0, "guichet_feed_waiters": 0, "guichet_feed_cut_off_total": 0,
			`guichet_http_request_seconds_count{method="POST",route="/v1/accounts/:number/deposits",status="2xx"}`: 4,
			`guichet_http_request_seconds_count{method="GET",route="none",status="4xx"}`:                           1,
		} {
			if got, there := values[name]; !there || got != want {
				t.Errorf("%s is %v (there: %t), want %v", name, got, there, want)
			}
		}
		for _, name := range []string{`guichet_lane_oldest_age_seconds{lane="bank"}`, "guichet_lamport_time", "guichet_feed_position", "go_goroutines", "process_resident_memory_bytes", `guichet_lane_envelope_seconds_count{lane="bank"}`} {
			if values[name] <= 0 {
				t.Errorf("%s is %v", name, values[name])
			}
		}
		pools := 0
		for name := range values {
			if strings.HasPrefix(name, "go_sql_open_connections") {
				pools++
			}
			if strings.Contains(name, ada.account) || strings.Contains(name, ada.username) {
				t.Errorf("a metric for each user: %s", name)
			}
		}
		if pools == 0 {
			t.Error("nothing is said of the database's connections")
		}
		admin.pause(false)
		eventually(t, "an empty lane", func() error { return p.metric(`guichet_lane_depth{lane="bank"}`, 0) })
	})
}
