// Package beat has what is done now and then fall into the same moments, everywhere on a machine. A resting system has a dozen things to look after each second; done
// one after the other while cores and caches are awake, they cost a fraction of what they cost at a dozen times.
package beat

import "time"

// Until is how long it is from now to the next multiple of every since 1970: more than zero, and at most every.
func Until(every time.Duration) time.Duration { return until(time.Now(), every) }

func until(now time.Time, every time.Duration) time.Duration {
	return every - time.Duration(now.UnixNano()%int64(every))
}
