package operation

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// WakeChannel is the Redis pub/sub channel on which whoever enqueued an
// envelope tells the lane's worker, in whichever process it lives. The payload
// is the lane's name; an empty payload means every lane.
const WakeChannel = "guichet:wake"

// PublishWake wakes lane's worker. Call it after the enqueue has succeeded, not
// before. It may be lost without harm: a lane finds what its queue does not bring
// in the journal, some seconds later, so an error is worth a log line and nothing
// else.
func PublishWake(ctx context.Context, rdb redis.Cmdable, lane string) error {
	return rdb.Publish(ctx, WakeChannel, lane).Err()
}
