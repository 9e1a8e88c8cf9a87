package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A scenario is one question put to the machine. It adds its rows to the report; its figures, if it
// has any to reach, stand in figures.go. A new counter brings a file with a scenario and a line here.
type scenario interface {
	name() string
	run(ctx context.Context, l *lab) error
}

// scenarios in the order in which they run: the baselines first, while the machine is fresh.
var scenarios = []scenario{
	naive{},
	noop{},
	transfers{splitShape},
	transfers{singleShape},
	transfers{embeddedShape},
	latency{},
	idle{},
	overload{},
	failover{},
	naiveExchange{},
	exchangeLoad{},
	exchangeLatency{},
	exchangeBurst{},
	exchangeDepth{},
	exchangeBook{},
	naiveTrips{},
	tripLoad{},
	eventLoad{},
	eventSoldOut{},
	eventPayment{},
	eventRace{},
	naiveChat{},
	naiveChat{numbered: true},
	messageLoad{},
	bareFanout{},
	fanout{},
	fanoutLatency{},
	fanoutMemory{},
	upload{},
}

func names(list []scenario) []string {
	var words []string
	for _, s := range list {
		words = append(words, s.name())
	}
	return words
}

// chosen returns the scenarios that a comma list names, in their own order; an empty list names all.
func chosen(only string) ([]scenario, error) {
	if only == "" {
		return scenarios, nil
	}
	words := strings.Split(only, ",")
	for _, word := range words {
		if !slices.Contains(names(scenarios), word) {
			return nil, fmt.Errorf("only: there is no %q; there are %s", word, strings.Join(names(scenarios), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool {
		return !slices.Contains(words, s.name())
	}), nil
}
