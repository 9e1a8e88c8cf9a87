package exchange

import (
	"encoding/binary"
	"math/bits"

	"guichet/models/id"
)

// index finds a resting order by its id. New orders come into a small table that stays in the processor's cache, and move on to a large one when there are too
// many of them: most orders that are cancelled or filled are young, so a million that just rest slow nobody down.
type index struct {
	young, old table
}

// youngest is how many orders the small table holds at most. It then has 2^17 slots, which take 1 MiB, what a core's second-level cache has.
const youngest = 3 << 15

func newIndex() index {
	return index{young: newTable(smallest), old: newTable(smallest)}
}

// count is how many orders there are.
func (x *index) count() int { return x.young.count + x.old.count }

// find returns the order with the id, or 0.
func (x *index) find(order *id.ID, nodes []node) Ref {
	tag := tagOf(order)
	if ref := x.young.find(tag, order, nodes); ref != 0 || x.old.count == 0 {
		return ref
	}
	return x.old.find(tag, order, nodes)
}

// add takes in an order that is not there.
func (x *index) add(order *id.ID, ref Ref, nodes []node) {
	if x.young.count == youngest {
		x.age(nodes)
	}
	x.young.add(slot{tagOf(order), ref})
}

// age moves all orders on. The small table becomes as small as it began, so that the few that come next are close together.
func (x *index) age(nodes []node) {
	for _, s := range x.young.slots {
		if s.ref != 0 {
			nodes[s.ref].old = true
			x.old.add(s)
		}
	}
	x.young.slots, x.young.shift, x.young.count = x.young.slots[:1<<smallest], 32-smallest, 0
	clear(x.young.slots)
}

// remove takes out an order that is there.
func (x *index) remove(n *node, ref Ref) {
	if n.old {
		x.old.remove(slot{tagOf(&n.id), ref})
		return
	}
	x.young.remove(slot{tagOf(&n.id), ref})
}

// table is a hash table with linear probing and deletion by shifting back (Knuth, The Art of Computer Programming 3, section 6.4, algorithms L and R). Its slots have
// no pointers, and eight bytes each.
type table struct {
	slots []slot // a power of two of them
	spare []slot // those of before it grew, to be used when it grows again
	shift uint8  // 32 − the logarithm of how many slots there are
	count int
}

// slot is free if its ref is 0. The tag is the hash: its upper bits say where the slot would best be.
type slot struct {
	tag uint32
	ref Ref
}

// smallest is the logarithm of how many slots a table begins with.
const smallest = 10

func newTable(logarithm uint8) table {
	return table{slots: make([]slot, 1<<logarithm), shift: 32 - logarithm}
}

// tagOf mixes an id: the product of its halves, folded, as in wyhash. Ids are the house's own, so nobody can choose some that collide.
func tagOf(order *id.ID) uint32 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(order[:8])^0x9e3779b97f4a7c15, binary.LittleEndian.Uint64(order[8:])^0xe7037ed1a0b428db)
	return uint32((high ^ low) >> 32)
}

func (t *table) mask() uint32 { return uint32(len(t.slots) - 1) }

func (t *table) find(tag uint32, order *id.ID, nodes []node) Ref {
	mask := t.mask()
	for at := tag >> t.shift; ; at++ {
		s := t.slots[at&mask]
		if s.ref == 0 || s.tag == tag && nodes[s.ref].id == *order {
			return s.ref
		}
	}
}

func (t *table) add(s slot) {
	if t.count*4 >= len(t.slots)*3 {
		t.grow()
	}
	t.count++
	t.put(s)
}

func (t *table) put(s slot) {
	mask := t.mask()
	at := s.tag >> t.shift & mask
	for t.slots[at].ref != 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = s
}

func (t *table) remove(s slot) {
	mask := t.mask()
	at := s.tag >> t.shift & mask
	for t.slots[at].ref != s.ref {
		at = (at + 1) & mask
	}
	for next := (at + 1) & mask; t.slots[next].ref != 0; next = (next + 1) & mask {
		home := t.slots[next].tag >> t.shift
		if (next-home)&mask >= (next-at)&mask { // it may stand where the gap is, and still be found
			t.slots[at] = t.slots[next]
			at = next
		}
	}
	t.slots[at] = slot{}
	t.count--
}

func (t *table) grow() {
	old := t.slots
	if n := 2 * len(old); cap(t.spare) >= n {
		t.slots = t.spare[:n]
		clear(t.slots)
	} else {
		t.slots = make([]slot, n)
	}
	t.spare = old
	t.shift--
	for _, s := range old {
		if s.ref != 0 {
			t.put(s)
		}
	}
}
