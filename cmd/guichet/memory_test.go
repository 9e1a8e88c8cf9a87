package main

import "testing"

func TestWhenMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	var h heap
	for i, look := range []struct {
		allocated, live uint64 // in MiB
		want            bool
	}{
		{30, 8, false}, // it has started just now
		{31, 8, true},
		{32, 8, false}, // not worthwhile
		{34, 8, false},
		{36, 8, true},
		{99, 8, false}, // it works
		{110, 8, false},
		{111, 8, true},
		{114, 1000, false},
		{117, 1000, false},
		{1000, 1000, false},
		{1001, 1000, true},
	} {
		if got := h.rests(look.allocated*mib, look.live*mib); got != look.want {
			t.Errorf("look %d: %t", i, got)
		}
	}
}
