package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A temporary file is named .cofre-tmp-HOST-PID-RANDOM. HOST tells machines, boots and process namespaces apart:
// only within one of them does PID say whether the writer still lives.
const tempPrefix = ".cofre-tmp-"

// foreignAge is how old a temporary file of another machine must be before it is taken for a dead writer's. No
// single object takes a day to write.
const foreignAge = 24 * time.Hour

var hostTag = sync.OnceValue(func() string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	host, _ := os.Hostname()
	return strconv.FormatUint(xxhash.Sum64String(string(boot)+namespace+host), 16)
})

func tempName() string {
	return fmt.Sprintf("%s%s-%d-%s", tempPrefix, hostTag(), os.Getpid(), strings.ToLower(rand.Text()[:12]))
}

// sweep removes the temporary file at path if its writer is dead. It is best effort: a file that stays costs
// space, and the next listing tries again.
func sweep(path string) {
	if abandoned(path) {
		_ = os.Remove(path)
	}
}

func abandoned(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	fields := strings.Split(strings.TrimPrefix(name, tempPrefix), "-")
	if len(fields) == 3 && fields[0] == hostTag() {
		if pid, err := strconv.Atoi(fields[1]); err == nil && pid > 0 {
			// If the number has been given to another process meanwhile, the file waits for that one to end.
			return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
		}
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return false
	}
	return time.Since(info.ModTime()) > foreignAge
}
