package dir

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
)

// tryPlan tries what leaves no trace, by a file without a name, so that a plan can say it.
func (p *place) tryPlan() {
	fd, err := unix.Open(p.root, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return // no such files here: tried when the restore begins
	}
	f := os.NewFile(uintptr(fd), p.root)
	defer f.Close()
	p.traits.TryTimes(f)
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
	_ = s.place.traits.TryNames(in.at("."))
}

// fitTime is the time that a file can have here, and what is lost with that.
func (p *place) fitTime(at time.Time) (time.Time, []cofre.Message) {
	p.tried.Do(p.tryPlan)
	p.mu.Lock()
	defer p.mu.Unlock()
	fitted := p.traits.Time(at)
	switch d := at.Sub(fitted); {
	case d == 0:
		return at, nil
	case d < 0 || d >= 2*time.Second:
		return fitted, []cofre.Message{cofre.Say("bucket.lost_time", "its time, which is out of the range of the file system")}
	}
	return fitted, []cofre.Message{cofre.Say("bucket.lost_grain", "its time to the nanosecond: the file system keeps it to {{.grain}}", "grain", fmt.Sprint(p.traits.Grain))}
}

// Folded returns what the place takes a path for: two paths with one result are one here. It is known once the store is
// locked.
func (s *Store) Folded(path string) (string, bool) {
	s.place.mu.Lock()
	t := s.place.traits
	s.place.mu.Unlock()
	return t.Fold(path)
}
