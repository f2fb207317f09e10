package recovering

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// stale is how old the directory of a recovering server is that nobody has begun to use.
const stale = time.Hour

// sweep removes the directories that runs left which were killed: those whose server is gone, and those that never had one. What cannot
// be removed stays for the next time: nothing depends on it.
func sweep(temporary string) {
	found, err := filepath.Glob(filepath.Join(temporary, datadir.RecoveringPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !ours(info) || inUse(dir, info) {
			continue
		}
		_ = os.RemoveAll(dir) // see above
	}
}

func ours(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || int(st.Uid) == os.Geteuid())
}

// inUse reports whether a server has its socket in dir, which the lock beside it says, or whether one may be about to.
//
// Source: PostgreSQL, src/backend/utils/init/miscinit.c, CreateLockFile: the first line is the process id, negative without a postmaster.
func inUse(dir string, info os.FileInfo) bool {
	locks, err := filepath.Glob(filepath.Join(dir, ".s.PGSQL.*.lock"))
	if err != nil {
		return true
	}
	for _, l := range locks {
		text, err := inside.ReadFile(l) // whoever made it: a pipe is not waited for
		if err != nil {
			return true
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(first), "-"))
		if err != nil || pid <= 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
	}
	return len(locks) == 0 && time.Since(info.ModTime()) < stale
}
