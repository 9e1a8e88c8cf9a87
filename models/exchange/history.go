package exchange

import "guichet/models/id"

// History is what is known of orders that are not in a book: as much as the commands of a round ask about.
type History struct {
	users     map[id.ID]id.ID // of the orders that have ended
	clientIDs map[clientID]struct{}
}

type clientID struct {
	user id.ID
	text string
}

// NewHistory returns an empty history.
func NewHistory() *History {
	return &History{users: map[id.ID]id.ID{}, clientIDs: map[clientID]struct{}{}}
}

// AddEnded says that an order of a user was filled or cancelled.
func (h *History) AddEnded(order, user id.ID) { h.users[order] = user }

// AddClientOrderID says that a user has given the id to an order that was accepted.
func (h *History) AddClientOrderID(user id.ID, clientOrderID string) {
	h.clientIDs[clientID{user, clientOrderID}] = struct{}{}
}

// ended says whether an order was one of the user's, and has ended.
func (h *History) ended(order, user id.ID) bool {
	owner, known := h.users[order]
	return known && owner == user
}

func (h *History) hasClientOrderID(user id.ID, clientOrderID string) bool {
	_, used := h.clientIDs[clientID{user, clientOrderID}]
	return used
}
