package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// finished expects that the work is done: 200 and an operation that succeeded.
func finished(r reply) (verdict, error) {
	if r.status == http.StatusOK && bytes.Contains(r.body, []byte(`"status":"succeeded"`)) {
		return applied, nil
	}
	return 0, unexpected(r)
}

// promised expects 202.
func promised(r reply) (verdict, error) {
	if r.status == http.StatusAccepted {
		return accepted, nil
	}
	return 0, unexpected(r)
}

// orFull lets a judge accept the one refusal that the contract allows under overload: 503 `lane_full` with Retry-After.
func orFull(judge func(reply) (verdict, error)) func(reply) (verdict, error) {
	return func(r reply) (verdict, error) {
		if r.status != http.StatusServiceUnavailable {
			return judge(r)
		}
		var problem struct{ Code string }
		if err := json.Unmarshal(r.body, &problem); err != nil || problem.Code != "lane_full" || r.retryAfter < 0 {
			return 0, unexpected(r)
		}
		return refused, nil
	}
}

func unexpected(r reply) error {
	const enough = 400
	return fmt.Errorf("unexpected answer %d: %.*s", r.status, enough, r.body)
}
