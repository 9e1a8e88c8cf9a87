package exchange

import (
	"math/bits"

	"guichet/models/money"
)

// level is the orders of one side at one price, the earliest first.
type level struct {
	key          uint64 // of the price: smaller is better
	quantity     int64
	orders       uint32
	head, tail   Ref
	better, next uint32 // the levels beside it; next is the one that is worse. In a free level, next is the next free one
}

// ladder is the levels of one side: a list of them, best first, and a tree that finds the place of a price in it.
//
// The tree is a PATRICIA trie (Morrison, Journal of the ACM 15, 1968) over the bits of the prices, six at a time. A fork has two entries or more, so there are
// fewer forks than levels wherever the prices lie: at most 280 bytes a level, and mostly a few. A path is at most 11 forks long; where prices lie close, two or three.
// Levels and forks are numbered, and used again when they are free: the garbage collector has nothing to follow in them, and nothing is allocated at steady state.
type ladder struct {
	flip      uint64 // what turns a price into its key
	levels    []level
	freeLevel uint32
	forks     []fork
	freeFork  uint32
	root      uint32 // an entry
	best      uint32 // the level at the head of the list; 0 for none
	count     int
}

// An entry of a fork is 0 for none, the number of a level, or, with this bit, that of a fork.
const isFork = 1 << 31

// digit is how many bits of a key a fork goes by.
const digit = 6

// fork parts the keys that have the same bits above its digit. In a free fork, entries[0] is the next free one.
type fork struct {
	prefix  uint64 // the bits above its digit
	used    uint64 // which entries are set
	shift   uint8  // of its digit: a multiple of six
	entries [1 << digit]uint32
}

func newLadder(side Side) ladder {
	l := ladder{levels: make([]level, 1), forks: make([]fork, 1)} // the first of each stands for none
	if side == Buy {
		l.flip = ^uint64(0) // the highest price is the best
	}
	return l
}

func (l *ladder) key(price money.Amount) uint64 { return uint64(price) ^ l.flip }

func (l *ladder) price(v *level) money.Amount { return money.Amount(v.key ^ l.flip) }

// find returns the level of a price, or 0.
func (l *ladder) find(price money.Amount) uint32 {
	key := l.key(price)
	if l.levels[l.best].key == key && l.best != 0 {
		return l.best
	}
	at := l.root
	for at&isFork != 0 {
		at = l.forks[at&^isFork].entry(key) // what the digits between forks are, the level's own key tells in the end
	}
	if at != 0 && l.levels[at].key == key {
		return at
	}
	return 0
}

// add makes the level of a price that has none.
func (l *ladder) add(price money.Amount) uint32 {
	key := l.key(price)
	added, in := l.newLevel(key), l.newFork() // made first: to make more moves them all
	slot := &l.root
	for {
		at := *slot
		switch {
		case at == 0: // the first level of all
			l.dropFork(in)
			l.link(0, added, 0)
			*slot = added
			return added
		case at&isFork == 0:
			l.part(slot, in, l.levels[at].key, added)
			return added
		}
		f := &l.forks[at&^isFork]
		if key>>f.shift>>digit != f.prefix {
			l.part(slot, in, f.prefix<<digit<<f.shift, added)
			return added
		}
		slot = &f.entries[f.digit(key)]
		if f.used>>f.digit(key)&1 == 0 {
			l.dropFork(in)
			l.linkIn(f, added)
			f.set(key, added)
			return added
		}
	}
}

// part puts a fork in the place of an entry, with the entry and the added level in it. The keys under the entry share the digits above the fork with other.
func (l *ladder) part(slot *uint32, in uint32, other uint64, added uint32) {
	key, at := l.levels[added].key, *slot
	f := &l.forks[in]
	f.shift = uint8((63 - bits.LeadingZeros64(key^other)) / digit * digit)
	f.prefix, f.used = key>>f.shift>>digit, 0
	f.set(other, at)
	l.linkIn(f, added)
	f.set(key, added)
	*slot = in | isFork
}

// remove takes an empty level away.
func (l *ladder) remove(at uint32) {
	key := l.levels[at].key
	var above *uint32
	slot := &l.root
	for *slot != at {
		f := &l.forks[*slot&^isFork]
		above, slot = slot, &f.entries[f.digit(key)]
	}
	*slot = 0
	if above != nil {
		f := &l.forks[*above&^isFork]
		f.used &^= 1 << f.digit(key)
		if f.used&(f.used-1) == 0 { // one entry is left, which needs no fork
			in := *above &^ isFork
			*above = f.entries[bits.TrailingZeros64(f.used)]
			l.dropFork(in)
		}
	}
	v := &l.levels[at]
	l.levels[v.better].next, l.levels[v.next].better = v.next, v.better // 0 takes what is said to nobody
	if l.best == at {
		l.best = v.next
	}
	*v = level{next: l.freeLevel}
	l.freeLevel = at
	l.count--
}

// linkIn puts a level that is about to be set in a fork, which has others, in its place in the list.
func (l *ladder) linkIn(f *fork, added uint32) {
	d := f.digit(l.levels[added].key)
	if worse := f.used >> d; worse != 0 {
		next := l.first(f.entries[d+uint64(bits.TrailingZeros64(worse))])
		l.link(l.levels[next].better, added, next)
		return
	}
	better := l.last(f.entries[63-bits.LeadingZeros64(f.used)])
	l.link(better, added, l.levels[better].next)
}

func (l *ladder) link(better, added, next uint32) {
	v := &l.levels[added]
	v.better, v.next = better, next
	l.levels[next].better = added
	if better == 0 {
		l.best = added
	} else {
		l.levels[better].next = added
	}
}

// first is the best level under an entry.
func (l *ladder) first(at uint32) uint32 {
	for at&isFork != 0 {
		f := &l.forks[at&^isFork]
		at = f.entries[bits.TrailingZeros64(f.used)]
	}
	return at
}

// last is the worst level under an entry.
func (l *ladder) last(at uint32) uint32 {
	for at&isFork != 0 {
		f := &l.forks[at&^isFork]
		at = f.entries[63-bits.LeadingZeros64(f.used)]
	}
	return at
}

func (f *fork) digit(key uint64) uint64 { return key >> f.shift & (1<<digit - 1) }

func (f *fork) entry(key uint64) uint32 {
	d := f.digit(key)
	return f.entries[d] & -uint32(f.used>>d&1) // 0 if it is not set
}

func (f *fork) set(key uint64, at uint32) {
	d := f.digit(key)
	f.used |= 1 << d
	f.entries[d] = at
}

func (l *ladder) newLevel(key uint64) uint32 {
	at := l.freeLevel
	if at == 0 {
		at = uint32(len(l.levels))
		l.levels = append(l.levels, level{})
	}
	v := &l.levels[at]
	l.freeLevel = v.next
	*v = level{key: key}
	l.count++
	return at
}

func (l *ladder) newFork() uint32 {
	in := l.freeFork
	if in == 0 {
		l.forks = append(l.forks, fork{})
		return uint32(len(l.forks) - 1)
	}
	l.freeFork = l.forks[in].entries[0]
	return in
}

func (l *ladder) dropFork(in uint32) {
	f := &l.forks[in]
	f.used, f.entries[0] = 0, l.freeFork
	l.freeFork = in
}
