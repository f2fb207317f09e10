package store

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
)

// Remembering returns s, whose listing of everything takes the sizes and the times of objects from what an earlier one has seen, and has kept in a file: of a folder
// with a hundred thousand objects, asking the kernel for each of them is what takes longest. Other stores say sizes with the names, and are returned as they are.
//
// Which objects there are is never remembered. An object whose inode is another than it was is looked at anew, and so is one of 64, at random: if it is not as
// remembered, everything is forgotten. What is left is an object that was made again under its name and got the same inode: its size may be that of the one before for some listings.
// It is for sums; whoever decides by sizes or times lists without memory. Objects from memory have no Version.
//
// The file may be removed at any time. It cannot be damaged unnoticed, and what cannot be read or written is no error.
func Remembering(s cofre.Store, file string) cofre.Store {
	f, ok := s.(*folder)
	if !ok {
		return s
	}
	return &remembering{f, file}
}

type remembering struct {
	*folder
	file string
}

func (r *remembering) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	if prefix != "" {
		return r.folder.List(ctx, prefix)
	}
	return func(yield func(cofre.StoredObject, error) bool) {
		known := readSizes(r.file, r.identity())
		whole := true
		for o, err := range r.list(ctx, prefix, known) {
			if whole = err == nil; !yield(o, err) {
				return
			}
		}
		if whole {
			known.keep()
		}
	}
}

// identity tells the folder from another that was mounted in its place.
func (r *remembering) identity() [2]uint64 {
	info, err := os.Stat(r.root)
	if err != nil {
		return [2]uint64{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return [2]uint64{}
	}
	return [2]uint64{uint64(st.Dev), st.Ino}
}

// sizes are what is remembered of a folder.
type sizes struct {
	file    string
	folder  [2]uint64
	known   map[string][]sized     // by directory, in the order of names
	visited map[string]*remembered // by directory
	changed int                    // how many objects are new, replaced or gone
	objects int
	wrong   bool
}

// sized is what is remembered of an object.
type sized struct {
	name  string
	inode uint64
	size  int64
	at    int64 // nanoseconds since 1970
}

// remembered is what is remembered of one directory, while it is listed. Nil remembers nothing.
type remembered struct {
	*sizes
	left  []sized         // from the entry on that comes next
	gone  map[string]bool // what is not as it was, or not there
	new   []sized
	asked bool  // whether what comes next is looked at anew, though it is known
	again sized // it
}

func (s *sizes) enter(dir string) *remembered {
	if s == nil {
		return nil
	}
	r := &remembered{sizes: s, left: s.known[dir], gone: map[string]bool{}}
	s.visited[dir] = r
	return r
}

// expected is about how many entries a directory has.
func (r *remembered) expected() int {
	if r == nil {
		return 0
	}
	return len(r.left) + 16
}

// oneOf is how many objects are remembered for each that is looked at anew.
const oneOf = 64

// recall returns what is remembered of an entry. Entries come in the order of a listing.
func (r *remembered) recall(e dirEntry) (sized, bool) {
	if r == nil {
		return sized{}, false
	}
	r.objects++
	r.asked = false
	for len(r.left) > 0 && r.left[0].name < e.name {
		r.forget()
	}
	switch {
	case len(r.left) == 0 || r.left[0].name != e.name:
		return sized{}, false
	case r.left[0].inode != e.inode:
		r.forget()
		return sized{}, false
	}
	o := r.left[0]
	r.left = r.left[1:]
	if rand.N(oneOf) == 0 {
		r.asked, r.again = true, o
		return sized{}, false
	}
	return o, true
}

// forget drops what comes next.
func (r *remembered) forget() {
	r.gone[r.left[0].name] = true
	r.left = r.left[1:]
	r.changed++
}

// learn takes what an object is found to be that was not remembered.
func (r *remembered) learn(o sized) {
	switch {
	case r == nil:
	case !r.asked:
		r.new = append(r.new, o)
		r.changed++
	case r.again != o:
		r.wrong = true
	}
}

func (r *remembered) leave() {
	for r != nil && len(r.left) > 0 {
		r.forget()
	}
}

// of is what there is in a directory, in the order of names.
func (s *sizes) of(dir string) []sized {
	r := s.visited[dir]
	all := slices.DeleteFunc(slices.Clone(s.known[dir]), func(o sized) bool { return r.gone[o.name] })
	all = append(all, r.new...)
	slices.SortFunc(all, func(a, b sized) int { return strings.Compare(a.name, b.name) })
	return all
}

// sizesMagic begins a file, whose rest is numbers of eight bytes and texts behind their lengths, and a checksum.
const sizesMagic = "cofre sizes 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func readSizes(file string, folder [2]uint64) *sizes {
	s := &sizes{file: file, folder: folder, known: map[string][]sized{}, visited: map[string]*remembered{}}
	b, err := os.ReadFile(file)
	if err != nil || len(b) < len(sizesMagic)+4 || string(b[:len(sizesMagic)]) != sizesMagic {
		return s
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return s
	}
	d := &sizesDecoder{bytes: body[len(sizesMagic):], text: string(body[len(sizesMagic):])}
	if [2]uint64{d.number(), d.number()} != folder {
		return s
	}
	for range d.number() {
		dir := d.name()
		all := make([]sized, d.number())
		for i := range all {
			all[i] = sized{d.name(), d.number(), int64(d.number()), int64(d.number())}
		}
		s.known[dir] = all
	}
	return s
}

// sizesDecoder reads what its checksum says to be whole. Names are parts of one text.
type sizesDecoder struct {
	bytes []byte
	text  string
	at    int
}

func (d *sizesDecoder) number() uint64 {
	d.at += 8
	return binary.LittleEndian.Uint64(d.bytes[d.at-8:])
}

func (d *sizesDecoder) name() string {
	n := int(d.bytes[d.at]) // a name has 255 bytes at most, and a directory of ours less
	d.at += 1 + n
	return d.text[d.at-n : d.at]
}

// keep writes what was seen, if that is worth it. What was found to be wrong is forgotten.
func (s *sizes) keep() {
	switch {
	case s.wrong:
		_ = os.Remove(s.file)
		return
	case s.changed <= s.objects/oneOf: // they are looked at once more, which costs less
		return
	}
	b := make([]byte, 0, s.objects*64)
	b = append(b, sizesMagic...)
	number := func(n uint64) { b = binary.LittleEndian.AppendUint64(b, n) }
	name := func(s string) { b = append(append(b, byte(len(s))), s...) }
	number(s.folder[0])
	number(s.folder[1])
	dirs := slices.DeleteFunc(slices.Sorted(maps.Keys(s.visited)), func(dir string) bool { return len(dir) > 255 })
	number(uint64(len(dirs)))
	for _, dir := range dirs {
		all := s.of(dir)
		name(dir)
		number(uint64(len(all)))
		for _, o := range all {
			name(o.name)
			number(o.inode)
			number(uint64(o.size))
			number(uint64(o.at))
		}
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_ = inside.WriteCache(s.file, b)
}
