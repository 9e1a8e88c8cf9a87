package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (m measurement) acceptedRate() float64 { return rate(total(m.accepted), m.window) }
func (m measurement) appliedRate() float64  { return rate(total(m.applied), m.window) }

func total(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// rate is n per second.
func rate(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// cpuPerRequest tells how many µs of CPU each program spent on each of n requests.
func cpuPerRequest(uses []cpuUse, n int64) string {
	if n == 0 || len(uses) == 0 {
		return ""
	}
	var parts []string
	for _, u := range uses {
		if u.name == others {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %.0f", u.name, float64(u.time.Microseconds())/float64(n)))
	}
	return "CPU µs each: " + strings.Join(parts, ", ") + otherUse(uses)
}

// otherUse tells what others used of a core, where it is enough to spoil a figure.
func otherUse(uses []cpuUse) string {
	const enough = 10 // %
	last := uses[len(uses)-1]
	if last.name != others || last.percent() < enough {
		return ""
	}
	return fmt.Sprintf("; OTHERS USED %.0f %% of a core", last.percent())
}

// cpuShares tells what part of a core each program used.
func cpuShares(uses []cpuUse) string {
	var parts []string
	for _, u := range uses {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", u.name, u.percent()))
	}
	return strings.Join(parts, ", ")
}

// perBucket writes counts of the measurement's buckets as rates, such as "15.1k 14.9k".
func (m measurement) perBucket(counts []int64) string {
	words := make([]string, len(counts))
	for i, n := range counts {
		words[i] = kilo(rate(n, min(m.bucket, m.window-time.Duration(i)*m.bucket)))
	}
	return strings.Join(words, " ")
}

// kilo writes a rate with three digits at most: 812, 3.9k, 52.1k, 152k, 15.9M.
func kilo(v float64) string {
	switch {
	case v < 1000:
		return fmt.Sprintf("%.0f", v)
	case v < 99_950:
		return fmt.Sprintf("%.1fk", v/1000)
	case v < 999_500:
		return fmt.Sprintf("%.0fk", v/1000)
	default:
		return fmt.Sprintf("%.1fM", v/1e6)
	}
}

// millis writes a duration in milliseconds: 0.41, 8.3, 412.
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return fmt.Sprintf("%.0f", ms)
	}
}

// median of at least one duration.
func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
