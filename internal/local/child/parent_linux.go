package child

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes let the kernel end the child when its parent dies, even of SIGKILL. Its own process
// group keeps a Ctrl-C in the terminal from it: it must outlive what uses it.
func attributes(account *syscall.Credential) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: account}
	if account != nil {
		// Its files are its own, but they may lie in a folder that lets root alone pass, as those of tests do.
		a.AmbientCaps = []uintptr{unix.CAP_DAC_OVERRIDE}
	}
	return a
}

// endWithParent has nothing to add to what the kernel does.
func endWithParent(int) (release func(), err error) { return func() {}, nil }
