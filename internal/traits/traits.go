// Package traits finds out what a file system makes of times and names, by trying it on files that it leaves no trace of.
package traits

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

// Traits are what a file system makes of times and names, as far as that was tried. Without a trial it keeps everything.
type Traits struct {
	Times       bool          // whether times were tried
	Grain       time.Duration // that times are cut to, 0 if they are kept to the nanosecond
	First, Last time.Time     // that can be kept

	FoldsCase, FoldsForm bool // takes names for one that differ in case, or in how Unicode composes them
}

// Grains of file systems: NTFS, many network mounts, exFAT, ext3 and HFS+, FAT.
var grains = []time.Duration{100, time.Microsecond, time.Millisecond, 10 * time.Millisecond, time.Second, 2 * time.Second}

// TryTimes finds out what becomes of times by setting those of f.
func (t *Traits) TryTimes(f *os.File) {
	odd := time.Unix(1_000_000_001, 123_456_789)
	set := func(at time.Time) (time.Time, bool) {
		var st unix.Stat_t
		if SetTime(f, at) != nil || unix.Fstat(int(f.Fd()), &st) != nil {
			return time.Time{}, false
		}
		return time.Unix(st.Mtim.Unix()), true
	}
	kept, ok := set(odd)
	if !ok {
		return
	}
	for _, g := range grains {
		if !kept.Equal(odd) && kept.Equal(odd.Truncate(g)) {
			t.Grain = g
			break
		}
	}
	// The kernel gives the nearest that the file system has.
	if early, ok := set(time.Unix(-1<<36, 0)); ok && early.Before(odd) {
		t.First = early
	}
	if late, ok := set(time.Unix(1<<36, 0)); ok && late.After(odd) {
		t.Last = late
	}
	t.Times = true
}

// Time is the nearest to at that can be kept.
func (t *Traits) Time(at time.Time) time.Time {
	switch {
	case at.IsZero():
		return at
	case !t.First.IsZero() && at.Before(t.First):
		return t.First
	case !t.Last.IsZero() && at.After(t.Last):
		return t.Last
	case t.Grain > 0:
		return at.Truncate(t.Grain)
	}
	return at
}

// TryNames finds out which names are one in a folder, and its times if these were not tried.
//
// Errors: those of making and closing a file there.
func (t *Traits) TryNames(folder string) error {
	f, err := os.CreateTemp(folder, "\u00c9-a-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if !t.Times {
		t.TryTimes(f)
	}
	at := strings.TrimSuffix(folder, "/.") + "/"
	name := f.Name()[strings.LastIndexByte(f.Name(), '/')+1:]
	there := func(name string) bool {
		_, err := os.Lstat(at + name)
		return err == nil
	}
	t.FoldsCase = there(strings.ToUpper(name))
	t.FoldsForm = there(norm.NFD.String(name))
	return f.Close()
}

// Fold returns what the file system takes a path for, and false if it keeps all names apart.
func (t *Traits) Fold(path string) (string, bool) {
	if !t.FoldsCase && !t.FoldsForm {
		return path, false
	}
	if t.FoldsForm {
		path = norm.NFC.String(path)
	}
	if t.FoldsCase {
		path = strings.ToLower(path)
	}
	return path, true
}

// Nameless opens a file without a name in a folder, by the descriptor of that. Not every file system has such files.
//
// Errors: those of open(2).
func Nameless(folder int) (*os.File, error) {
	fd, err := unix.Openat(folder, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "a file without a name"), nil
}

// SetTime gives an open file a time of modification; the zero time leaves it.
//
// Errors: those of utimensat(2).
func SetTime(f *os.File, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	// Not by UnixNano, which ends in the year 2262.
	t := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{t, t}, 0); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}
