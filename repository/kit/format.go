package kit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/repository/blobs"
)

// The format is what leads from the password to everything else: two files of about 1 KB together, without which nothing can be read, and the key
// for WAL. It is encrypted, kept twice in the repository, and a third time in the kit.
var formatBlobs = []blob.ID{format.KopiaRepositoryBlobID, format.KopiaBlobCfgBlobID, walKey}

// walKey is the identity that reads WAL, under the password: an object of the floor, and no blob of Kopia's.
const walKey blob.ID = "cofre/keys/wal.age"

// copiesOf are the names of the two copies of a file of the format.
func copiesOf(b *blobs.Storage, id blob.ID) []string {
	if id == walKey {
		return []string{string(id), string(id) + ".2"}
	}
	return []string{b.Naming.Name(id), blobs.SpareName(id)}
}

const (
	formatHead = "cofre-format-1 "
	lineLength = 72
)

// Format is the files of the format by their ids.
type Format map[blob.ID][]byte

// ReadFormat reads the format of a repository, each file from its second copy if the first is missing, or larger than it can be.
//
// Errors: cofre.ErrCorrupt if one is larger than it can be, and there is no other; those of the store. What is missing twice is left out.
func ReadFormat(ctx context.Context, b *blobs.Storage) (Format, error) {
	f := Format{}
	for _, id := range formatBlobs {
		var wrong error
		for _, name := range copiesOf(b, id) {
			data, err := bounded.Read(ctx, b.Store, name, blobs.LargestFormat)
			if err == nil {
				f[id], wrong = data, nil
				break
			}
			if !errors.Is(err, cofre.ErrNotFound) && !errors.Is(err, cofre.ErrCorrupt) {
				return nil, err
			}
			if errors.Is(err, cofre.ErrCorrupt) {
				wrong = err
			}
		}
		if wrong != nil {
			return nil, wrong
		}
	}
	return f, nil
}

// Encode writes the format as lines for a page: base64 of JSON, with the SHA-256 of that in the first.
func (f Format) Encode() string {
	text, err := json.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("kit: internal error: %v", err)) // a map of bytes
	}
	sum := sha256.Sum256(text)
	lines := []string{formatHead + hex.EncodeToString(sum[:8])}
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(text)), lineLength) {
		lines = append(lines, string(line))
	}
	return strings.Join(append(lines, "cofre-format-end"), "\n")
}

// ParseFormat finds the lines of Encode in the text of a kit, or in its JSON.
//
// Errors: cofre.ErrCorrupt if they are not there, or not as they were written.
func ParseFormat(kit string) (Format, error) {
	kit = strings.ReplaceAll(kit, `\n`, "\n")
	_, rest, found := strings.Cut(kit, formatHead)
	sum, rest, _ := strings.Cut(rest, "\n")
	lines, _, ended := strings.Cut(rest, "cofre-format-end")
	if !found || !ended {
		return nil, cofre.Fail(cofre.Say("kit.no_format", "there are no lines in it from cofre-format-1 to cofre-format-end"), cofre.ErrCorrupt)
	}
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(lines), ""))
	if is := sha256.Sum256(text); err != nil || hex.EncodeToString(is[:8]) != strings.TrimSpace(sum) {
		return nil, cofre.Fail(cofre.Say("kit.mistyped", "the lines after cofre-format-1 are not as they were printed"), cofre.ErrCorrupt)
	}
	var f Format
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read the format in the kit: %w: %w", cofre.ErrCorrupt, err)
	}
	return f, nil
}

// OfThis says whether a format is that of the repository: read reads an index with it, and one that can be read is enough.
//
// Errors: cofre.ErrCorrupt if there are indexes and none can be read; those of the store.
func OfThis(ctx context.Context, b *blobs.Storage, read func(context.Context, blob.ID) error) error {
	var wrong error
	for o, err := range b.Store.List(ctx, "x") {
		if err != nil {
			return err
		}
		id, ok := b.Naming.ID(o.Name)
		if !ok || len(id) < 2 || !strings.ContainsRune("nsr", rune(id[1])) { // an epoch's marker
			continue
		}
		if wrong = read(ctx, id); wrong == nil {
			return nil
		}
	}
	if wrong != nil {
		return cofre.Fail(cofre.Say("kit.of_another", "no index of this repository can be read with it: it is the kit of another one ({{.error}})", "error", wrong), cofre.ErrCorrupt)
	}
	return nil
}

// Restore puts back what of the format is missing, of both copies, and of Kopia's two files what is another than in the kit: that is kept beside the
// keys, as cofre/keys/NAME.damaged-HASH. Call OfThis before. It returns the names of what it has written.
//
// Errors: cofre.ErrExists if there was nothing to do; those of the store.
func (f Format) Restore(ctx context.Context, b *blobs.Storage) (written []string, err error) {
	for _, id := range formatBlobs {
		data, ok := f[id]
		if !ok {
			continue
		}
		for _, name := range copiesOf(b, id) {
			err := b.Store.Create(ctx, name, bytes.NewReader(data), int64(len(data)))
			if errors.Is(err, cofre.ErrExists) {
				if id == walKey {
					continue // another one may be newer, and there is no telling
				}
				err = replace(ctx, b.Store, name, id, data)
			}
			if errors.Is(err, errSame) {
				continue
			}
			if err != nil {
				return written, err
			}
			written = append(written, name)
		}
	}
	if len(written) == 0 {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("kit.nothing_missing", "nothing of the format is missing"), cofre.ErrExists),
			cofre.Say("repository.damaged", "find out what is damaged: cofre verify --level content"))
	}
	return written, nil
}

var errSame = errors.New("it is as in the kit")

// replace puts data in the place of an object, and keeps what was there. What is too large for a format is not kept.
func replace(ctx context.Context, st cofre.Store, name string, id blob.ID, data []byte) error {
	was, err := bounded.Read(ctx, st, name, blobs.LargestFormat)
	switch {
	case err == nil && bytes.Equal(was, data):
		return errSame
	case err == nil:
		sum := sha256.Sum256(was)
		kept := "cofre/keys/" + string(id) + ".damaged-" + hex.EncodeToString(sum[:8])
		if err := st.Create(ctx, kept, bytes.NewReader(was), int64(len(was))); err != nil && !errors.Is(err, cofre.ErrExists) {
			return err
		}
	case !errors.Is(err, cofre.ErrCorrupt):
		return err
	}
	return st.Replace(ctx, name, bytes.NewReader(data), int64(len(data)))
}

// Remains is the name of something that only a repository leaves; "" if there is nothing. The files that an init writes first are not taken
// for that: it may have been killed.
//
// Errors: those of the store.
func Remains(ctx context.Context, b *blobs.Storage) (string, error) {
	for _, prefix := range []string{"cofre/", "p", "q", "x", "journal/", "wal/"} {
		for o, err := range b.Store.List(ctx, prefix) {
			if errors.Is(err, cofre.ErrNoRepo) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			if o.Name == "cofre/probe" || o.Name == blobs.SpareName(format.KopiaBlobCfgBlobID) {
				continue
			}
			if _, ok := b.Naming.ID(o.Name); ok || strings.Contains(prefix, "/") {
				return o.Name, nil
			}
		}
	}
	return "", nil
}

// Lost says that the format is missing of a repository of which something else is there.
func Lost(name, remains string) error {
	return cofre.WithHint(cofre.Fail(cofre.Say("kit.format_lost", "{{.name}} is missing, and {{.remains}} is there: this is a repository that has lost its format", "name", name, "remains", remains), cofre.ErrCorrupt),
		cofre.Say("kit.bring_back", "bring it back from the printed recovery kit: cofre kit --restore FILE; or from a copy of the repository: {{.name}}", "name", name))
}

// FindLost says that a repository is there and its format is not, in either copy; nil if that is not so.
//
// Errors: that; those of the store.
func FindLost(ctx context.Context, b *blobs.Storage) error {
	f, err := ReadFormat(ctx, b)
	if err != nil || f[format.KopiaRepositoryBlobID] != nil {
		return nil // it is there, and what is wrong with it is said by who opens it
	}
	remains, err := Remains(ctx, b)
	if err != nil || remains == "" {
		return err
	}
	return Lost(b.Naming.Name(format.KopiaRepositoryBlobID), remains)
}

// Over is a store in which the format is there as well, to be tried before it is written.
func (f Format) Over(st cofre.Store, b *blobs.Storage) cofre.Store {
	o := over{Store: st, data: map[string][]byte{}}
	for id, data := range f {
		for _, name := range copiesOf(b, id) {
			o.data[name] = data
		}
	}
	return o
}

type over struct {
	cofre.Store
	data map[string][]byte
}

func (o over) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	data, ok := o.data[name]
	if !ok {
		return o.Store.Open(ctx, name, offset, length)
	}
	if length < 0 {
		length = int64(len(data)) - offset
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(data), offset, length)), nil
}

func (o over) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	if data, ok := o.data[name]; ok {
		return cofre.StoredObject{Name: name, Size: int64(len(data)), ModifiedAt: time.Now()}, nil
	}
	return o.Store.Stat(ctx, name)
}
