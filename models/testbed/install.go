package testbed

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// packages of Debian and Ubuntu that hold the servers.
var packages = []string{"mariadb-server", "redis-server"}

//go:embed install.sh
var installScript string

// FindOrInstall is Find, and if something is missing it installs it with apt-get first, when this is Debian or Ubuntu and root or sudo without a password
// allows. What apt-get says goes to log. The installed servers are not started as services.
func FindOrInstall(ctx context.Context, log io.Writer) (Programs, error) {
	programs, missing := Find()
	if missing == nil {
		return programs, nil
	}
	root, err := asRoot(ctx)
	if err != nil {
		return programs, fmt.Errorf("%w\n(cannot install by itself: %w)", missing, err)
	}
	arguments := slices.Concat(root, []string{"sh", "-s"}, packages)
	if _, err := fmt.Fprintln(log, "testbed: installing", strings.Join(packages, " ")); err != nil {
		return programs, err
	}
	command := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	command.Stdin = strings.NewReader(installScript)
	command.Stdout, command.Stderr = log, log
	if err := command.Run(); err != nil {
		return programs, fmt.Errorf("%w\n(apt-get: %w)", missing, err)
	}
	return Find()
}

// asRoot returns the words to put before a command that root must run.
func asRoot(ctx context.Context) ([]string, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, errors.New("there is no apt-get")
	}
	if os.Getuid() == 0 {
		return nil, nil
	}
	if err := exec.CommandContext(ctx, "sudo", "-n", "true").Run(); err != nil {
		return nil, errors.New("not root, and sudo wants a password or is not there")
	}
	return []string{"sudo", "-n"}, nil
}
