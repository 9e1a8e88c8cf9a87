package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"guichet/models/database"
	"guichet/models/id"
)

const (
	dealerCash   = startCash + 49_000
	dealerShares = 500
	dealtSymbol  = "CHA"
)

// dealers are a crowd that buys and sells shares, each following their feed.
type dealers struct {
	*crowd
	crew      *crew // nil if there are no workers apart
	followers []*follower
}

// newDealers makes them, with cash and shares, and sets them going.
func (h *house) newDealers(api *process, w *crew, seed uint64) *dealers {
	h.Helper()
	admin := api.admin(h)
	admin.list(dealtSymbol)
	d := &dealers{crowd: h.gather(api, seed), crew: w}
	d.choose = d.deal
	for _, p := range d.people {
		p.deposit(dealerCash - startCash)
		admin.issue(dealtSymbol, p.client, dealerShares)
		d.followers = append(d.followers, p.followAlong(d.api.Load))
	}
	d.setOut()
	return d
}

// deal is an order, or the cancellation of one that was accepted.
func (d *dealers) deal(p *customer, reference string) errand {
	if n := len(p.submissions); n > 0 && p.random.IntN(4) == 0 {
		if s := p.submissions[p.random.IntN(n)]; s.status == "succeeded" && s.errand.method == http.MethodPost {
			return errand{http.MethodDelete, "/v1/orders/" + s.operation.String(), nil}
		}
	}
	return errand{http.MethodPost, "/v1/orders", anyOrder(p.random, dealtSymbol).with("client_order_id", reference)}
}

// tended waits for so many more acknowledgements, and starts workers again that have ended meanwhile: each of two may hold a lane, and when Redis has forgotten their
// leases, each may lose its lane to the other.
func (d *dealers) tended(more int64) {
	d.Helper()
	from := d.acked.Load()
	eventually(d, "acknowledgements", func() error {
		d.tend()
		if n := d.acked.Load(); n < from+more {
			return fmt.Errorf("%d", n-from)
		}
		return nil
	})
}

func (d *dealers) tend() {
	d.Helper()
	if d.crew != nil {
		d.crew.tend()
	}
}

// tradesVerdict is what became of the promises.
type tradesVerdict struct {
	acked, unknown, trades                                                         int64
	ackedLost, doubled, moneyDelta, sharesDelta, fillsMissed, fillsDoubled, behind int64
	failed                                                                         int64
}

func (v *tradesVerdict) String() string {
	return fmt.Sprintf("acked_lost=%d doubled=%d money_delta=%d shares_delta=%d fills_missed=%d fills_doubled=%d unsettled=%d",
		v.ackedLost, v.doubled, v.moneyDelta, v.sharesDelta, v.fillsMissed, v.fillsDoubled, v.behind)
}

const keptPromises = "acked_lost=0 doubled=0 money_delta=0 shares_delta=0 fills_missed=0 fills_doubled=0 unsettled=0"

// judgeTrades waits until everything accepted has been executed, and compares what the store has with what people were told.
func (d *dealers) judgeTrades() {
	d.Helper()
	db := d.house.database()
	eventually(d, "an empty journal", func() error {
		d.tend()
		if waiting := number(d, db, "SELECT COUNT(*) FROM journal_batches"); waiting > 0 {
			return fmt.Errorf("%d batches wait", waiting)
		}
		return nil
	})
	var v tradesVerdict
	d.judgeSubmissions(db, &v)
	d.judgeStore(db, &v)
	for i, p := range d.people {
		d.judgeFills(d.followers[i], p.at(d.api.Load()), &v)
		p.at(d.api.Load()).settled(dealtSymbol)
	}
	d.Logf("%s (%d acknowledged, %d never answered, %d times 503, %d trades)", &v, v.acked, v.unknown, d.refused.Load(), v.trades)
	if v.String() != keptPromises {
		d.Errorf("a promise was broken: %s", &v)
	}
	if v.failed > 0 {
		d.Errorf("%d operations have failed: a fault of a store was taken for a bug", v.failed)
	}
	if v.trades == 0 {
		d.Error("nothing was traded: this tests nothing")
	}
	d.house.audit()
}

// judgeSubmissions looks for the outcome of everything that was acknowledged.
func (d *dealers) judgeSubmissions(db *database.DB, v *tradesVerdict) {
	d.Helper()
	rows, err := db.Read(context.Background()).Gorm().Raw(`SELECT o.id, o.kind, COALESCE(x.status, ''), (SELECT COUNT(*) FROM orders r WHERE r.id = o.id)
		FROM operations o LEFT JOIN outcomes x ON x.operation_id = o.id`).Rows()
	check(d, err)
	defer rows.Close()
	type executed struct {
		kind, status string
		orders       int64
	}
	found := map[id.ID]executed{}
	for rows.Next() {
		var operation id.ID
		var one executed
		check(d, rows.Scan(&operation, &one.kind, &one.status, &one.orders))
		found[operation] = one
		if one.status == "failed" {
			v.failed++
		}
	}
	check(d, rows.Err())
	for _, p := range d.people {
		for _, s := range p.submissions {
			if s.operation.IsZero() {
				v.unknown++
				continue
			}
			v.acked++
			one, known := found[s.operation]
			wanted := int64(0)
			if one.kind == "order" && one.status == "succeeded" {
				wanted = 1
			}
			if !known || one.status == "" || s.status != "" && s.status != one.status || one.orders != wanted {
				v.ackedLost++
				d.Errorf("%s was acknowledged as %s %q; the store has %+v", s.reference, s.operation, s.status, one)
			}
		}
	}
}

// judgeStore counts what there may be once only, and adds up what may not become more or less.
func (d *dealers) judgeStore(db *database.DB, v *tradesVerdict) {
	d.Helper()
	v.trades = number(d, db, "SELECT COUNT(*) FROM trades")
	v.doubled = number(d, db, "SELECT COUNT(*) - (SELECT COUNT(*) FROM (SELECT DISTINCT user_id, client_order_id FROM orders) AS d) FROM orders")
	v.behind = abs(number(d, db, "SELECT COUNT(*) FROM fills")-2*v.trades) + abs(number(d, db, "SELECT COUNT(*) FROM entries WHERE kind = 'trade'")-v.trades) +
		abs(number(d, db, "SELECT COUNT(DISTINCT reference) FROM entries WHERE kind = 'trade'")-v.trades) + abs(number(d, db, "SELECT trades FROM symbols")-v.trades)
	v.moneyDelta = abs(number(d, db, "SELECT SUM(balance) FROM accounts"))
	cash := d.house.fees(dealtSymbol)
	var shares int64
	for _, p := range d.people {
		cash += number(d, db, "SELECT balance FROM accounts WHERE number = ?", p.account)
		shares += number(d, db, "SELECT quantity FROM holdings WHERE account = ?", p.account)
	}
	v.moneyDelta += abs(cash - int64(len(d.people))*dealerCash)
	v.sharesDelta = abs(shares - int64(len(d.people))*dealerShares)
}

// judgeFills compares what somebody was told on the feed with the fills that they have.
func (d *dealers) judgeFills(f *follower, now *client, v *tradesVerdict) {
	d.Helper()
	listed := map[string]int64{}
	for _, one := range now.fills("") {
		listed[one.ID]++
	}
	deadline := time.Now().Add(patience)
	for len(f.fillsSoFar()) < len(listed) && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond)
	}
	f.stop.Store(true)
	f.finished.Wait()
	for _, one := range f.fillsSoFar() {
		listed[one.ID]--
	}
	for name, left := range listed {
		v.fillsMissed += max(left, 0)
		v.fillsDoubled += max(-left, 0)
		if left != 0 {
			d.Errorf("%s: told %d times too few", name, left)
		}
	}
}

// fillsSoFar are the fills that were told until now.
func (f *follower) fillsSoFar() []fill {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := ofEvent[fill](f, f.entries, "order.filled")
	if f.reader != nil {
		told = append(told, ofEvent[fill](f, f.reader.entriesSoFar(), "order.filled")...)
	}
	return told
}

// The holder of the exchange's lane is killed under load, and a standby takes over.
func TestExchangeChaosWorkerKilled(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	d := h.newDealers(api, w, 61)
	for range rounds(t, 3) {
		d.after(80, 300)
		w.kill(w.awaitHolderOf("exchange-0", -1))
	}
	d.after(100, 200)
	d.finish()
	d.judgeTrades()
}

// Both processes of the exchange, and Redis with all that is in it, one after the other.
func TestExchangeChaosEverything(t *testing.T) {
	t.Parallel()
	h := newPrivateRedisHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	d := h.newDealers(api, w, 62)
	for range rounds(t, 2) {
		d.after(80, 300)
		check(t, h.redis.Wipe(t.Context()))
		d.tended(150)
		d.api.Load().kill()
		d.api.Store(h.start([]string{"api"}))
		d.tended(50)
		w.kill(w.awaitHolderOf("exchange-0", -1))
	}
	d.tended(150)
	d.finish()
	d.judgeTrades()
}

func TestExchangeChaosAllInOneKilled(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		d := h.newDealers(h.serve(), nil, 63)
		for range rounds(t, 3) {
			d.after(80, 300)
			d.api.Load().kill()
			d.api.Store(h.serve())
		}
		d.after(100, 200)
		d.finish()
		d.judgeTrades()
	})
}

// The holder dies in the middle of a match: its transaction is open, and nothing of it is there. The standby makes the match, and both parties are told once.
func TestExchangeHolderDiesInAMatch(t *testing.T) {
	t.Parallel()
	h := newRealHouse(t)
	api, w := h.start([]string{"api"}), h.newCrew(2)
	f := api.listing(t, dealtSymbol)
	seller, buyer := f.trader(0, 100, dealtSymbol), f.trader(10_000, 0)
	where := func() *process { return api }
	hers, his := buyer.followAlong(where), seller.followAlong(where)
	offer := seller.place(limit(dealtSymbol, "sell", 50, 32))
	db := h.database()
	for n := range int64(2) {
		unlock := h.transaction(db, "UPDATE accounts SET lamport = lamport WHERE number = ?", seller.account)
		o := buyer.post("/v1/orders", limit(dealtSymbol, "buy", 10, 32)).operation(t, http.StatusAccepted)
		h.awaitStuck(db, "%accounts%FOR UPDATE%")
		holder := w.awaitHolderOf("exchange-0", -1)
		died := time.Now()
		w.kill(holder)
		if strings.Contains(buyer.state(dealtSymbol), o.ID) {
			t.Error("something of an open transaction is seen")
		}
		unlock()
		ended := buyer.get("/v1/operations/"+o.ID+"?wait=30").operation(t, http.StatusOK)
		if ended.Status != "succeeded" {
			t.Fatalf("%+v", ended)
		}
		took := time.Since(died)
		t.Logf("matched %v after kill -9 of the holder in the middle of it", took.Round(time.Millisecond))
		if took > takeoverBound {
			t.Errorf("matched after %v", took)
		}
		buyer.holds(dealtSymbol, 10*(n+1), 0)
		seller.order(offer.ID).is(t, "open", 10*(n+1), 50-10*(n+1), 0)
	}
	buyer.has(10_000-640, 0)
	seller.has(576, 0)
	for c, follower := range map[*client]*follower{buyer: hers, seller: his} {
		if n := follower.concludeFills(c); n != 2 {
			t.Errorf("%d fills", n)
		}
	}
	w.tend()
	h.audit()
}
