package published

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/content"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
)

// Memory is what this machine remembers of what contents say: a file for each large one, encrypted under the repository's key, because names are in it. It is a cache in
// the strict sense: what is missing, damaged, of another content or not writable costs time. Nil remembers nothing.
type Memory struct {
	Dir  string // of one repository
	Keys Sealer
}

// Sealer encrypts under a key that the repository's password opens.
type Sealer interface {
	Seal(purpose string, text []byte) ([]byte, error)
	Unseal(purpose string, sealed []byte) ([]byte, error)
}

const (
	purpose = "cofre remembered points"
	// format is another one whenever what is written is: then nothing is remembered.
	format = "points 1"
	// small is how large a content must be that is worth a file: reading JSON takes longer from there on.
	small = 16 << 10
	// unused is how long a file is kept whose content is not there any more: another process may have other indexes.
	unused = 24 * time.Hour
)

func (m *Memory) file(id content.ID) string { return filepath.Join(m.Dir, id.String()) }

func (m *Memory) recall(id content.ID, size int) ([]entry, bool) {
	if m == nil || size < small {
		return nil, false
	}
	sealed, err := os.ReadFile(m.file(id))
	if err != nil {
		return nil, false
	}
	text, err := m.Keys.Unseal(purpose, sealed)
	if err != nil {
		return nil, false
	}
	d := &decoder{bytes: text, text: string(text)}
	if d.string() != format || d.string() != id.String() {
		return nil, false
	}
	entries := d.entries()
	return entries, d.err == nil && len(d.text) == 0
}

func (m *Memory) learn(id content.ID, size int, entries []entry) {
	if m == nil || size < small {
		return
	}
	e := &encoder{}
	e.string(format)
	e.string(id.String())
	e.entries(entries)
	sealed, err := m.Keys.Seal(purpose, e.b)
	if err != nil {
		return
	}
	_ = inside.WriteCache(m.file(id), sealed) // what a crash leaves of it is not authentic
}

// sweep removes what is of contents that are not there any more.
func (m *Memory) sweep(there map[content.ID][]entry) {
	if m == nil {
		return
	}
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		return
	}
	for _, f := range files {
		if id, err := content.ParseID(f.Name()); err == nil {
			if _, ok := there[id]; ok {
				continue
			}
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > unused {
			_ = os.Remove(filepath.Join(m.Dir, f.Name()))
		}
	}
}

// What an entry is.
const (
	isDeleted = iota
	isPlain   // a point, field by field
	isJSON    // a point that has something that is not among these fields
)

// encoder writes numbers as varints, and texts behind their lengths.
type encoder struct{ b []byte }

func (e *encoder) number(n int64)  { e.b = binary.AppendVarint(e.b, n) }
func (e *encoder) string(s string) { e.number(int64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) time(t time.Time) {
	e.number(t.Unix())
	e.number(int64(t.Nanosecond()))
}

func (e *encoder) entries(all []entry) {
	e.number(int64(len(all)))
	for _, of := range all {
		e.string(of.id)
		e.time(of.at)
		if of.deleted {
			e.number(isDeleted)
			continue
		}
		plain := &encoder{}
		plain.point(of.point)
		d := &decoder{bytes: plain.b, text: string(plain.b)}
		if back := d.point(); d.err == nil && reflect.DeepEqual(back, of.point) {
			e.number(isPlain)
			e.b = append(e.b, plain.b...)
			continue
		}
		text, _ := json.Marshal(of.point) // it comes from JSON
		e.number(isJSON)
		e.string(string(text))
	}
}

// point writes the fields that nearly every point has, and no others.
func (e *encoder) point(p cofre.RecoveryPoint) {
	for _, s := range []string{string(p.ID), p.Installation, p.Host, p.Version} {
		e.string(s)
	}
	e.time(p.StartedAt)
	e.time(p.PublishedAt)
	e.number(int64(len(p.Components)))
	for _, c := range p.Components {
		for _, s := range []string{string(c.Kind), c.Name, string(c.Root), string(c.Facts)} {
			e.string(s)
		}
		e.time(c.StartedAt)
		e.time(c.EndedAt)
		for _, n := range []int64{c.Entries, c.Bytes, c.Stored} {
			e.number(n)
		}
	}
}

// decoder reads what an encoder has written. Its texts are parts of one.
type decoder struct {
	bytes []byte // what is left
	text  string // the same
	err   error
}

func (d *decoder) skip(n int) { d.bytes, d.text = d.bytes[n:], d.text[n:] }

func (d *decoder) number() int64 {
	n, length := binary.Varint(d.bytes)
	if length <= 0 {
		d.bytes, d.text, d.err = nil, "", io.ErrUnexpectedEOF
		return 0
	}
	d.skip(length)
	return n
}

// count is a number of things that take at least a byte each.
func (d *decoder) count() int {
	n := d.number()
	if n < 0 || n > int64(len(d.bytes)) || n > math.MaxInt32 {
		d.err = io.ErrUnexpectedEOF
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := d.text[:n]
	d.skip(n)
	return s
}

func (d *decoder) time() time.Time { return time.Unix(d.number(), d.number()).UTC() }

func (d *decoder) entries() []entry {
	all := make([]entry, d.count())
	for i := range all {
		of := &all[i]
		of.id, of.at = d.string(), d.time()
		switch d.number() {
		case isDeleted:
			of.deleted = true
		case isPlain:
			of.point = d.point()
		default:
			if err := json.NewDecoder(strings.NewReader(d.string())).Decode(&of.point); err != nil {
				d.err = err
			}
		}
		if d.err != nil {
			return nil
		}
	}
	return all
}

func (d *decoder) point() cofre.RecoveryPoint {
	p := cofre.RecoveryPoint{ID: cofre.PointID(d.string()), Installation: d.string(), Host: d.string(), Version: d.string(), StartedAt: d.time(), PublishedAt: d.time()}
	p.Components = make([]cofre.Component, d.count())
	for i := range p.Components {
		c := &p.Components[i]
		c.Kind, c.Name, c.Root = cofre.Kind(d.string()), d.string(), cofre.ObjectID(d.string())
		if facts := d.count(); facts > 0 {
			c.Facts = d.bytes[:facts:facts]
			d.skip(facts)
		}
		c.StartedAt, c.EndedAt = d.time(), d.time()
		c.Entries, c.Bytes, c.Stored = d.number(), d.number(), d.number()
	}
	return p
}
