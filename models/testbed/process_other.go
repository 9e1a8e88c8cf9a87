//go:build !linux

package testbed

import "os/exec"

// dieWithParent does nothing: only Linux can promise it. Elsewhere a killed test leaves its servers running.
func dieWithParent(*exec.Cmd) {}
