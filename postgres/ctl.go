package postgres

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre/internal/shell"
)

// Ctl is a command of pg_ctl on a data directory, to be pasted: start, stop, restart. Debian keeps pg_ctl out of the path, so it is
// named where it is, if it is known; and pg_ctl refuses root, for which the command is run as the owner of the directory.
func Ctl(verb, dir string) string {
	return asOwner(dir) + shell.Quote(ctlProgram(dir)) + " " + verb + " -D " + shell.Quote(dir)
}

func ctlProgram(dir string) string {
	const name = "pg_ctl"
	if _, err := exec.LookPath(name); err == nil {
		return name
	}
	version, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		return name
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(version)))
	if err != nil {
		return name
	}
	bin, err := BinDir(major)
	if err != nil || !isFile(filepath.Join(bin, name)) {
		return name
	}
	return filepath.Join(bin, name)
}

// asOwner is empty unless this is root, and the directory somebody else's.
func asOwner(dir string) string {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return ""
	}
	owner, err := user.LookupId(strconv.FormatUint(uint64(st.Uid), 10))
	if err != nil {
		return ""
	}
	if _, err := exec.LookPath("runuser"); err != nil {
		return ""
	}
	return "runuser -u " + shell.Quote(owner.Username) + " -- "
}
