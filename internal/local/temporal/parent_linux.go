package temporal

import "syscall"

// childAttributes let the kernel end the child when its parent dies, even of SIGKILL. Its own
// process group keeps a Ctrl-C in the terminal from it: it must outlive the workers that use it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// endWithParent has nothing to add to what the kernel does.
func endWithParent(int) (release func(), err error) { return func() {}, nil }
