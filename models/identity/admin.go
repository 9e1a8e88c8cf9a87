package identity

import (
	"context"
	"errors"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/id"
)

// EnsureAdmin makes the user AdminUsername with this password, or gives it to the one that exists: that ends the admin's session.
// If the password is the one already, nothing changes. openAccount opens the account of a new admin in the same transaction.
// Several processes may do this at once.
func (i *Identity) EnsureAdmin(ctx context.Context, password string, openAccount func(tx database.Tx, user id.ID) error) error {
	var err error
	for range 3 { // another process may be doing the same
		err = i.tryEnsureAdmin(ctx, password, openAccount)
		if !errors.Is(err, ErrUsernameTaken) && !errors.Is(err, errPasswordChanged) {
			break
		}
	}
	return err
}

func (i *Identity) tryEnsureAdmin(ctx context.Context, password string, openAccount func(database.Tx, id.ID) error) error {
	known, err := findCredentials(i.db.Read(ctx), AdminUsername)
	if err != nil {
		return err
	}
	if known.userID.IsZero() {
		return i.createAdmin(ctx, password, openAccount)
	}
	right, err := i.hasher.verify(ctx, password, known.passwordHash)
	if err != nil || (right && known.role == RoleAdmin) {
		return err
	}
	return i.changeAdmin(ctx, known, password)
}

func (i *Identity) createAdmin(ctx context.Context, password string, openAccount func(database.Tx, id.ID) error) error {
	hash, err := i.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	admin := User{ID: i.ids.Next(), Username: AdminUsername, PasswordHash: hash, Role: RoleAdmin, CreatedAt: i.now()}
	return i.db.Write(ctx, func(tx database.Tx) error {
		if err := InsertUser(tx, admin); err != nil {
			return err
		}
		return openAccount(tx, admin.ID)
	})
}

func (i *Identity) changeAdmin(ctx context.Context, known credentials, password string) error {
	hash, err := i.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	var ended []feed.Entry
	err = i.db.Write(ctx, func(tx database.Tx) error {
		stored, err := lockCredentials(tx, known.userID)
		if err != nil {
			return err
		}
		if stored.passwordHash != known.passwordHash {
			return errPasswordChanged
		}
		stored.passwordHash, stored.role = hash, RoleAdmin
		if err := storePassword(tx, stored); err != nil {
			return err
		}
		ended, err = i.endSession(tx, known.userID, passwordChanged)
		if err != nil {
			return err
		}
		return feed.Append(tx, ended)
	})
	if err == nil {
		i.publish(ctx, ended)
	}
	return err
}

// endSession deletes a user's session, if there is one, and returns the entry that tells so. The user's row is locked.
func (i *Identity) endSession(tx database.Tx, user id.ID, reason string) ([]feed.Entry, error) {
	row, exists, err := lockSession(tx, user)
	if err != nil || !exists {
		return nil, err
	}
	if _, err := deleteSession(tx, user, row.id); err != nil {
		return nil, err
	}
	now := i.now()
	if err := i.settleAnnouncements(tx, row, now); err != nil {
		return nil, err
	}
	return []feed.Entry{i.sessionEnded(user, row.id, reason, now)}, nil
}

// CountUsers counts the users with the given names, and all others. Names that nobody can have are not counted.
func (i *Identity) CountUsers(ctx context.Context, names ...string) (named, others int, err error) {
	keys := make([]string, len(names))
	for k, name := range names {
		if _, keys[k], err = NormalizeUsername(name); err != nil {
			return 0, 0, err
		}
	}
	return countUsers(i.db.Read(ctx), keys)
}
