package workers

import (
	"context"
	"log/slog"
	"time"

	"guichet/models/database"
	"guichet/models/feed"
	"guichet/models/operation"
)

const (
	// houseEvery is how often what has outlived its use is deleted.
	houseEvery = time.Minute
	// Answers and feed entries are promised for 24 hours; the rest is margin for clocks that differ.
	keepAnswers = 48 * time.Hour
	keepEntries = 48 * time.Hour
	// trimAtOnce bounds one deletion, so that it holds nobody up.
	trimAtOnce = 5000
)

// keepHouse deletes what is kept no longer. Several processes may do it at once.
func (w *Workers) keepHouse(ctx context.Context) {
	log := feed.NewLog(w.DB)
	for pause(ctx, houseEvery) {
		now := time.Now()
		var err error
		for deleted := int64(trimAtOnce); err == nil && deleted > 0; {
			err = w.DB.Write(ctx, func(tx database.Tx) error {
				deleted, err = operation.ForgetAnswers(tx, now.Add(-keepAnswers), trimAtOnce)
				return err
			})
		}
		for deleted := int64(trimAtOnce); err == nil && deleted > 0; {
			deleted, err = log.Trim(ctx, now.Add(-keepEntries), trimAtOnce)
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "housekeeping is left for later", "error", err)
		}
	}
}
