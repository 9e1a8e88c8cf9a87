package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// access is what an operation of the contract answers to whom, when it is about things of the owner's.
type access struct {
	owner, other, nobody, admin int
	body                        func(s *scene) any
}

// scene is who plays in TestOwnership, and what the owner owns.
type scene struct {
	owner, other, nobody, admin, third *client
	operation                          string // the owner's, which is an order too
	trip, purchase                     string // the purchase is the owner's
	event, held, toRelease, ticket     string // two reservations of the owner's, and the code of a ticket of theirs
	room                               string // the owner's, where everybody is
	said, toDelete                     string // messages of the owner's in it
	offered, played, toLeave           string // games in it: an invitation of the third's, one between the owner and the third, and an invitation of the owner's
	made                               atomic.Int64
}

func cash(*scene) any { return map[string]any{"amount": 1} }

func words(*scene) any { return map[string]any{"text": "Good evening"} }

// accesses has a row for each operation of the contract: the test fails for one that has none.
var accesses = map[string]access{
	"createUser": {201, 201, 201, 201, func(s *scene) any {
		return map[string]any{"username": fmt.Sprint("new-", s.made.Add(1)), "password": "a-password-of-tests"}
	}},
	"createSession": {201, 201, 201, 201, func(s *scene) any {
		return map[string]any{"username": s.third.username, "password": s.third.password, "take_over": true}
	}},
	"deleteCurrentSession": {204, 204, 401, 204, nil},
	"getMe":                {200, 200, 401, 200, nil},
	"listNotices":          {200, 200, 401, 200, nil},
	"listOperations":       {200, 200, 401, 200, nil},
	"getOperation":         {200, 404, 401, 200, nil},
	"replayOperation":      {403, 403, 401, 409, nil},
	"getFeed":              {200, 200, 401, 200, nil},
	"createFeedTicket":     {201, 201, 401, 201, nil},
	"listAccounts":         {200, 200, 401, 200, nil},
	"getAccount":           {200, 404, 401, 404, nil},
	"listEntries":          {200, 404, 401, 404, nil},
	"getBalance":           {200, 404, 401, 404, nil},
	"createDeposit":        {202, 404, 401, 404, cash},
	"createWithdrawal":     {202, 404, 401, 404, cash},
	"createTransfer": {202, 404, 401, 404, func(s *scene) any {
		return map[string]any{"from": s.owner.account, "to": s.third.account, "amount": 1}
	}},
	"listSymbols": {200, 200, 401, 200, nil},
	"createSymbol": {403, 403, 401, 201, func(s *scene) any {
		return map[string]any{"symbol": fmt.Sprint("NEW", s.made.Add(1)), "name": "of tests", "tick": 1, "lot": 1}
	}},
	"getSymbol":    {200, 200, 401, 200, nil},
	"updateSymbol": {403, 403, 401, 200, func(*scene) any { return map[string]any{"halted": false} }},
	"createIssue":  {403, 403, 401, 202, func(s *scene) any { return map[string]any{"account": s.third.account, "quantity": 1} }},
	"getBook":      {200, 200, 401, 200, nil},
	"listTrades":   {200, 200, 401, 200, nil},
	"listCandles":  {200, 200, 401, 200, nil},
	"listOrders":   {200, 200, 401, 200, nil},
	"createOrder": {202, 202, 401, 202, func(*scene) any {
		return map[string]any{"symbol": "TCB", "side": "buy", "quantity": 1, "price": 1}
	}},
	"deleteOrders":    {202, 202, 401, 202, nil},
	"getOrder":        {200, 404, 401, 404, nil},
	"deleteOrder":     {202, 404, 401, 404, nil},
	"listFills":       {200, 200, 401, 200, nil},
	"listHoldings":    {200, 200, 401, 200, nil},
	"listTrips":       {200, 200, 401, 200, nil},
	"createTrip":      {403, 403, 401, 201, func(*scene) any { return tripIn(time.Hour, class("seat", 1, 1)) }},
	"getTrip":         {200, 200, 401, 200, nil},
	"updateTrip":      {403, 403, 401, 200, func(*scene) any { return terms{"name": "Day train"} }},
	"listPurchases":   {200, 200, 401, 200, nil},
	"createPurchase":  {202, 202, 401, 202, func(s *scene) any { return tickets(s.trip, "seat", 1) }},
	"getPurchase":     {200, 404, 401, 404, nil},
	"deletePurchase":  {202, 404, 401, 404, nil},
	"confirmPurchase": {202, 404, 401, 404, nil},
	"listEvents":      {200, 200, 401, 200, nil},
	"createEvent": {403, 403, 401, 201, func(*scene) any {
		return map[string]any{"name": "Chamber music", "starts_at": time.Now().Add(time.Hour).UTC(), "sections": []section{{"A", 1, 1, 1}}}
	}},
	"getEvent":              {200, 200, 401, 200, nil},
	"updateEvent":           {403, 403, 401, 200, func(*scene) any { return map[string]any{"waiting_room": nil} }},
	"getSeats":              {200, 200, 401, 200, nil},
	"getPlaceInWaitingRoom": {200, 200, 401, 200, nil},
	"createReservation":     {201, 201, 401, 201, func(*scene) any { return map[string]any{"quantity": 1} }},
	"listReservations":      {200, 200, 401, 200, nil},
	"getReservation":        {200, 404, 401, 404, nil},
	"deleteReservation":     {200, 404, 401, 404, nil},
	"payReservation":        {202, 404, 401, 404, nil},
	"listTickets":           {200, 200, 401, 200, nil},
	"getTicketPicture":      {200, 404, 401, 200, nil}, // of the admin's door
	"checkInTicket":         {403, 403, 401, 200, func(*scene) any { return map[string]any{"gate": "North 2"} }},
	"listRooms":             {200, 200, 401, 200, nil},
	"createRoom":            {201, 201, 401, 201, func(s *scene) any { return map[string]any{"name": fmt.Sprint("Room ", s.made.Add(1))} }},
	"getRoom":               {200, 200, 401, 200, nil},
	"listMembers":           {200, 200, 401, 200, nil},
	"enterRoom":             {200, 200, 401, 200, nil},
	"leaveRoom":             {204, 204, 401, 204, nil},
	"moderateMember":        {403, 403, 401, 200, func(*scene) any { return map[string]any{"muted_until": nil} }},
	"kickMember":            {403, 403, 401, 204, nil},
	"listMessages":          {200, 200, 401, 200, nil},
	"postMessage":           {201, 201, 401, 201, words},
	"getMessage":            {200, 200, 401, 200, nil},
	"editMessage":           {200, 403, 401, 403, words},
	"deleteMessage":         {200, 403, 401, 200, nil},
	"listFiles":             {200, 200, 401, 200, nil},
	"uploadFile":            {201, 201, 401, 201, nil},
	"downloadFile":          {200, 200, 401, 200, nil},
	"deleteFile":            {204, 404, 401, 404, nil}, // it is gone when the others ask
	"listGames":             {200, 200, 401, 200, nil},
	"inviteToGame":          {201, 201, 401, 201, func(*scene) any { return map[string]any{} }},
	"getGame":               {200, 200, 401, 200, nil},
	"acceptGame":            {200, 409, 401, 409, nil}, // it is taken when the others accept
	"makeMove":              {200, 403, 401, 403, func(*scene) any { return map[string]any{"row": 7, "column": 7} }},
	"leaveGame":             {200, 403, 401, 403, nil},
	"getPlayer":             {200, 200, 401, 200, nil},
	"listAnnouncements":     {200, 200, 401, 200, nil},
	"createAnnouncement":    {403, 403, 401, 201, words},
	"listLanes":             {403, 403, 401, 200, nil},
	"updateLane":            {403, 403, 401, 200, func(*scene) any { return map[string]any{"paused": false} }},
	"getAudit":              {403, 403, 401, 200, nil},
}

func TestOwnership(t *testing.T) {
	onBothPairs(t, func(t *testing.T, h *house) {
		p := h.serve()
		s := &scene{owner: p.user(t), other: p.user(t), nobody: p.client(t), admin: p.admin(t), third: p.user(t)}
		s.owner.deposit(1000)
		s.owner.deposit(1000)
		s.admin.list("TCB")
		s.admin.issue("TCB", s.owner, 10)
		s.operation = s.owner.post("/v1/orders", map[string]any{"symbol": "TCB", "side": "sell", "quantity": 10, "price": 40}, wait).operation(t, http.StatusOK).ID
		s.trip = s.admin.offerSeats(1, 1000).ID
		s.purchase = s.owner.ask(s.trip, "seat", 1).ID
		b := &boxOffice{TB: t, admin: s.admin, event: s.admin.announce(map[string]any{"sections": []section{{"A", 2, 20, 1}}})}
		s.event, s.held, s.toRelease, s.ticket = b.event, b.reserve(s.owner, "A-1-1").ID, b.reserve(s.owner, "A-1-2").ID, s.owner.paid(b.reserve(s.owner, "A-1-3")).Tickets[0]
		s.talk()
		known := map[string]bool{}
		for _, o := range contractOperations(t) {
			known[o.OperationID] = true
			row, written := accesses[o.OperationID]
			if !written {
				t.Errorf("%s has no row: say who may", o.OperationID)
				continue
			}
			for _, who := range []struct {
				name   string
				client *client
				want   int
			}{{"the owner", s.owner, row.owner}, {"another user", s.other, row.other}, {"nobody", s.nobody, row.nobody}, {"the admin", s.admin, row.admin}} {
				a := s.ask(o, row, who.client)
				if a.status != who.want {
					t.Errorf("%s by %s: %d, want %d\n%s", o.OperationID, who.name, a.status, who.want, a.body)
				}
				if who.client != s.owner && strings.Contains(string(a.body), s.operation) != (who.client == s.admin && o.OperationID == "getOperation") {
					t.Errorf("%s shows %s the owner's operation, or hides it from the admin: %s", o.OperationID, who.name, a.body)
				}
				granted := who.client == s.admin && o.OperationID == "listOperations" // the admin's own issue to the owner
				if who.client != s.owner && strings.Contains(string(a.body), s.owner.account) && o.OperationID != "getOperation" && !granted {
					t.Errorf("%s shows %s the owner's account: %s", o.OperationID, who.name, a.body)
				}
				if o.OperationID == "deleteCurrentSession" && who.client.token != "" {
					who.client.signIn()
				}
			}
			if !o.public {
				s.badTokens(t, o, row)
			}
		}
		for id := range accesses {
			if !known[id] {
				t.Errorf("the row of %s is of no operation", id)
			}
		}
		if got := s.owner.balance(); got < 1997 {
			t.Errorf("the owner has %d", got)
		}
		h.audit()
	})
}

func (s *scene) ask(o contractOperation, row access, c *client, options ...option) answer {
	c.Helper()
	path := o.fill(map[string]string{"number": s.owner.account, "id": s.idFor(o), "name": s.nameFor(o), "code": s.ticket, "message": s.messageFor(o), "username": s.third.username})
	if o.OperationID == "deleteOrders" {
		path += "?symbol=TCB"
	}
	if o.streams() {
		return c.peek(o.method, path, append([]option{func(r *http.Request) {
			if c.token == "" {
				r.Header.Del("Authorization")
			}
		}}, options...)...)
	}
	var body any
	if row.body != nil {
		body = row.body(s)
	}
	if o.OperationID == "uploadFile" {
		form, is := asForm(fmt.Sprint("notes-", s.made.Add(1), ".txt"), strings.NewReader("of tests"))
		return c.do(o.method, path, form, append([]option{is}, options...)...)
	}
	return c.do(o.method, path, body, options...)
}

// idFor is of what an operation is about.
func (s *scene) idFor(o contractOperation) string {
	switch o.OperationID {
	case "getTrip", "updateTrip":
		return s.trip
	case "getPurchase", "deletePurchase", "confirmPurchase":
		return s.purchase
	case "getEvent", "updateEvent", "getSeats", "getPlaceInWaitingRoom", "createReservation":
		return s.event
	case "getReservation", "payReservation":
		return s.held
	case "deleteReservation":
		return s.toRelease
	case "leaveRoom":
		return "lobby" // where nobody is
	case "acceptGame":
		return s.offered
	case "makeMove", "getGame":
		return s.played
	case "leaveGame":
		return s.toLeave
	}
	if strings.HasPrefix(o.path, "/v1/rooms/{id}") {
		return s.room
	}
	return s.operation
}

func (s *scene) nameFor(o contractOperation) string {
	switch o.OperationID {
	case "downloadFile":
		return "kept.txt"
	case "deleteFile":
		return "deleted.txt"
	default:
		return "bank"
	}
}

func (s *scene) messageFor(o contractOperation) string {
	if o.OperationID == "deleteMessage" {
		return s.toDelete
	}
	return s.said
}

// talk has everybody in a room of the owner's, where there are messages, files and games.
func (s *scene) talk() {
	s.owner.Helper()
	var room struct{ ID string }
	s.owner.post("/v1/rooms", map[string]any{"name": "Ownership"}).into(s.owner, http.StatusCreated, &room)
	s.room = room.ID
	path := "/v1/rooms/" + s.room
	for _, c := range []*client{s.owner, s.other, s.admin, s.third} {
		c.do(http.MethodPut, path+"/members/me", nil).expect(c, http.StatusOK)
	}
	made := func(c *client, path string, body any, status int) string {
		var thing struct{ ID string }
		c.post(path, body).into(c, status, &thing)
		return thing.ID
	}
	s.said, s.toDelete = made(s.owner, path+"/messages", words(s), http.StatusCreated), made(s.owner, path+"/messages", words(s), http.StatusCreated)
	for _, name := range []string{"kept.txt", "deleted.txt"} {
		form, is := asForm(name, strings.NewReader("of the owner's"))
		s.owner.post(path+"/files", form, is).expect(s.owner, http.StatusCreated)
	}
	const lobby = "/v1/rooms/lobby"
	for _, c := range []*client{s.owner, s.third} {
		c.do(http.MethodPut, lobby+"/members/me", nil).expect(c, http.StatusOK)
	}
	s.played = made(s.owner, path+"/games", map[string]any{}, http.StatusCreated)
	made(s.third, "/v1/games/"+s.played+"/acceptance", nil, http.StatusOK)
	s.offered = made(s.third, lobby+"/games", map[string]any{}, http.StatusCreated)
	s.toLeave = made(s.owner, lobby+"/games", map[string]any{}, http.StatusCreated)
}

// badTokens are ways to be nobody.
func (s *scene) badTokens(t *testing.T, o contractOperation, row access) {
	t.Helper()
	c := *s.owner
	basic := base64.StdEncoding.EncodeToString([]byte(c.username + ":" + c.password))
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer x", c.token, "Basic " + basic, "Bearer " + c.token + "x", "Bearer " + strings.ToUpper(c.token), "Token " + c.token, "Bearer " + strings.Repeat("x", 5000), "Bearer \xff"} {
		a := s.ask(o, row, &c, func(r *http.Request) {
			r.Header.Set("Authorization", authorization)
			r.URL.RawQuery = "ticket=" + c.token + "&access_token=" + c.token
		})
		a.problem(t, http.StatusUnauthorized, "unauthorized")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate is %q", o.OperationID, a.header.Get("WWW-Authenticate"))
		}
	}
	if o.method == http.MethodGet && !o.streams() {
		for _, authorization := range []string{"bearer " + c.token, "BEARER  " + c.token} { // the scheme is in any case (RFC 9110)
			s.ask(o, row, &c, header("Authorization", authorization)).expect(t, row.owner)
		}
	}
}
