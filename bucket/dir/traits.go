package dir

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"

	"github.com/trustlayer/cofre"
)

// traits are what a file system makes of times and names, as far as that was tried. Without a trial it keeps everything.
type traits struct {
	times       bool          // whether times were tried
	grain       time.Duration // that times are cut to, 0 if they are kept to the nanosecond
	first, last time.Time     // that can be kept

	foldsCase, foldsForm bool // takes names for one that differ in case, or in how Unicode composes them
}

// Grains of file systems: NTFS, many network mounts, exFAT, ext3 and HFS+, FAT.
var grains = []time.Duration{100, time.Microsecond, time.Millisecond, 10 * time.Millisecond, time.Second, 2 * time.Second}

// tryTimes finds out what becomes of times by setting those of f.
func (t *traits) tryTimes(f *os.File) {
	odd := time.Unix(1_000_000_001, 123_456_789)
	set := func(at time.Time) (time.Time, bool) {
		var st unix.Stat_t
		if setTime(f, at) != nil || unix.Fstat(int(f.Fd()), &st) != nil {
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
			t.grain = g
			break
		}
	}
	// The kernel gives the nearest that the file system has.
	if early, ok := set(time.Unix(-1<<36, 0)); ok && early.Before(odd) {
		t.first = early
	}
	if late, ok := set(time.Unix(1<<36, 0)); ok && late.After(odd) {
		t.last = late
	}
	t.times = true
}

// time is the nearest to at that can be kept.
func (t *traits) time(at time.Time) time.Time {
	switch {
	case at.IsZero():
		return at
	case !t.first.IsZero() && at.Before(t.first):
		return t.first
	case !t.last.IsZero() && at.After(t.last):
		return t.last
	case t.grain > 0:
		return at.Truncate(t.grain)
	}
	return at
}

// tryNames finds out which names are one in a folder.
func (t *traits) tryNames(in hold) error {
	f, err := os.CreateTemp(in.at("."), "\u00c9-a-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if !t.times {
		t.tryTimes(f)
	}
	at := in.at("")
	name := strings.TrimPrefix(f.Name(), at)
	there := func(name string) bool {
		_, err := os.Lstat(at + name)
		return err == nil
	}
	t.foldsCase = there(strings.ToUpper(name))
	t.foldsForm = there(norm.NFD.String(name))
	return f.Close()
}

// tryPlan tries what leaves no trace, by a file without a name, so that a plan can say it.
func (p *place) tryPlan() {
	fd, err := unix.Open(p.root, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return // no such files here: tried when the restore begins
	}
	f := os.NewFile(uintptr(fd), p.root)
	defer f.Close()
	p.traits.tryTimes(f)
}

// tryTraits tries what can only be tried by names, where the store writes its own. What cannot be tried is taken to be kept.
func (s *Store) tryTraits() {
	in, err := s.tempDir("")
	if err != nil {
		return
	}
	defer in.Close()
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	_ = s.place.traits.tryNames(in)
}

// fitTime is the time that a file can have here, and what is lost with that.
func (p *place) fitTime(at time.Time) (time.Time, []cofre.Message) {
	p.tried.Do(p.tryPlan)
	p.mu.Lock()
	defer p.mu.Unlock()
	fitted := p.traits.time(at)
	switch d := at.Sub(fitted); {
	case d == 0:
		return at, nil
	case d < 0 || d >= 2*time.Second:
		return fitted, []cofre.Message{cofre.Say("bucket.lost_time", "its time, which is out of the range of the file system")}
	}
	return fitted, []cofre.Message{cofre.Say("bucket.lost_grain", "its time to the nanosecond: the file system keeps it to {{.grain}}", "grain", fmt.Sprint(p.traits.grain))}
}

// Folded returns what the place takes a path for: two paths with one result are one here. It is known once the store is
// locked.
func (s *Store) Folded(path string) (string, bool) {
	s.place.mu.Lock()
	t := s.place.traits
	s.place.mu.Unlock()
	if !t.foldsCase && !t.foldsForm {
		return path, false
	}
	if t.foldsForm {
		path = norm.NFC.String(path)
	}
	if t.foldsCase {
		path = strings.ToLower(path)
	}
	return path, true
}
