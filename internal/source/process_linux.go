package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// processAttributes put git in a process group of its own, with the helpers that it starts, and let
// the kernel end it with the thread that started it.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// endStrays ends the helpers of a fetch into a mirror whose worker was killed: the kernel ends git
// itself, but what git had started may still write packs. Whoever holds the mirror's fetch lock
// knows that nobody else has a right to.
func endStrays(mirror string) {
	needle := []byte("\x00" + fetchMark + "=" + mirror + "\x00")
	processes, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range processes {
		environment, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(append([]byte{0}, environment...), needle) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
