package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"guichet/api"
	"guichet/models/bank"
	"guichet/models/money"
	"guichet/models/operation"
	"guichet/models/problem"
)

// errUnknownAccount is one answer to both: no account has the number, and it is somebody else's.
var errUnknownAccount = problem.New(problem.UnknownAccount, "There is no such account, or it is not yours.")

// ownAccount refuses accounts of others. A user has one account, which the session knows.
func ownAccount(ctx context.Context, number string) error {
	if sessionOf(ctx).AccountNumber != number {
		return errUnknownAccount
	}
	return nil
}

// CreateDeposit submits a deposit.
func (s *Server) CreateDeposit(ctx context.Context, request api.CreateDepositRequestObject) (api.CreateDepositResponseObject, error) {
	return s.moveCash(ctx, bank.KindDeposit, request.Number, request.Body.Amount)
}

// CreateWithdrawal submits a withdrawal.
func (s *Server) CreateWithdrawal(ctx context.Context, request api.CreateWithdrawalRequestObject) (api.CreateWithdrawalResponseObject, error) {
	return s.moveCash(ctx, bank.KindWithdrawal, request.Number, request.Body.Amount)
}

func (s *Server) moveCash(ctx context.Context, kind, account string, amount api.Amount) (operationAnswer, error) {
	if err := ownAccount(ctx, account); err != nil {
		return operationAnswer{}, err
	}
	return s.enqueue(ctx, bank.Lane, kind, bank.CashCommand{Account: account, Amount: money.Amount(amount)})
}

// CreateTransfer submits a transfer.
func (s *Server) CreateTransfer(ctx context.Context, request api.CreateTransferRequestObject) (api.CreateTransferResponseObject, error) {
	body := request.Body
	if err := ownAccount(ctx, body.From); err != nil {
		return nil, err
	}
	if body.From == body.To {
		return nil, problem.New(problem.SameAccount, "A transfer needs two accounts.")
	}
	command := bank.TransferCommand{From: body.From, To: body.To, Amount: money.Amount(body.Amount)}
	if body.Reference != nil {
		command.Reference = *body.Reference
	}
	return s.enqueue(ctx, bank.Lane, bank.KindTransfer, command)
}

// ListAccounts reads the caller's accounts.
func (s *Server) ListAccounts(ctx context.Context, request api.ListAccountsRequestObject) (api.ListAccountsResponseObject, error) {
	after, err := decodeCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	found, err := bank.Accounts(s.DB.Read(ctx), sessionOf(ctx).UserID, after, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(found, limit, func(a *bank.Account) string { return a.Number })
	list := api.ListAccounts200JSONResponse{Items: make([]api.Account, len(found)), NextCursor: encodeCursor(next)}
	for i := range found {
		s.Clock.Witness(found[i].Lamport) // the answer is sent after what it shows
		list.Items[i] = accountOf(&found[i])
	}
	return list, nil
}

func accountOf(a *bank.Account) api.Account {
	return api.Account{Number: a.Number, Balance: int64(a.Balance), Held: int64(a.Held), Available: int64(a.Available())}
}

// GetAccount reads a balance.
func (s *Server) GetAccount(ctx context.Context, request api.GetAccountRequestObject) (api.GetAccountResponseObject, error) {
	account, err := s.account(ctx, request.Number)
	if err != nil {
		return nil, err
	}
	return api.GetAccount200JSONResponse(accountOf(&account)), nil
}

func (s *Server) account(ctx context.Context, number string) (bank.Account, error) {
	account, err := bank.GetAccount(s.DB.Read(ctx), sessionOf(ctx).UserID, number)
	if errors.Is(err, bank.ErrNotFound) {
		return account, errUnknownAccount
	}
	s.Clock.Witness(account.Lamport)
	return account, err
}

// ListEntries reads a page of an account's statement.
func (s *Server) ListEntries(ctx context.Context, request api.ListEntriesRequestObject) (api.ListEntriesResponseObject, error) {
	if err := ownAccount(ctx, request.Number); err != nil {
		return nil, err
	}
	beforeUs, beforeSequence, err := numbersCursor(request.Params.Cursor)
	if err != nil {
		return nil, err
	}
	limit := limitOf(request.Params.Limit)
	lines, err := bank.Statement(s.DB.Read(ctx), request.Number, beforeUs, beforeSequence, limit+1)
	if err != nil {
		return nil, err
	}
	lines, next := page(lines, limit, func(l *bank.Line) string { return fmt.Sprintf("%d.%d", l.AtUs, l.Sequence) })
	list := api.ListEntries200JSONResponse{Items: make([]api.Entry, len(lines)), NextCursor: encodeCursor(next)}
	for i, l := range lines {
		s.Clock.Witness(l.Lamport)
		entry := bank.Entry{OperationID: l.OperationID, Part: l.Part}
		list.Items[i] = api.Entry{
			Id: entry.ID(), OperationId: l.OperationID.String(), Amount: int64(l.Amount), BalanceAfter: int64(l.BalanceAfter), Kind: l.Kind,
			Counterparty: l.Counterparty, Reference: l.Reference, At: operation.FromMicro(l.AtUs), Lamport: int64(l.Lamport),
		}
	}
	return list, nil
}

// GetBalance reads the balance as of a time or an operation.
func (s *Server) GetBalance(ctx context.Context, request api.GetBalanceRequestObject) (api.GetBalanceResponseObject, error) {
	at, operationID := request.Params.At, request.Params.Operation
	switch {
	case at != nil && operationID != nil:
		return nil, invalid([]problem.Field{{Pointer: "query/operation", Message: "cannot be given together with at"}})
	case at != nil:
		return s.balanceAt(ctx, request.Number, *at)
	case operationID != nil:
		return s.balanceAfter(ctx, request.Number, *operationID)
	}
	account, err := s.account(ctx, request.Number)
	if err != nil {
		return nil, err
	}
	return api.GetBalance200JSONResponse{Number: account.Number, Balance: int64(account.Balance), At: time.Now().UTC()}, nil
}

func (s *Server) balanceAt(ctx context.Context, number string, at time.Time) (api.GetBalanceResponseObject, error) {
	if err := ownAccount(ctx, number); err != nil {
		return nil, err
	}
	if year := at.UTC().Year(); year < 0 || year > 9999 { // as its offset may make it
		return nil, invalid([]problem.Field{{Pointer: "query/at", Message: "must be in the years 0000 to 9999, UTC"}})
	}
	balance, err := bank.BalanceAt(ctx, s.DB, number, at)
	if err == nil {
		_, err = s.account(ctx, number) // for its stamp, which no posting that was read exceeds
	}
	return api.GetBalance200JSONResponse{Number: number, Balance: int64(balance), At: at.UTC()}, err
}

func (s *Server) balanceAfter(ctx context.Context, number, operationText string) (api.GetBalanceResponseObject, error) {
	if err := ownAccount(ctx, number); err != nil {
		return nil, err
	}
	operationID, err := parseID(operationText)
	if err != nil {
		return nil, err
	}
	balance, at, err := bank.BalanceAfter(ctx, s.DB, number, operationID)
	if errors.Is(err, bank.ErrNotFound) {
		return nil, problem.New(problem.NotFound, "The operation did not move this account.")
	}
	if err == nil {
		_, err = s.account(ctx, number)
	}
	return api.GetBalance200JSONResponse{Number: number, Balance: int64(balance), At: at}, err
}
