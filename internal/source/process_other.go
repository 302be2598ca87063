//go:build !linux

package source

import "syscall"

// processAttributes put git in a process group of its own, with the helpers that it starts.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// endStrays has no way to find them without Linux's /proc.
func endStrays(string) {}
