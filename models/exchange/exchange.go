// Package exchange is where shares are bought and sold: the rules of orders, and the books that they rest in.
//
// A Book matches quantities at prices, and knows nothing of money, of users, or of why. A Market is the rules of one symbol: it decides commands on its Book, on
// the bank's Ledger and on Holdings, and returns what became of them as facts, which a store saves and a feed tells. Both are pure: no clock, no database, no
// randomness.
package exchange

import (
	"hash/fnv"
	"regexp"
	"strconv"
	"time"

	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/money"
)

// Limits of what a command may say. A notional is at most money.MaxBalance.
const (
	MaxPrice    = money.Amount(1_000_000_000_000_000) // minor units a share
	MaxQuantity = int64(1_000_000_000_000)            // shares of one order, or of one issue
	MaxUnit     = int64(1_000_000_000)                // of a tick, in minor units, and of a lot, in shares
	MaxShares   = int64(money.MaxBalance)             // of a symbol in all: no sum of quantities overflows then, and JSON readers keep each exact
	MaxFeeBps   = 10_000
	// DefaultFeeBps is 10 % of the proceeds.
	DefaultFeeBps = 1_000
	// MaxLanes is how many lanes the symbols may be spread over.
	MaxLanes = 64
)

// Side is which way an order trades.
type Side string

// The sides.
const (
	Buy  Side = "buy"
	Sell Side = "sell"
)

// Opposite is the side that s trades with.
func (s Side) Opposite() Side {
	if s == Buy {
		return Sell
	}
	return Buy
}

// Type says whether an order has a limit.
type Type string

// The types. A limit order trades at its price or better; a market order trades at any price, and never rests.
const (
	LimitOrder  Type = "limit"
	MarketOrder Type = "market"
)

// TimeInForce says what becomes of what is not filled at once.
type TimeInForce string

// The times in force.
const (
	GoodTillCancelled TimeInForce = "gtc" // it rests in the book
	ImmediateOrCancel TimeInForce = "ioc" // it is cancelled
	FillOrKill        TimeInForce = "fok" // then the whole order is refused
)

// Status is the state of an order.
type Status string

// The states of an order.
const (
	Open      Status = "open" // it rests in the book
	Filled    Status = "filled"
	Cancelled Status = "cancelled" // what was filled before stands
)

// Liquidity says which side of a trade an order was on.
type Liquidity string

// Maker rested in the book; Taker met what rested.
const (
	Maker Liquidity = "maker"
	Taker Liquidity = "taker"
)

// Symbol is what is traded, as loaded.
type Symbol struct {
	Symbol   string
	Name     string
	Tick     money.Amount // prices are multiples of it
	Lot      int64        // quantities are multiples of it
	Halted   bool
	FeeBps   int // of the seller's proceeds, in hundredths of a per cent
	Lane     string
	Sequence int64 // of the last book change that was told
	Trades   int64 // how many there were: the number of the last one
	Issued   int64 // shares there are, which the holdings sum to; at most MaxShares
	Lamport  lamport.Stamp
	Listed   lamport.Stamp
	ListedAt time.Time
}

var symbolPattern = regexp.MustCompile(`^[A-Z][A-Z0-9]{0,11}$`)

// ValidSymbol says whether a symbol may have the name: 1 to 12 capital letters and digits, a letter first.
func ValidSymbol(symbol string) bool { return symbolPattern.MatchString(symbol) }

// FeesAccount is the number of the house's account that a symbol's fees go to: one for each symbol, so that lanes do not wait for each other.
func FeesAccount(symbol string) string { return "fees-" + symbol }

// LaneFamily is what the names of the exchange's lanes begin with.
const LaneFamily = "exchange"

// LaneName is the name of the n-th lane, from 0.
func LaneName(n int) string { return LaneFamily + "-" + strconv.Itoa(n) }

// LaneOf is the lane that a symbol gets when it is listed while there are the given number of lanes (FNV-1a of the symbol, modulo lanes).
func LaneOf(symbol string, lanes int) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(symbol)) // never fails: documented in hash
	return LaneName(int(h.Sum64() % uint64(max(lanes, 1))))
}

// Order is an order as loaded, or as an operation left it. Its id is that of the operation that placed it.
type Order struct {
	ID            id.ID
	Account       string
	UserID        id.ID
	ClientOrderID string // empty for none
	Symbol        string
	Side          Side
	Type          Type
	TimeInForce   TimeInForce
	PostOnly      bool
	Quantity      int64
	Filled        int64
	Price         money.Amount // the limit; 0 for a market order
	Status        Status
	Priority      int64 // its place in the line of its price: smaller is earlier. The stamp of its acceptance, which ascends within a lane
	SubmittedAt   time.Time
	CompletedAt   time.Time // zero while it is open
	Lamport       lamport.Stamp
}

// Remaining is what may still be filled: 0 unless the order is open.
func (o *Order) Remaining() int64 {
	if o.Status == Open {
		return o.Quantity - o.Filled
	}
	return 0
}

// CancelledQuantity is what was cancelled: filled + remaining + cancelled = quantity.
func (o *Order) CancelledQuantity() int64 {
	if o.Status == Cancelled {
		return o.Quantity - o.Filled
	}
	return 0
}

// Trade is a maker and a taker meeting, at the maker's price.
type Trade struct {
	Symbol     string
	Number     int64 // in the symbol, from 1, without holes
	Price      money.Amount
	Quantity   int64
	TakerSide  Side
	MakerOrder id.ID
	TakerOrder id.ID
	At         time.Time
	Lamport    lamport.Stamp
}

// ID is how clients know the trade: SYMBOL-n.
func (t *Trade) ID() string { return tradeID(t.Symbol, t.Number) }

func tradeID(symbol string, number int64) string {
	return symbol + "-" + strconv.FormatInt(number, 10)
}

// Fill is one side of a trade, as its owner sees it.
type Fill struct {
	UserID        id.ID
	Account       string
	OrderID       id.ID
	Symbol        string
	Number        int64 // of the trade
	Side          Side
	Quantity      int64
	Price         money.Amount
	Fee           money.Amount // the seller's; 0 for the buyer
	Liquidity     Liquidity
	OrderComplete bool // nothing of the order remains
	At            time.Time
	Lamport       lamport.Stamp
}

// ID is how clients know the fill: SYMBOL-n-buy or SYMBOL-n-sell.
func (f *Fill) ID() string { return tradeID(f.Symbol, f.Number) + "-" + string(f.Side) }

// Level is the orders of one side at one price.
type Level struct {
	Price    money.Amount
	Quantity int64 // what remains of them
	Orders   int64 // how many they are
}

// BookChange is the levels that changed, as they are now: one with quantity 0 is gone.
type BookChange struct {
	Symbol   string
	Sequence int64   // one more than that of the change before
	Bids     []Level // the highest price first
	Asks     []Level // the lowest price first
}
