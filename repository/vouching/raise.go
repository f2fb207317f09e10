package vouching

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/format"
	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/epochs"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/seal"
)

// recordsOfSeal is how many files one seal names that Raise writes.
const recordsOfSeal = 100_000

// Raiser proves what has no seal with the key, and seals it.
type Raiser struct {
	Store    cofre.Store
	Blobs    *blobs.Storage // with the key
	Kopia    repo.DirectRepositoryWriter
	Password string
	Memory   Memory

	tell   func(t cofre.EventType, name string, size int64, err error)
	read   int64
	ledger *seal.Ledger
	files  map[string]blob.ID
	done   cofre.Sealed
	sealed []seal.Record
}

// Raise proves by decryption everything that has no seal with the key, seals it under the key, and says that no other seal is believed from now
// on. Seals without the key are deleted if that is allowed. What is there already is left alone, so that a second call does what is left
// to do. In the order of its steps:
//
//	prove     packs content by content, indexes and the format as a whole
//	write     seals of all that was proven, which also say that the seals of before are gone
//	remember  on this machine
//	delete    the seals of before
//
// A crash before write is over leaves what was there, and some seals with the key.
//
// Errors: cofre.ErrFindings with what was found, if some of it is not what the repository's key has encrypted: nothing is raised then; those of
// the store; that of ctx.
func (r *Raiser) Raise(ctx context.Context, obs cofre.Observer) (done *cofre.Sealed, err error) {
	task := cofre.Say("repository.task_seal", "prove what is stored")
	r.tell = func(t cofre.EventType, name string, size int64, err error) {
		r.read += size
		obs.Observe(cofre.Event{At: time.Now(), Type: t, Item: name, Unit: cofre.UnitBytes, Done: r.read, Err: err}.Doing(task))
	}
	r.tell(cofre.TypeTaskBegan, "", 0, nil)
	defer func() { r.tell(cofre.TypeTaskEnded, "", 0, err) }()
	r.done, r.sealed = cofre.Sealed{}, nil
	files, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	l, err := seal.ReadLedger(ctx, r.Store, r.Blobs.Seals.Key, r.Memory.Raised(r.Kopia.UniqueID()))
	if err != nil {
		return nil, err
	}
	if _, there := files[blobs.ShardsName]; !there && l.Records[blobs.ShardsName].State == seal.Stored {
		if err := r.Blobs.PutShards(ctx); err != nil { // what is in it is always the same
			return nil, err
		}
		files[blobs.ShardsName] = ""
	}
	r.files = files
	r.ledger, r.done.Before = l, l.Raised
	packs := map[blob.ID]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// What is only announced has lost the first seal of its pair, which said the rest.
		if rec, ok := l.Records[name]; ok && rec.Keyed && rec.State == seal.Stored {
			continue
		}
		id := files[name]
		if l.Raised && l.Removed[name] && strings.HasPrefix(string(id), "x") {
			continue // given up, or written anew elsewhere, and left by who may not delete: nothing is believed of it
		}
		if blobs.IsPack(id) {
			packs[id] = true
		} else if err := r.one(ctx, name, id); err != nil {
			return nil, err
		}
	}
	if err := Decrypt(ctx, r.Kopia, r.Blobs, packs, r.pack); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(l.Records)) {
		if _, there := files[name]; !there && !l.Records[name].Keyed && l.Records[name].State == seal.Stored {
			r.done.Missing = append(r.done.Missing, name)
		}
	}
	if len(r.done.Findings) > 0 {
		return &r.done, cofre.ErrFindings
	}
	if err := r.write(ctx, append(l.Unkeyed, l.Damaged...)); err != nil {
		return nil, err
	}
	return &r.done, nil
}

// list are the files that must have a seal.
func (r *Raiser) list(ctx context.Context) (map[string]blob.ID, error) {
	files := map[string]blob.ID{}
	for o, err := range r.Store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if id, ok := r.Blobs.Naming.ID(o.Name); ok && !blobs.IsMarker(id) || o.Name == blobs.ShardsName {
			files[o.Name] = id
		}
	}
	return files, nil
}

// pack takes a pack that was decrypted. One of which the indexes name nothing needs no seal.
func (r *Raiser) pack(d Decrypted) error {
	name := r.Blobs.Naming.Name(d.Pack)
	r.tell(cofre.TypeTaskProgress, name, d.Size, nil)
	switch {
	case len(d.Bad) > 0:
		n := len(d.Bad)
		what := cofre.SayN("seal.bad_contents", n, "{{.name}}: 1 piece in it is not what was encrypted", "{{.name}}: {{.n}} pieces in it are not what was encrypted", "name", name)
		if d.Err != nil {
			what = notProven(name, d.Err)
		}
		r.find(name, what)
	case d.Contents > 0:
		r.done.Packs++
		r.done.Contents += d.Contents
		r.done.Bytes += d.Size
		r.sealed = append(r.sealed, seal.Record{State: seal.Stored, Size: d.Size, Hash: d.Hash, Name: name})
	}
	return nil
}

func notProven(name string, err error) cofre.Message {
	return cofre.Say("seal.not_proven", "{{.name}}: {{.cause}}", "name", name, "cause", err)
}

func (r *Raiser) find(name string, what cofre.Message) {
	r.done.Findings = append(r.done.Findings, cofre.Finding{Check: string(cofre.LevelContent), Object: name}.Saying(what))
}

// one proves a file that is no pack.
func (r *Raiser) one(ctx context.Context, name string, id blob.ID) error {
	data, release, err := r.Blobs.Hold(ctx, name, id)
	switch {
	case errors.Is(err, cofre.ErrNotFound):
		return nil // an index that was written as one with others meanwhile
	case err != nil && (seal.IsOutside(err) || ctx.Err() != nil):
		return err
	case err == nil:
		err = r.proven(ctx, name, id, string(data))
		release()
	}
	if errors.Is(err, errNotOurs) {
		return nil
	}
	if err != nil {
		r.find(name, notProven(name, err))
		return ctx.Err()
	}
	r.done.Others++
	r.sealed = append(r.sealed, seal.Record{State: seal.Stored, Size: int64(len(data)), Hash: blake3.Sum256(data), Name: name})
	r.tell(cofre.TypeTaskProgress, name, int64(len(data)), nil)
	return nil
}

// proven says why a file is not what it should be. Some hold nothing that was encrypted, and are what they are by their names.
//
// Errors: that.
func (r *Raiser) proven(ctx context.Context, name string, id blob.ID, text string) error {
	switch {
	case name == blobs.ShardsName:
		if text != blobs.ShardsContent {
			return errors.New("is not what was written when the repository was made")
		}
		return nil
	case id == format.KopiaRepositoryBlobID, id == format.KopiaBlobCfgBlobID:
		return r.format(ctx)
	case strings.HasPrefix(string(id), "xe"), strings.HasPrefix(string(id), "xw"):
		return nil
	case id[0] == 'x':
		return r.index(ctx, id)
	}
	return errNotOurs
}

// errNotOurs is said of a file that stock Kopia has left: it needs no seal.
var errNotOurs = errors.New("is nothing that this program writes")

// index proves an index. The encryption does not say of which epoch it is, so that the storage can give a copy of one the name of one that is
// read in the place of many: what it names must be what they name together.
func (r *Raiser) index(ctx context.Context, id blob.ID) error {
	in, err := pruning.Index(ctx, r.Kopia, id)
	first, last, replaces := epochs.Replaces(id)
	if err != nil || !replaces {
		return err
	}
	has := make(map[content.ID]bool, len(in))
	for _, i := range in {
		has[i.ContentID] = true
	}
	for name, of := range r.files {
		if epoch := epochs.Epoch(of); of == id || epoch < first || epoch > last || r.ledger.Removed[name] {
			continue
		}
		below, err := pruning.Index(ctx, r.Kopia, of)
		if err != nil {
			continue // it is found by itself
		}
		if slices.ContainsFunc(below, func(i content.Info) bool { return !i.Deleted && !has[i.ContentID] }) {
			return fmt.Errorf("is read in the place of %s and does not name everything that this does", name)
		}
	}
	return nil
}

// format opens the format with the password.
func (r *Raiser) format(ctx context.Context) error {
	m, err := format.NewManagerWithCache(ctx, r.Blobs, 0, r.Password, time.Now, format.NewMemoryBlobCache(time.Now))
	if err == nil {
		_, err = m.BlobCfgBlob(ctx)
	}
	return err
}

// write seals what was proven, and says that the seals of before are gone.
func (r *Raiser) write(ctx context.Context, unkeyed []string) error {
	slices.SortFunc(r.sealed, func(a, b seal.Record) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range unkeyed {
		r.sealed = append(r.sealed, seal.Record{State: seal.Removed, Name: name})
	}
	seals := &seal.Sealer{Store: r.Store, Key: r.Blobs.Seals.Key, Raised: true}
	if err := seals.Follow(ctx); err != nil {
		return err
	}
	for first := true; first || len(r.sealed) > 0; first = false {
		n := min(len(r.sealed), recordsOfSeal)
		for _, rec := range r.sealed[:n] {
			seals.Add(rec)
		}
		if err := seals.Write(ctx); err != nil {
			return err
		}
		r.sealed = r.sealed[n:]
	}
	r.Blobs.Seals.Raised = true
	if err := r.Memory.Keep(r.Kopia.UniqueID()); err != nil {
		return fmt.Errorf("remember that the repository is sealed: %w", err)
	}
	r.done.Replaced = len(unkeyed)
	for _, name := range unkeyed {
		if err := r.Store.Delete(ctx, name); err != nil && !errors.Is(err, cofre.ErrDenied) {
			return err
		}
	}
	return nil
}
