package lease

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// process names a process of this machine as no other one is called, of any machine and at any time: BOOT/NAMESPACE/PID/START, with the id of the boot, the
// namespace of process ids, and when it began, in ticks since the boot. It is empty if the system does not say.
//
// Source: proc(5), /proc/sys/kernel/random/boot_id and starttime of /proc/PID/stat; pid_namespaces(7).
func process(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name of the program, in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const start = 22 - 3 // of fields counted from 1; those behind the name begin with the third
	if len(fields) <= start {
		return ""
	}
	return fmt.Sprintf("%s/%s/%d/%s", bytes.TrimSpace(boot), namespace, pid, fields[start])
}

// hasEnded reports whether a process is known to be no more. Of another machine, another boot or another namespace nothing is known.
func hasEnded(name string, pid int) bool {
	ours := process(os.Getpid())
	if name == "" || ours == "" || pid <= 0 || place(name) != place(ours) {
		return false
	}
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return true
	}
	// Another process can have got its number; one that may not be looked at may be the same.
	now := process(pid)
	return now != "" && now != name
}

// place is what a process shares with all of its machine, boot and namespace.
func place(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return name
	}
	return parts[0] + "/" + parts[1]
}
