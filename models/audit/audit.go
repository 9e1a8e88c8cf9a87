// Package audit proves the books: it recomputes from the journal what the tables say, on one snapshot, and reports what does not agree.
package audit

import (
	"context"
	"fmt"
	"time"

	"guichet/models/database"
)

// maxFindings bounds what one check reports.
const maxFindings = 20

// Check is one claim about the books, and what was found against it.
type Check struct {
	Name     string
	Checked  int64 // how many things were looked at
	Findings []string
	failed   int64
}

// Holds says whether nothing was found against the claim.
func (c *Check) Holds() bool { return c.failed == 0 }

func (c *Check) find(format string, args ...any) {
	c.failed++
	if len(c.Findings) < maxFindings {
		c.Findings = append(c.Findings, fmt.Sprintf(format, args...))
	}
}

// Report is the outcome of an audit.
type Report struct {
	At     time.Time
	Took   time.Duration
	Checks []*Check
}

// Holds says whether every check held.
func (r *Report) Holds() bool {
	for _, c := range r.Checks {
		if !c.Holds() {
			return false
		}
	}
	return true
}

// Run audits the store, which may be in use. An error means that it could not be read, not that the books are wrong.
func Run(ctx context.Context, db *database.DB) (*Report, error) {
	began := time.Now()
	report := &Report{At: began.UTC()}
	err := db.Snapshot(ctx, func(tx database.Tx) (err error) {
		report.Checks, err = checkAll(tx)
		return err
	})
	report.Took = time.Since(began)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

func checkAll(tx database.Tx) ([]*Check, error) {
	var checks []*Check
	for _, check := range []func(database.Tx) ([]*Check, error){checkLedger, checkJournal, checkExchange, checkTrips, checkEvents, checkRooms, checkMessages, checkFiles, checkGames, replayJournal} {
		found, err := check(tx)
		if err != nil {
			return nil, err
		}
		checks = append(checks, found...)
	}
	return checks, nil
}
