package testbed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// dataTemplate returns an initialised data directory to copy, made once for each version of MariaDB and kept in the user's cache.
func dataTemplate(ctx context.Context, programs Programs) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, programs.MariaDB, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", programs.MariaDB, err)
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%d %s", os.Getuid(), version))
	dir := filepath.Join(cache, fmt.Sprintf("mariadb-%x", key[:8]))
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, initialise(ctx, programs, dir)
}

func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base, err = placesRoot() // a user without a home
	}
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "guichet-testbed")
	return dir, os.MkdirAll(dir, 0o700)
}

// initialise makes a data directory that is either whole or not there.
func initialise(ctx context.Context, programs Programs, dir string) error {
	unfinished, tmp := dir+".unfinished", dir+".tmp"
	if err := errors.Join(os.RemoveAll(unfinished), os.RemoveAll(tmp), os.Mkdir(tmp, 0o700)); err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // the next one to initialise would remove it
	arguments := append([]string{"--no-defaults"}, asUser()...)
	arguments = append(arguments, "--datadir="+unfinished, "--tmpdir="+tmp, "--skip-test-db", "--auth-root-authentication-method=socket",
		"--innodb-log-file-size=10M") // small to copy; a server makes the log that it wants when it starts
	output, err := exec.CommandContext(ctx, programs.MariaDBInstall, arguments...).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("testbed: %s: %w\n%s", programs.MariaDBInstall, err, output[:min(len(output), logTail)]), os.RemoveAll(unfinished))
	}
	return os.Rename(unfinished, dir)
}

// asUser is what MariaDB wants to hear from root before it runs as root.
func asUser() []string {
	if os.Getuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// lock waits for a lock among processes.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}
