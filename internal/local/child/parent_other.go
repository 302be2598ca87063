//go:build !linux

package child

import "syscall"

// attributes give the child a process group of its own, so that a Ctrl-C in the terminal does
// not reach it: it must outlive what uses it.
func attributes(account *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: account}
}

func endWithParent(pid int) (release func(), err error) {
	_, release, err = startWatchdog(pid)
	return release, err
}
