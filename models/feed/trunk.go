package feed

import "sync"

// Trunk collects live entries for many readers, who are known to whoever takes them: each entry comes once, however many of the readers follow its topic.
// It is to be emptied without delay, as nothing bounds it.
type Trunk struct {
	hub  *Hub
	more chan struct{}

	mu      sync.Mutex
	pending []Frames
}

// NewTrunk returns a trunk without readers.
func (h *Hub) NewTrunk() *Trunk { return &Trunk{hub: h, more: make(chan struct{}, 1)} }

// Join makes the reader of a subscription one of the trunk's: what the hub delivers from now on comes through the trunk. It ends the subscription and returns
// what was pending in it, or ErrTooSlow.
func (t *Trunk) Join(s *Subscription) ([]Frames, error) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	pending, err := s.Take()
	if err != nil {
		return nil, err
	}
	t.hub.remove(s)
	t.hub.add(t, s.topics)
	return pending, nil
}

// Leave takes leave of a reader of the topics, who joined with them.
func (t *Trunk) Leave(topics []string) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	for _, topic := range topics {
		readers := t.hub.subscriptions[topic]
		if readers[t]--; readers[t] > 0 {
			continue
		}
		if delete(readers, t); len(readers) == 0 {
			delete(t.hub.subscriptions, topic)
		}
	}
}

// CutOff counts a reader who is cut off because too much waits for it.
func (t *Trunk) CutOff() {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	t.hub.stats.CutOff++
}

// More gets a value when Take may have something to return, and whenever Poke is called.
func (t *Trunk) More() <-chan struct{} { return t.more }

// Poke wakes whoever waits for More.
func (t *Trunk) Poke() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// Take returns what is pending, in order, which may be nothing. It keeps what comes next where the frames taken before were.
func (t *Trunk) Take(before []Frames) []Frames {
	clear(before)
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.pending
	t.pending = before[:0]
	return taken
}

func (t *Trunk) push(f Frames) bool {
	t.mu.Lock()
	t.pending = append(t.pending, f)
	t.mu.Unlock()
	t.Poke()
	return true
}
