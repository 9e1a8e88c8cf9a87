package audit

import (
	"maps"
	"slices"

	"guichet/models/bank"
	"guichet/models/database"
	"guichet/models/operation"
	"guichet/models/problem"
)

// bankReplayer replays deposits, withdrawals and transfers, and answers for the accounts, which all counters share.
type bankReplayer struct{ ledger *bank.Ledger }

func newBankReplayer(_ database.Tx, ledger *bank.Ledger) (replayer, error) {
	return bankReplayer{ledger}, nil
}

func (b bankReplayer) replay(command *operation.Command, cause bank.Cause) *problem.Problem {
	movement, err := bank.DecodeMovement(command.Kind, command.Payload)
	if err != nil {
		panic(err)
	}
	_, refusal := b.ledger.Move(cause, movement)
	return refusal
}

func (b bankReplayer) compare(tx database.Tx, c *Check) error {
	accounts, err := readAccounts(tx)
	if err != nil {
		return err
	}
	for _, number := range slices.Sorted(maps.Keys(accounts)) {
		recorded, again := accounts[number], b.ledger.Account(number)
		if recorded.balance != again.Balance || recorded.held != again.Held {
			c.find("account %s: the balance is %d with %d held; replayed, it is %d with %d held", number, recorded.balance, recorded.held, again.Balance, again.Held)
		}
	}
	for h, err := range holds(tx) {
		if err != nil {
			return err
		}
		again := b.ledger.Hold(h.id)
		if again == nil {
			again = &bank.Hold{} // never made, or ended and forgotten
		}
		if h.remaining != again.Remaining || again.Remaining > 0 && (h.account != again.Account || h.amount != again.Amount) {
			c.find("hold %s: %d of %d remain on account %s; replayed, %d of %d on account %s",
				h.id, h.remaining, h.amount, h.account, again.Remaining, again.Amount, again.Account)
		}
	}
	return nil
}
