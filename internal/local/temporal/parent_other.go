//go:build !linux

package temporal

import "syscall"

// childAttributes give the child a process group of its own, so that a Ctrl-C in the terminal does
// not reach it: it must outlive the workers that use it.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func endWithParent(pid int) (release func(), err error) {
	_, release, err = startWatchdog(pid)
	return release, err
}
