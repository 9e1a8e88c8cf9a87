package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// sampleStep takes the operations of every so-many-th client: reading all of them would take longer
// than the run that made them. The clients are alike, so the rest is as these are.
const sampleStep = 8

// A sample is what the operations of some clients say of a run.
type sample struct {
	latency quantiles // from submitted_at to finished_at, of those submitted within the window
	applied []int64   // finished in each bucket, scaled up to all clients
}

// sampleOperations reads the operations that clients 1 … n submitted during a run, and waits for those that have not ended.
func (h *house) sampleOperations(ctx context.Context, n int, m measurement) (sample, error) {
	recorder := newRecorder()
	applied := make([]int64, len(m.applied))
	var clients int64
	for i := 1; i <= n; i += sampleStep {
		clients++
		err := h.eachOperation(ctx, &h.people[i], m.start, func(o operation) {
			at := o.Submitted.Sub(m.start)
			if at >= 0 && at < m.window {
				recorder.record(i, o.Finished.Sub(o.Submitted))
			}
			if at := o.Finished.Sub(m.start); at >= 0 && at < m.window {
				applied[at/m.bucket]++
			}
		})
		if err != nil {
			return sample{}, err
		}
	}
	for i := range applied {
		applied[i] = applied[i] * int64(n) / clients
	}
	return sample{recorder.quantiles(), applied}, nil
}

// eachOperation visits a person's transfers, newest first, back to a time; those that have not ended it waits for.
func (h *house) eachOperation(ctx context.Context, p *person, since time.Time, visit func(operation)) error {
	for cursor := ""; ; {
		var page struct {
			Items []operation `json:"items"`
			Next  *string     `json:"next_cursor"`
		}
		path := "/v1/operations?kind=transfer&limit=200"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		if _, err := h.call(ctx, http.MethodGet, path, p.token, nil, &page); err != nil {
			return err
		}
		for i := range page.Items {
			if err := h.await(ctx, p, &page.Items[i]); err != nil {
				return err
			}
			visit(page.Items[i])
		}
		if page.Next == nil || len(page.Items) == 0 || page.Items[len(page.Items)-1].Submitted.Before(since) {
			return nil
		}
		cursor = *page.Next
	}
}

// await sees an operation to its end, which must be a success.
func (h *house) await(ctx context.Context, p *person, o *operation) error {
	if o.Finished == nil {
		if _, err := h.call(ctx, http.MethodGet, "/v1/operations/"+o.ID+"?wait=30", p.token, nil, o); err != nil {
			return err
		}
	}
	if o.Finished == nil || o.Status != "succeeded" {
		return fmt.Errorf("operation %s of %s is %s", o.ID, p.username, o.Status)
	}
	return nil
}
