package testbed

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// process is a child that the kernel kills when this process ends, however it ends (on Linux).
type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed once the child has been reaped
}

// launch starts a command that dies with this process.
func launch(command *exec.Cmd) (*process, error) {
	dieWithParent(command)
	failed := make(chan error)
	starter() <- func() { failed <- command.Start() }
	if err := <-failed; err != nil {
		return nil, err
	}
	p := &process{command: command, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = command.Wait() // how it ended is in command.ProcessState
	}()
	return p, nil
}

// starter returns the queue of startOnOneThread.
var starter = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go startOnOneThread(queue)
	return queue
})

// startOnOneThread owns an operating system thread for as long as this process lives. The kernel ties "dies with its parent" to the thread that started
// the child, and Go ends threads as it sees fit.
func startOnOneThread(queue <-chan func()) {
	runtime.LockOSThread()
	for start := range queue {
		start()
	}
}

// signal sends a signal, which a frozen process sees only when it is resumed, except for SIGKILL. A process that has ended already is no error.
func (p *process) signal(signal os.Signal) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	err := p.command.Process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	if err == nil {
		<-p.ended
	}
	return err
}
