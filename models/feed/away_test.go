package feed

import (
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Redis that does not answer must not hold up whoever publishes: a lane does so after each commit.
func TestPublishWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // a test's
	rdb := redis.NewClient(&redis.Options{Addr: silent.Addr().String(), ContextTimeoutEnabled: true})
	defer rdb.Close() //nolint:errcheck // a test's
	p := NewPublisher(nil, rdb)
	began := time.Now()
	for range 100 {
		p.Publish(t.Context(), Publication{Lane: "bank"})
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 publications took %v", took)
	}
}
