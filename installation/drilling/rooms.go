package drilling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/drilled"
)

// Rooms are where drills of this machine take place: each has a folder for its files, and a record in the state directory that is written before
// the folder is made, and goes after it. So nothing is left that nobody knows of.
type Rooms struct {
	State  string // the state directory
	Folder string // in which folders are made; empty is $TMPDIR, or /var/tmp
}

// Record is what this machine knows of a drill.
type Record struct {
	Drill   string        `json:"drill"` // its name
	What    string        `json:"what"`
	Point   cofre.PointID `json:"point"`
	Folder  string        `json:"folder"`
	PID     int           `json:"pid"` // of cofre
	BeganAt time.Time     `json:"began_at"`
	// Until is when what was kept may be removed by the next drill; zero of one that was not kept.
	Until time.Time `json:"until,omitzero"`
	URL   string    `json:"url,omitempty"` // of the restored database
}

// room is the place of one drill that goes on. It is locked while its process lives.
type room struct {
	of     Rooms
	record Record
	file   *os.File
}

// The longest names in the folder that are a socket's, whose path is bounded: while a cluster recovers, its socket is in a directory of recovering.Run.
const (
	socketName       = "/.s.PGSQL.5432"
	recoveringSocket = "/r-4294967295" + socketName
	longestSocket    = 107 // bytes, of sun_path on Linux
)

func (r Rooms) records() string { return filepath.Join(r.State, "drills") }

// base is the folder in which folders are made.
func (r Rooms) base() string {
	if r.Folder != "" {
		return r.Folder
	}
	if dir := os.Getenv("TMPDIR"); dir != "" {
		return dir
	}
	return "/var/tmp" // on a disk, where /tmp may be memory
}

// begin writes the record of a drill, and makes its folder, in which socket is the longest name of one.
//
// Errors: cofre.ErrConfig if the path of the folder is too long for a socket; those of the file system.
func (r Rooms) begin(name string, of Record, socket string) (_ *room, err error) {
	of.Drill, of.PID, of.BeganAt = name, os.Getpid(), time.Now().UTC()
	of.Folder = filepath.Join(r.base(), "cofre-drill-"+name)
	if n := len(of.Folder + socket); n > longestSocket {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("drill.long_path", "folder {{.folder}} is too deep: the path of a socket in it has {{.bytes}} bytes, and may have {{.most}}", "folder", r.base(), "bytes", n, "most", longestSocket), cofre.ErrConfig),
			cofre.Say("drill.shorter_path", "set drill.directory to a folder with a shorter path"))
	}
	d, err := inside.MakeAs(r.records(), 0o700)
	if err != nil {
		return nil, fmt.Errorf("remember that a drill begins: %w", err)
	}
	defer d.Close() // only searched
	f, err := d.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("remember that a drill begins: %w", err)
	}
	m := &room{of: r, record: of, file: f}
	// Somebody who looks at what is left may have it for a moment.
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err == nil {
		err = m.write()
	}
	if err == nil {
		err = os.Mkdir(of.Folder, 0o700)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the folder of the drill: %w", err), d.Remove(name), f.Close())
	}
	return m, nil
}

// write adds the record as it is now: the last that is whole counts.
func (m *room) write() error {
	text, err := json.Marshal(m.record)
	if err == nil {
		_, err = m.file.Write(append(text, '\n'))
	}
	if err == nil {
		err = m.file.Sync()
	}
	return err
}

// keep says that the folder stays until a moment, with a server in it. The record is given up, so that others may look at it.
func (m *room) keep(until time.Time, url string) error {
	m.record.Until, m.record.URL = until.UTC(), url
	return errors.Join(m.write(), durable.Unlock(m.file))
}

// remove removes the folder, with what still runs in it, and then the record.
//
// Errors: that it cannot; the record then stays, and the next drill tries again.
func (m *room) remove(ctx context.Context) error {
	err := clear(ctx, m.record.Folder)
	if err == nil {
		err = m.of.forget(m.record.Drill)
	}
	return errors.Join(err, durable.Unlock(m.file))
}

func (r Rooms) forget(name string) error {
	d, err := inside.OpenAs(r.records())
	if err == nil {
		err = errors.Join(d.Remove(name), d.Close())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// clear ends what runs in a folder of a drill, and removes it.
func clear(ctx context.Context, folder string) error {
	if !strings.HasPrefix(filepath.Base(folder), "cofre-drill-") || !filepath.IsAbs(folder) {
		return fmt.Errorf("remove folder %q: %w: no drill has made it", folder, cofre.ErrRefused)
	}
	if err := drilled.End(ctx, drilled.DataDir(folder)); err != nil {
		return err
	}
	var err error
	for range 20 { // a process that was just ended may still be writing its last
		if err = os.RemoveAll(folder); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove the folder of a drill: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return cofre.WithHint(fmt.Errorf("remove the folder of a drill: %w", err), cofre.Say("drill.clean_again", "when the cause is gone: cofre drill clean"))
}

// fresh is how young a record may be that nothing is written in: its drill is about to.
const fresh = time.Minute

// Sweep removes what drills have left: of those that were killed, and of those that were kept and whose time is over; with kept also the others that
// were kept. Drills that go on are left alone.
//
// Errors: that something cannot be removed; the rest is, and what was is returned.
func (r Rooms) Sweep(ctx context.Context, kept bool) ([]Record, error) {
	d, err := inside.OpenAs(r.records())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close() // only searched
	entries, err := d.ReadDir()
	if err != nil {
		return nil, err
	}
	var removed []Record
	var errs []error
	for _, e := range entries {
		record, err := r.sweep(ctx, d, e.Name(), kept)
		if errs = append(errs, err); err == nil && record != nil {
			removed = append(removed, *record)
		}
	}
	return removed, errors.Join(errs...)
}

func (r Rooms) sweep(ctx context.Context, d *inside.Dir, name string, kept bool) (*Record, error) {
	f, err := d.OpenFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, nil // it has ended
	}
	defer durable.Unlock(f) // if it was locked
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil, nil // it goes on
	}
	if there, err := d.Exists(name); err != nil || !there {
		return nil, err // somebody else has removed it
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, err
	}
	record, ok := parse(text)
	switch {
	case !ok && time.Since(info.ModTime()) < fresh:
		return nil, nil
	case !ok: // nothing was made before it was written
		return nil, r.forget(name)
	case !record.Until.IsZero() && !kept && time.Now().Before(record.Until):
		return nil, nil
	}
	if err := clear(ctx, record.Folder); err != nil {
		return nil, err
	}
	return &record, r.forget(name)
}

// parse reads the last record that is whole.
func parse(text []byte) (record Record, ok bool) {
	for _, line := range slices.Collect(bytes.Lines(text)) {
		var next Record
		if json.Unmarshal(line, &next) == nil && next.Folder != "" {
			record, ok = next, true
		}
	}
	return record, ok
}
