package runs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// Begun is a run that has begun, as this host remembers it.
type Begun struct {
	Run           cofre.RunID   `json:"run"`
	Kind          cofre.RunKind `json:"kind"`
	What          string        `json:"what,omitempty"`
	Installation  string        `json:"installation"`
	By            cofre.Actor   `json:"actor"`
	PID           int           `json:"pid"`
	At            time.Time     `json:"began_at"`
	Configuration string        `json:"configuration_sha256,omitempty"`
}

// Marks are those of one repository, in the state directory of this host. The zero value has none, and takes none.
type Marks struct{ dir string }

// MarksOf are the marks of a repository, by its address.
func MarksOf(state, repository string) Marks {
	sum := sha256.Sum256([]byte(repository))
	return Marks{filepath.Join(state, "runs", hex.EncodeToString(sum[:8]))}
}

// Mark says that a run has begun, and not ended. It is locked while its process lives: whoever can lock it knows that the process is gone. Each line
// is a document: Begun, then the point that it published, if it did, and the log of a run that the journal could not be told of.
type Mark struct {
	mu   sync.Mutex
	file *os.File // nil of one that was not made, or has ended
	of   Marks
	run  cofre.RunID
}

// line is what stands in a mark behind its first line.
type line struct {
	Published cofre.PointID `json:"published,omitempty"`
	Log       *Log          `json:"log,omitempty"`
}

// Begin marks that a run has begun. The mark is of use also if there is an error: it then does nothing.
//
// Errors: those of writing to the state directory.
func (m Marks) Begin(b Begun) (*Mark, error) {
	if m.dir == "" {
		return &Mark{}, nil
	}
	b.PID = os.Getpid()
	mark, err := m.create(b)
	if err != nil {
		return &Mark{}, fmt.Errorf("remember that a run begins: %w", err)
	}
	return mark, nil
}

// create makes the file under another name, and locks it before anybody can take it for that of a run whose process is gone.
func (m Marks) create(b Begun) (*Mark, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	d, err := inside.MakeAs(m.dir, 0o700)
	if err != nil {
		return nil, err
	}
	defer d.Close() // only searched
	f, err := os.CreateTemp(d.At("."), ".new-*")
	if err != nil {
		return nil, err
	}
	temp := filepath.Base(f.Name())
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	if err == nil {
		err = d.Rename(temp, string(b.Run))
	}
	if err == nil {
		err = f.Sync() // a machine that loses its power is a way to be killed
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), gone(d.Remove(temp)))
	}
	return &Mark{file: f, of: m, run: b.Run}, nil
}

// remove takes a mark away.
func (m Marks) remove(run cofre.RunID) error {
	d, err := m.open()
	if err != nil {
		return gone(err)
	}
	return errors.Join(gone(d.Remove(string(run))), d.Close())
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Published adds that the run has published a point.
func (m *Mark) Published(p cofre.PointID) { _ = m.add(line{Published: p}, false) }

// Leave adds the log, and leaves the mark for the next run of this host to tell the journal.
//
// Errors: those of writing to the state directory.
func (m *Mark) Leave(l Log) error {
	err := m.add(line{Log: &l}, true)
	return errors.Join(err, m.close())
}

// add writes a line. Without sync it outlives the process, and perhaps not the machine: publishing waits for no disk.
func (m *Mark) add(l line, sync bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	text, err := json.Marshal(l)
	if err == nil {
		_, err = m.file.Write(append(text, '\n'))
	}
	if err == nil && sync {
		err = m.file.Sync()
	}
	return err
}

// End takes the mark away: the journal knows what became of the run, or nobody needs to.
func (m *Mark) End() {
	m.mu.Lock()
	if m.file != nil {
		_ = m.of.remove(m.run) // or the next run of this host tells the journal what it knows already
	}
	m.mu.Unlock()
	_ = m.close()
}

func (m *Mark) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	err := durable.Unlock(m.file)
	m.file = nil
	return err
}

// Unended is a run of this host that has not ended, or of which the journal could not be told.
type Unended struct {
	Begun
	Running   bool          `json:"running"` // its process lives
	Published cofre.PointID `json:"published,omitempty"`
	Log       *Log          `json:"log,omitempty"` // of one that ended; nil of one that runs, or was killed
}

// Unended lists the marks, oldest first. What cannot be read is passed over.
func (m Marks) Unended() []Unended {
	d, err := m.open()
	if err != nil {
		return nil
	}
	defer d.Close() // only searched
	var all []Unended
	_ = each(d, func(u Unended) error { all = append(all, u); return nil })
	return all
}

// Settle gives each run whose process is gone to tell, and takes its mark away if tell returns nil. Of several processes one settles, and nothing is done by the
// others: what is being told is locked as a whole, not mark by mark, so that whoever looks meanwhile takes no mark for that of a run that goes on.
//
// Errors: the first of tell, after which no other is told.
func (m Marks) Settle(tell func(Unended) error) error {
	d, err := m.open()
	if err != nil {
		return nil // nothing has begun
	}
	defer d.Close() // only searched
	lock, err := d.Open(".")
	if err != nil {
		return nil
	}
	defer durable.Unlock(lock)
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // another settles
	}
	return each(d, func(u Unended) error {
		if u.Running {
			return nil
		}
		if err := tell(u); err != nil {
			return err
		}
		return gone(d.Remove(string(u.Run)))
	})
}

// open opens the folder of the marks. Of what another user's link leads to, each file would be a mark that is taken away.
func (m Marks) open() (*inside.Dir, error) {
	if m.dir == "" {
		return nil, fs.ErrNotExist
	}
	return inside.OpenAs(m.dir)
}

// each opens the marks one after another.
func each(d *inside.Dir, visit func(Unended) error) error {
	entries, _ := d.ReadDir()
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := look(d, e.Name(), visit); err != nil {
			return err
		}
	}
	return nil
}

// look visits the mark of a name, unless that is something else than a file.
func look(d *inside.Dir, name string, visit func(Unended) error) error {
	f, err := d.Open(name)
	if err != nil {
		return nil // it has ended
	}
	defer durable.Unlock(f) // if it was locked
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	u := Unended{}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		u.Running = true
	case err != nil:
		return nil
	}
	if _, err := d.Stat(name); err != nil {
		return nil // it ended between the two
	}
	text, err := io.ReadAll(io.LimitReader(f, 4<<20))
	if err != nil {
		return nil
	}
	u.read(text)
	u.Run = cofre.RunID(name)
	return visit(u)
}

// read takes the lines of a mark. One that was cut off in the middle of a line says what the lines before it do.
func (u *Unended) read(text []byte) {
	for i, doc := range slices.Collect(bytes.Lines(text)) {
		if i == 0 {
			var b Begun
			if json.Unmarshal(doc, &b) == nil {
				u.Begun = b
			}
			continue
		}
		var l line
		if json.Unmarshal(doc, &l) != nil {
			return
		}
		if l.Published != "" {
			u.Published = l.Published
		}
		if l.Log != nil {
			u.Log = l.Log
		}
	}
}
