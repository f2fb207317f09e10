package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/across"
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

// placeOf is the place of a path: the store's, or, at which another file system is mounted, one of its own. What can only be tried by names
// is tried as soon as the store is locked.
func (s *Store) placeOf(id, path string) *place {
	at := filepath.Dir(path)
	here, err := across.Mount(at + "/.")
	for errors.Is(err, fs.ErrNotExist) && len(at) > len(s.root) {
		at = filepath.Dir(at)
		here, err = across.Mount(at + "/.")
	}
	root, rootErr := across.Mount(s.root + "/.")
	if err != nil || rootErr != nil || here == root {
		return s.place
	}
	s.mu.Lock()
	p, known := s.places[here]
	if !known {
		p = newPlace(at)
		if s.places == nil {
			s.places = map[uint64]*place{}
		}
		s.places[here] = p
	}
	locked := s.locked
	s.mu.Unlock()
	if locked {
		p.named.Do(func() {
			temp, err := s.tempFor(id, filepath.Join(at, "any"))
			if err != nil {
				return
			}
			p.tryNames(temp)
			temp.Close() // nothing was written by it
		})
	}
	return p
}

// tryTraits tries what can only be tried by names, where the store writes its own.
func (s *Store) tryTraits() {
	s.mu.Lock()
	s.locked = true
	s.mu.Unlock()
	in, err := s.tempDir("")
	if err != nil {
		return
	}
	defer in.Close()
	s.place.tryNames(in)
}

// tryNames tries what names and times become. What cannot be tried is taken to be kept.
func (p *place) tryNames(in hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.traits.TryNames(in.at("."))
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
	id, _, _ := strings.Cut(path, "/")
	p := s.placeOf(id, filepath.Join(s.root, path))
	p.mu.Lock()
	t := p.traits
	p.mu.Unlock()
	return t.Fold(path)
}
