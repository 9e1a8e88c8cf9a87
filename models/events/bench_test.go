package events

import (
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/testbed"
)

// BenchmarkReserve reserves two seats at a time in halls of 100,000, by 25 clients for each processor, until they are sold out. The rows are such that pairs
// fill them.
func BenchmarkReserve(b *testing.B) {
	for name, connect := range map[string]func(b *testing.B) redis.UniversalClient{
		"redis":     func(b *testing.B) redis.UniversalClient { return connectRedis(b, testbed.Redis(b)) },
		"miniredis": func(b *testing.B) redis.UniversalClient { return connectMini(b) },
	} {
		b.Run(name+"/seats", func(b *testing.B) {
			benchmarkReserve(b, connect(b), func(n int64) Want {
				seat := int(2 * n % MaxSeats)
				return Want{Seats: []int{seat, seat + 1}}
			})
		})
		b.Run(name+"/best", func(b *testing.B) {
			benchmarkReserve(b, connect(b), func(int64) Want { return Want{Quantity: 2} })
		})
	}
}

func benchmarkReserve(b *testing.B, client redis.UniversalClient, want func(n int64) Want) {
	b.Cleanup(func() { _ = client.Close() })
	seats := NewSeats(client)
	halls := make([]*Hall, b.N*2/MaxSeats+1)
	for i := range halls {
		halls[i] = hallOf(b, "A 100x50 100", "B 1000x50 50", "C 900x50 25")
		load(b, seats, halls[i], Snapshot{})
	}
	var count atomic.Int64
	b.SetParallelism(25)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := count.Add(1) - 1
			w := want(n)
			w.ID, w.UserID, w.Account, w.Now, w.HoldFor = ids.Next(), id.ID{1, byte(n), byte(n >> 8), byte(n >> 16)}, "ACC1", began, hold
			if _, err := seats.Reserve(b.Context(), halls[2*n/MaxSeats], w); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reserved/s")
}
