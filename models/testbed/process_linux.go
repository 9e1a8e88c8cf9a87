package testbed

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func dieWithParent(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// awaitStopped returns when a child that was sent a SIGSTOP has stopped, which its threads do in their own time. WNOWAIT lets the next call see a stop
// that this one has seen.
func awaitStopped(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
