package testservers

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the system kill the process when the thread that started it ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
