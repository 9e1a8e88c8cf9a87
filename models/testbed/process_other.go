//go:build !linux

package testbed

import "os/exec"

// dieWithParent does nothing: only Linux can promise it. Elsewhere a killed test leaves its servers running.
func dieWithParent(*exec.Cmd) {}

// awaitStopped does not wait: how to do so differs from system to system.
func awaitStopped(int) error { return nil }
