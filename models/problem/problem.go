// Package problem is the list of everything that can be refused: a stable code with its HTTP status and title, in the form of RFC 9457.
// A problem is what the client may see. Causes that it may not see are wrapped beside it and logged.
package problem

import (
	"encoding/json"
	"fmt"
	"time"
)

// Code is a stable word that programs tell problems apart by.
type Code string

// The codes, as openapi.yaml lists them.
const (
	Malformed              Code = "malformed"
	Invalid                Code = "invalid"
	Unauthorized           Code = "unauthorized"
	Forbidden              Code = "forbidden"
	NotFound               Code = "not_found"
	MethodNotAllowed       Code = "method_not_allowed"
	RequestTimeout         Code = "request_timeout"
	PayloadTooLarge        Code = "payload_too_large"
	UnsupportedMediaType   Code = "unsupported_media_type"
	TooManyRequests        Code = "too_many_requests"
	Internal               Code = "internal"
	Unavailable            Code = "unavailable"
	LaneFull               Code = "lane_full"
	IdempotencyKeyReused   Code = "idempotency_key_reused"
	UsernameTaken          Code = "username_taken"
	AccountNumberTaken     Code = "account_number_taken"
	UnknownUsername        Code = "unknown_username"
	WrongPassword          Code = "wrong_password"
	AlreadySignedIn        Code = "already_signed_in"
	TooManyAttempts        Code = "too_many_attempts"
	UnknownTopic           Code = "unknown_topic"
	UnknownAccount         Code = "unknown_account"
	SameAccount            Code = "same_account"
	InsufficientFunds      Code = "insufficient_funds"
	BalanceLimit           Code = "balance_limit"
	SymbolTaken            Code = "symbol_taken"
	UnknownSymbol          Code = "unknown_symbol"
	SymbolHalted           Code = "symbol_halted"
	DuplicateClientOrderID Code = "duplicate_client_order_id"
	InvalidLot             Code = "invalid_lot"
	InvalidTick            Code = "invalid_tick"
	InsufficientShares     Code = "insufficient_shares"
	NotionalOverflow       Code = "notional_overflow"
	PostOnlyWouldCross     Code = "post_only_would_cross"
	FOKNotFillable         Code = "fok_not_fillable"
	UnknownOrder           Code = "unknown_order"
	OrderNotOpen           Code = "order_not_open"
	UnknownTrip            Code = "unknown_trip"
	UnknownClass           Code = "unknown_class"
	InvalidQuantity        Code = "invalid_quantity"
	TripClosed             Code = "trip_closed"
	Departed               Code = "departed"
	NotEnoughStock         Code = "not_enough_stock"
	UnknownPurchase        Code = "unknown_purchase"
	PurchaseExpired        Code = "purchase_expired"
	PurchaseNotHeld        Code = "purchase_not_held"
	PurchaseEnded          Code = "purchase_ended"
	RefundClosed           Code = "refund_closed"
	StockInUse             Code = "stock_in_use"
	UnknownEvent           Code = "unknown_event"
	UnknownSection         Code = "unknown_section"
	UnknownSeat            Code = "unknown_seat"
	SeatTaken              Code = "seat_taken"
	SoldOut                Code = "sold_out"
	NoAdjacentSeats        Code = "no_adjacent_seats"
	SeatLimit              Code = "seat_limit"
	EventStarted           Code = "event_started"
	WaitingRoom            Code = "waiting_room"
	UnknownReservation     Code = "unknown_reservation"
	ReservationExpired     Code = "reservation_expired"
	ReservationNotHeld     Code = "reservation_not_held"
	ReservationEnded       Code = "reservation_ended"
	UnknownTicket          Code = "unknown_ticket"
	TicketUsed             Code = "ticket_used"
	TicketRefunded         Code = "ticket_refunded"
	UnknownRoom            Code = "unknown_room"
	RoomExists             Code = "room_exists"
	TicketRequired         Code = "ticket_required"
	Banned                 Code = "banned"
	Muted                  Code = "muted"
	NotAMember             Code = "not_a_member"
	UnknownMember          Code = "unknown_member"
	UnknownMessage         Code = "unknown_message"
	NotYourMessage         Code = "not_your_message"
	MessageTooOld          Code = "message_too_old"
	MessageDeleted         Code = "message_deleted"
	FileExists             Code = "file_exists"
	UnknownFile            Code = "unknown_file"
	NotYourFile            Code = "not_your_file"
	QuotaExceeded          Code = "quota_exceeded"
	RangeNotSatisfiable    Code = "range_not_satisfiable"
	UnknownGame            Code = "unknown_game"
	AlreadyWaiting         Code = "already_waiting"
	OwnGame                Code = "own_game"
	NotWaiting             Code = "not_waiting"
	GameTaken              Code = "game_taken"
	NotAPlayer             Code = "not_a_player"
	NotYourTurn            Code = "not_your_turn"
	CellTaken              Code = "cell_taken"
	NotPlaying             Code = "not_playing"
	UnknownUser            Code = "unknown_user"
	NotReplayable          Code = "not_replayable"
	OperationFailed        Code = "operation_failed"
)

type kind struct {
	status int
	title  string
}

var kinds = map[Code]kind{
	Malformed:              {400, "Malformed request"},
	Invalid:                {422, "Invalid request"},
	Unauthorized:           {401, "Not signed in"},
	Forbidden:              {403, "For admins only"},
	NotFound:               {404, "Not found"},
	MethodNotAllowed:       {405, "Method not allowed"},
	RequestTimeout:         {408, "Request came too slowly"},
	PayloadTooLarge:        {413, "Body too large"},
	UnsupportedMediaType:   {415, "Unsupported media type"},
	TooManyRequests:        {429, "Too many requests"},
	Internal:               {500, "Internal error"},
	Unavailable:            {503, "Temporarily unavailable"},
	LaneFull:               {503, "The line is full"},
	IdempotencyKeyReused:   {422, "Idempotency key reused"},
	UsernameTaken:          {409, "User name taken"},
	AccountNumberTaken:     {409, "Account number taken"},
	UnknownUsername:        {401, "Unknown user name"},
	WrongPassword:          {401, "Wrong password"},
	AlreadySignedIn:        {409, "Already signed in"},
	TooManyAttempts:        {429, "Too many attempts"},
	UnknownTopic:           {422, "Unknown topic"},
	UnknownAccount:         {404, "Unknown account"},
	SameAccount:            {422, "Same account"},
	InsufficientFunds:      {409, "Insufficient funds"},
	BalanceLimit:           {409, "Balance limit"},
	SymbolTaken:            {409, "Symbol taken"},
	UnknownSymbol:          {404, "Unknown symbol"},
	SymbolHalted:           {409, "Symbol halted"},
	DuplicateClientOrderID: {409, "Duplicate client order id"},
	InvalidLot:             {422, "Invalid lot"},
	InvalidTick:            {422, "Invalid tick"},
	InsufficientShares:     {409, "Insufficient shares"},
	NotionalOverflow:       {422, "Notional overflow"},
	PostOnlyWouldCross:     {409, "Post-only would cross"},
	FOKNotFillable:         {409, "Fill-or-kill not fillable"},
	UnknownOrder:           {404, "Unknown order"},
	OrderNotOpen:           {409, "Order not open"},
	UnknownTrip:            {404, "Unknown trip"},
	UnknownClass:           {404, "Unknown class"},
	InvalidQuantity:        {422, "Invalid quantity"},
	TripClosed:             {409, "Trip closed"},
	Departed:               {409, "Departed"},
	NotEnoughStock:         {409, "Not enough stock"},
	UnknownPurchase:        {404, "Unknown purchase"},
	PurchaseExpired:        {409, "Purchase expired"},
	PurchaseNotHeld:        {409, "Purchase not held"},
	PurchaseEnded:          {409, "Purchase ended"},
	RefundClosed:           {409, "Refund closed"},
	StockInUse:             {409, "Stock in use"},
	UnknownEvent:           {404, "Unknown event"},
	UnknownSection:         {422, "Unknown section"},
	UnknownSeat:            {422, "Unknown seat"},
	SeatTaken:              {409, "Seat taken"},
	SoldOut:                {409, "Sold out"},
	NoAdjacentSeats:        {409, "No adjacent seats"},
	SeatLimit:              {409, "Seat limit"},
	EventStarted:           {409, "Event started"},
	WaitingRoom:            {429, "Waiting room"},
	UnknownReservation:     {404, "Unknown reservation"},
	ReservationExpired:     {409, "Reservation expired"},
	ReservationNotHeld:     {409, "Reservation not held"},
	ReservationEnded:       {409, "Reservation ended"},
	UnknownTicket:          {404, "Unknown ticket"},
	TicketUsed:             {409, "Ticket used"},
	TicketRefunded:         {409, "Ticket refunded"},
	UnknownRoom:            {404, "Unknown room"},
	RoomExists:             {409, "Room exists"},
	TicketRequired:         {403, "Ticket required"},
	Banned:                 {403, "Banned"},
	Muted:                  {403, "Muted"},
	NotAMember:             {409, "Not a member"},
	UnknownMember:          {404, "Unknown member"},
	UnknownMessage:         {404, "Unknown message"},
	NotYourMessage:         {403, "Not your message"},
	MessageTooOld:          {409, "Message too old"},
	MessageDeleted:         {409, "Message deleted"},
	FileExists:             {409, "File exists"},
	UnknownFile:            {404, "Unknown file"},
	NotYourFile:            {403, "Not your file"},
	QuotaExceeded:          {409, "Quota exceeded"},
	RangeNotSatisfiable:    {416, "No such part"},
	UnknownGame:            {404, "Unknown game"},
	AlreadyWaiting:         {409, "Already waiting"},
	OwnGame:                {409, "Own game"},
	NotWaiting:             {409, "Not waiting"},
	GameTaken:              {409, "Game taken"},
	NotAPlayer:             {403, "Not a player"},
	NotYourTurn:            {409, "Not your turn"},
	CellTaken:              {409, "Cell taken"},
	NotPlaying:             {409, "Not playing"},
	UnknownUser:            {404, "Unknown user"},
	NotReplayable:          {409, "Not replayable"},
	OperationFailed:        {500, "The operation failed"},
}

// Status is the HTTP status of the code: 400 to 599.
func (c Code) Status() int {
	if k, known := kinds[c]; known {
		return k.status
	}
	return 500
}

// Title is a short text that is the same for every problem with the code.
func (c Code) Title() string { return kinds[c].title }

// Field is a part of the request that is invalid.
type Field struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// Problem is a refusal. It is an error.
type Problem struct {
	Code         Code
	Detail       string
	Fields       []Field
	AttemptsLeft *int
	RetryAfter   time.Duration // rounded up to seconds
	cause        error
}

// New returns a problem; detail is for people.
func New(code Code, detail string) *Problem { return &Problem{Code: code, Detail: detail} }

// Newf is New with a format.
func Newf(code Code, format string, args ...any) *Problem {
	return New(code, fmt.Sprintf(format, args...))
}

// Because adds the cause, which is logged and never shown.
func (p *Problem) Because(cause error) *Problem {
	with := *p
	with.cause = cause
	return &with
}

// After adds when to try again.
func (p *Problem) After(wait time.Duration) *Problem {
	with := *p
	with.RetryAfter = wait
	return &with
}

func (p *Problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%s: %s: %v", p.Code, p.Detail, p.cause)
	}
	return fmt.Sprintf("%s: %s", p.Code, p.Detail)
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.cause }

// RetryAfterSeconds is the value of a Retry-After header, or 0 for none.
func (p *Problem) RetryAfterSeconds() int { return int((p.RetryAfter + time.Second - 1) / time.Second) }

// MarshalJSON writes the body that RFC 9457 describes.
func (p *Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type         string  `json:"type"`
		Title        string  `json:"title"`
		Status       int     `json:"status"`
		Detail       string  `json:"detail"`
		Code         Code    `json:"code"`
		Errors       []Field `json:"errors,omitempty"`
		AttemptsLeft *int    `json:"attempts_left,omitempty"`
	}{"urn:guichet:problem:" + string(p.Code), p.Code.Title(), p.Code.Status(), p.Detail, p.Code, p.Fields, p.AttemptsLeft})
}
