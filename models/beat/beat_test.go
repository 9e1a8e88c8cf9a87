package beat

import (
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		now         time.Time
		every, want time.Duration
	}{
		{time.Unix(10, 0), time.Second, time.Second}, // the next one, not this
		{time.Unix(10, 1), time.Second, time.Second - 1},
		{time.Unix(10, 999_999_999), time.Second, 1},
		{time.Unix(11, 0), 5 * time.Second, 4 * time.Second},
		{time.Unix(10, 400e6), 250 * time.Millisecond, 100 * time.Millisecond},
	} {
		if got := until(c.now, c.every); got != c.want {
			t.Errorf("%s until the next multiple of %s after %s, want %s", got, c.every, c.now.UTC(), c.want)
		}
	}
}
