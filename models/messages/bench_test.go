package messages

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"guichet/models/database"
	"guichet/models/lamport"
	"guichet/models/testbed"
	"guichet/models/testbed/stores"
)

// BenchmarkPost is 256 who talk in one room all the time, on a Redis that keeps what it answers, while the table follows.
func BenchmarkPost(b *testing.B) {
	options, err := redis.ParseURL(testbed.PrivateRedis(b, testbed.Options{}).URL())
	must(b, err)
	client := redis.NewClient(options)
	defer client.Close() //nolint:errcheck // only measures
	db := stores.MySQL(b, testbed.MySQL(b))
	log := NewLog(client, db, &lamport.Clock{})
	f, err := log.NewFollower(b.Context(), db)
	must(b, err)
	stop := make(chan struct{})
	var following sync.WaitGroup
	stored := 0
	following.Go(func() {
		for stopped := false; ; {
			batches, err := f.Next(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			if len(batches) == 0 {
				if stopped {
					return
				}
				select {
				case <-stop:
					stopped = true
				case <-time.After(50 * time.Millisecond):
				}
				continue
			}
			if err := db.Write(b.Context(), func(tx database.Tx) error { return f.Store(tx, batches) }); err != nil {
				b.Error(err)
				return
			}
			for i := range batches {
				stored += len(batches[i].Messages)
			}
			if _, err := f.Stored(b.Context(), batches); err != nil {
				b.Error(err)
				return
			}
		}
	})
	draft := draftIn(ids.Next(), strings.Repeat("word ", 12))
	b.SetParallelism(128)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := log.Post(b.Context(), draft); err != nil {
				b.Error(err)
				return
			}
		}
	})
	close(stop)
	following.Wait()
	b.StopTimer()
	if stored != b.N {
		b.Errorf("%d of %d are stored", stored, b.N)
	}
}
