package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// restLook is how often it is looked whether the process rests: whether it has allocated less than restingAllocs since.
	restLook      = 5 * time.Second
	restingAllocs = 4 << 20 // bytes
	// worthwhile is how much garbage there has to be, in bytes, and as a share of what lives.
	worthwhile      = 4 << 20
	worthwhileShare = 0.25
)

// returnMemory gives memory back to the system while the process rests: a heap that may grow to five times what lives in it (see gcPercent) would keep for ever what
// its start and its last busy time have made of it.
func returnMemory(ctx context.Context) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(restLook)
	defer tick.Stop()
	var garbage heap
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		if garbage.rests(samples[0].Value.Uint64(), samples[1].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}

// heap is what is known of the heap since the last look.
type heap struct {
	seen  uint64 // bytes ever allocated when it was last looked
	freed uint64 // likewise, when memory was last given back
}

// rests says whether memory is to be given back now, by how many bytes were ever allocated, and how many lived at the last collection.
func (h *heap) rests(allocated, live uint64) bool {
	busy := allocated-h.seen >= restingAllocs
	h.seen = allocated
	if busy || allocated-h.freed < max(worthwhile, uint64(worthwhileShare*float64(live))) {
		return false
	}
	h.freed = allocated
	return true
}
