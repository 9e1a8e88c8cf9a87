package main

import (
	"fmt"
	"io"
	"strings"
)

// naiveRun names the rows of the naive baseline, which figures look up.
const naiveRun = "naive handler, one transaction a request"

// A row is one line of the table. What does not apply to it is zero and shown as a dash.
type row struct {
	run      string
	clients  int
	pattern  pattern
	accepted float64 // per second
	applied  float64 // per second
	latency  quantiles
	remarks  string
}

// A report collects what the scenarios measured.
type report struct {
	rows   []row
	values map[string]float64 // figures that are not in the rows, by the names in figures.go
	audits int                // that held
}

func (r *report) add(line row) {
	r.rows = append(r.rows, line)
	progress("  %s", line.markdown())
}

// set keeps a figure; of several under one name the largest counts, which is the worst.
func (r *report) set(name string, value float64) {
	if r.values == nil {
		r.values = map[string]float64{}
	}
	if old, known := r.values[name]; !known || value > old {
		r.values[name] = value
	}
}

// find returns the row of a run under given conditions.
func (r *report) find(run string, clients int, p pattern) (row, bool) {
	for _, line := range r.rows {
		if line.run == run && line.clients == clients && line.pattern == p {
			return line, true
		}
	}
	return row{}, false
}

// best is the highest rate of applied work of a run under a pattern, over all client counts; 0 if it was not run.
func (r *report) best(run string, p pattern) float64 {
	var highest float64
	for _, line := range r.rows {
		if line.run == run && line.pattern == p {
			highest = max(highest, line.applied)
		}
	}
	return highest
}

// print writes the whole report as markdown.
func (r *report) print(w io.Writer, conditions []string, failures []error) {
	for _, line := range conditions {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintf(w, "- audits that held: %d, one after each run on guichet; requests that erred: none, or listed under failures\n", r.audits)
	fmt.Fprint(w, "\n| run | clients | load | accepted/s | applied/s | p50 ms | p99 ms | remarks |\n")
	fmt.Fprint(w, "| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |\n")
	for _, line := range r.rows {
		fmt.Fprintln(w, line.markdown())
	}
	r.printFigures(w)
	if len(failures) > 0 {
		fmt.Fprint(w, "\nFailures:\n\n")
	}
	for _, err := range failures {
		fmt.Fprintf(w, "- %s\n", strings.ReplaceAll(err.Error(), "\n", " / "))
	}
}

func (line row) markdown() string {
	clients, where := dash, dash
	if line.clients > 0 {
		clients = fmt.Sprint(line.clients)
	}
	if line.pattern != "" {
		where = string(line.pattern)
	}
	p50, p99 := dash, dash
	if line.latency.count > 0 {
		p50, p99 = millis(line.latency.p50), millis(line.latency.p99)
	}
	cells := []string{line.run, clients, where, orDash(line.accepted), orDash(line.applied), p50, p99, line.remarks}
	return "| " + strings.Join(cells, " | ") + " |"
}

const dash = "–"

func orDash(rate float64) string {
	if rate == 0 {
		return dash
	}
	return kilo(rate)
}
