package handlers

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"guichet/models/database"
	"guichet/models/operation"
)

// keepAnswer stores the answer to a request that has an Idempotency-Key. It is called in the transaction that makes what the answer shows.
type keepAnswer func(tx database.Tx, answer any) error

// createOnce answers 201 with what create makes without waiting in line. If there is a key, that is committed once; then the same answer is given
// again. A refusal is not kept: nothing was made, and the same request may succeed later.
func (s *Server) createOnce(ctx context.Context, key *operation.Key, create func(keep keepAnswer) (any, error)) (jsonAnswer, error) {
	if before, found, err := s.answeredBefore(ctx, key); found || err != nil {
		return before, err
	}
	made, err := create(func(tx database.Tx, answer any) error { return keep(ctx, tx, key, answer) })
	if err != nil {
		// Another request with the key may have been faster, which shows as one conflict or the other.
		if before, found, lookErr := s.answeredBefore(ctx, key); found || errors.Is(lookErr, errKeyReused) {
			return before, lookErr
		}
		return jsonAnswer{}, err
	}
	body, err := json.Marshal(made)
	return jsonAnswer{http.StatusCreated, body, false}, err
}

func (s *Server) answeredBefore(ctx context.Context, key *operation.Key) (answer jsonAnswer, found bool, err error) {
	if key == nil {
		return jsonAnswer{}, false, nil
	}
	answers, err := operation.FindAnswers(s.DB.Read(ctx), []operation.Key{*key})
	if err != nil {
		return jsonAnswer{}, false, err
	}
	before, found := answers[key.Bare()]
	if !found {
		return jsonAnswer{}, false, nil
	}
	if before.Request != key.Request || before.Status == 0 {
		return jsonAnswer{}, false, errKeyReused
	}
	body, err := unseal(callOf(ctx).key, before.Body)
	return jsonAnswer{before.Status, body, true}, err == nil, err
}

// keyPatience is how long the database may take to tell, or to be told, that a key was used: of reservations and messages Redis knows it as well, unless it has lost it.
const keyPatience = 500 * time.Millisecond

// madeWithKey looks in the database for what was made before with a key. While the database is away, Redis knows as well; unless it has lost keys, and then the database
// has to be waited for.
func madeWithKey[T any](ctx context.Context, look func(context.Context) (T, bool, error), remembers func() (bool, error)) (made T, found bool, err error) {
	lookFor := func(patience time.Duration) (T, bool, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return look(ctx)
	}
	made, found, err = lookFor(keyPatience)
	if found || err == nil || errors.Is(err, errKeyReused) {
		return made, found, err
	}
	known, err := remembers()
	if known || err != nil {
		return made, false, err
	}
	return lookFor(journalPatience)
}

func keep(ctx context.Context, tx database.Tx, key *operation.Key, answer any) error {
	if key == nil {
		return nil
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return keepBody(ctx, tx, key, body)
}

func keepBody(ctx context.Context, tx database.Tx, key *operation.Key, body []byte) error {
	sealed, err := seal(callOf(ctx).key, body)
	if err != nil {
		return err
	}
	return operation.KeepAnswers(tx, []operation.Key{*key}, []operation.Answer{{Request: key.Request, Status: http.StatusCreated, Body: sealed}}, time.Now())
}

// Answers may show secrets, such as a token, that the store must not have in the clear. They are sealed with the Idempotency-Key, of which the store
// has only the hash: whoever can ask for the answer can open it.

func seal(header string, body []byte) ([]byte, error) {
	aead, err := sealer(header)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, body, nil), nil
}

func unseal(header string, sealed []byte) ([]byte, error) {
	aead, err := sealer(header)
	if err != nil {
		return nil, err
	}
	body, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("handlers: a kept answer cannot be opened: %w", err)
	}
	return body, nil
}

func sealer(header string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(header), nil, "guichet: answer to an Idempotency-Key", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
