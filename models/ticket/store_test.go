package ticket

import (
	"slices"
	"sync"
	"testing"

	"guichet/models/database"
	"guichet/models/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// onBothStores gives a test a way to open one store again and again, as processes do.
func onBothStores(t *testing.T, test func(t *testing.T, open func() *database.DB)) {
	t.Helper()
	t.Parallel()
	run := func(name string, source func(t *testing.T) func() (*database.DB, error)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connect := source(t)
			open := func() *database.DB {
				db, err := connect()
				must(t, err)
				t.Cleanup(func() { _ = db.Close() })
				return db
			}
			_, err := open().Migrate(t.Context())
			must(t, err)
			test(t, open)
		})
	}
	run("sqlite", func(t *testing.T) func() (*database.DB, error) {
		dir := t.TempDir()
		return func() (*database.DB, error) { return database.OpenSQLite(t.Context(), dir) }
	})
	run("mysql", func(t *testing.T) func() (*database.DB, error) {
		dsn := testbed.MySQL(t)
		return func() (*database.DB, error) { return database.OpenMySQL(t.Context(), dsn) }
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// However many processes start at once, there is one key, and it stays.
func TestOneKey(t *testing.T) {
	onBothStores(t, func(t *testing.T, open func() *database.DB) {
		const processes = 8
		stores := make([]*database.DB, processes)
		for i := range stores {
			stores[i] = open()
		}
		signers := make([]*Signer, processes)
		var ready, group sync.WaitGroup
		ready.Add(processes)
		for i := range signers {
			group.Go(func() {
				ready.Done()
				ready.Wait()
				var err error
				if signers[i], err = LoadSigner(t.Context(), stores[i]); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		later, err := LoadSigner(t.Context(), open())
		must(t, err)
		if later.secret == [32]byte{} || slices.ContainsFunc(signers, func(s *Signer) bool { return s.secret != later.secret }) {
			t.Error("the processes have different keys, or none")
		}
	})
}

// A store that cannot keep the key gives no signer: codes signed with another would be lost with the process.
func TestNoRoomForAKey(t *testing.T) {
	onBothStores(t, func(t *testing.T, open func() *database.DB) {
		db := open()
		must(t, db.Write(t.Context(), func(tx database.Tx) error {
			_, err := tx.Exec("DROP TABLE ticket_key")
			return err
		}))
		if s, err := LoadSigner(t.Context(), db); err == nil {
			t.Errorf("a signer with the key %x, and the store has no room for one", s.secret)
		}
	})
}
