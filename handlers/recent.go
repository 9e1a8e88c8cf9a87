package handlers

import (
	"sync"

	"guichet/models/id"
)

// mostRecent bounds how many things of each generation are remembered: some 10 MB.
const mostRecent = 50_000

// recent remembers something of what was submitted here a short time ago, which is what is mostly asked for next, and spares a look into the store. Of two
// generations, the older one is forgotten when the younger is full.
type recent[T any] struct {
	mu         sync.Mutex
	young, old map[id.ID]T
}

func (r *recent[T]) add(of id.ID, what T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || len(r.young) >= mostRecent {
		r.young, r.old = make(map[id.ID]T, len(r.young)), r.young // as many will come again
	}
	r.young[of] = what
}

func (r *recent[T]) find(of id.ID) (T, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what, found := r.young[of]
	if !found {
		what, found = r.old[of]
	}
	return what, found
}
