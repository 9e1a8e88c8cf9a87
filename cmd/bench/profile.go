package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profile takes CPU profiles of the window of a load, one of each process that serves profiles, and writes them into its directory: what the compiler optimises
// guichet by (cmd/guichet/default.pgo, see `make profile`).
func (ld *load) profile(ctx context.Context, start, end time.Time) error {
	var errs []error
	done := make(chan error)
	for _, p := range ld.watch {
		go func() { done <- p.profile(ctx, start, end) }()
	}
	for range ld.watch {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

func (p *process) profile(ctx context.Context, start, end time.Time) error {
	if p.profiles == "" {
		return nil
	}
	pause(ctx, time.Until(start), end)
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.pprof, max(1, int(end.Sub(start)/time.Second)))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s gives no profile: %s", p.name, response.Status)
	}
	file, err := os.Create(filepath.Join(p.profiles, fmt.Sprintf("%s-%d.pprof", p.name, start.UnixMilli())))
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}
