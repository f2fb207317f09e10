package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// deposit is an object on its way to an archive.
type deposit struct {
	object string
	bytes  []byte
	digest sealed.Digest
	// derived is the digest of a history as it is derived from the WAL; see derivedOf. Of all else it is zero.
	derived sealed.Digest
	// Of a segment: which one it is, how long, and how its records hang on to those before it.
	system cofre.SystemID
	name   pgdata.WALName
	size   int64
	chain  pgdata.Chain
}

// took is what became of a deposit.
type took struct {
	isNew bool
	size  int64 // of the object that is there now, in bytes
	// healed is why what was there was replaced, if it was.
	healed string
}

// create stores an object, or accepts the one that is there if it is proven to hold the same and to be whole. One that is
// damaged is kept beside, and replaced.
//
// Errors: cofre.ErrExists if another file is there, or one of which nothing proves that it is another; the store's.
func create(ctx context.Context, st cofre.Store, p deposit) (took, error) {
	err := st.Create(ctx, p.object, bytes.NewReader(p.bytes), int64(len(p.bytes)))
	if err == nil {
		return took{isNew: true, size: int64(len(p.bytes))}, nil
	}
	if errors.Is(err, cofre.ErrExists) {
		var done took
		if done, err = p.settle(ctx, st); err == nil {
			return done, nil
		}
	}
	return took{}, fmt.Errorf("repository %s: %w", st.URL(), err)
}

// errUncompared is the error of a key that may put, and not read what is there.
var errUncompared = errors.New("this key may not read it")

// settle compares what is stored under the name of a deposit with it, and replaces it if it is damaged: healed says why then.
//
// A good object is never replaced by another. What is replaced was proven not to be as it was made, or says of itself that it
// holds this very file; and of one whose header cannot be believed, nothing around it says that it held another. What is
// there is read twice and kept beside first, so that a crash, and a mistake, leave it.
func (p deposit) settle(ctx context.Context, st cofre.Store) (took, error) {
	was, err := bounded.Read(ctx, st, p.object, maxObject)
	if errors.Is(err, cofre.ErrDenied) {
		return took{}, cofre.WithHint(fmt.Errorf("%s is there, and may not be compared: %w: %w", p.object, errUncompared, err),
			cofre.Say("wal.may_not_compare", "this key may put, and not read: whether it is this very file, nobody can say here; let the key read wal/* until it is archived, which decrypts nothing"))
	}
	if err != nil {
		return took{}, fmt.Errorf("compare with what is there: %w", err)
	}
	h, is, err := sealed.Judge(p.object, was)
	if err != nil {
		return took{}, fmt.Errorf("compare with what is there: %w", err)
	}
	known, err := remembered(ctx, st, p.object, was)
	if err != nil {
		return took{}, fmt.Errorf("ask what is known of %s: %w", p.object, err)
	}
	why := ""
	same := is != sealed.HeadDamaged && h.Digest == p.digest
	switch {
	case (same || p.derivedThere(h.Digest)) && is == sealed.Whole && known == "":
		return took{size: int64(len(was))}, nil
	case is == sealed.BodyDamaged && p.derived == p.digest:
		why = "its bytes are not those that were stored"
	case is == sealed.BodyDamaged && same:
		why = "its bytes are not those that were stored"
	case same && known == "":
		why = "it was stored by a version of before, and nothing proves its bytes without the key"
	case is == sealed.HeadDamaged:
		why = "its header is damaged"
	case known != "":
		why = known
	default:
		return took{}, another(p.object)
	}
	if !same {
		against, err := p.against(ctx, st)
		if err != nil {
			return took{}, err
		}
		if against != "" {
			return took{}, fmt.Errorf("%s is damaged, and was another (%s): %w", p.object, against, another(p.object))
		}
	}
	return took{healed: why, size: int64(len(p.bytes))}, p.replace(ctx, st, was, why)
}

// derivedThere reports whether an object is this history as it was derived when it was lost: the forks are the same, and the server's words
// on them are not needed.
func (p deposit) derivedThere(there sealed.Digest) bool {
	return p.derived != sealed.Digest{} && there == p.derived
}

// derivedOf is the digest of the history in content as it is derived from the WAL; zero if it is none.
func derivedOf(r Recipient, object string, content []byte) sealed.Digest {
	name, err := pgdata.ParseWALName(path.Base(object))
	if err != nil || name.Kind != pgdata.WALHistory {
		return sealed.Digest{}
	}
	h, err := pgdata.ParseHistory(name.Timeline, content)
	if err != nil {
		return sealed.Digest{}
	}
	return digestOf(r, object, h.Derived().Encode())
}

func another(object string) error {
	return cofre.WithHint(fmt.Errorf("another %s is there: %w", object, cofre.ErrExists),
		cofre.Say("wal.two_servers", "two servers write the same timeline, or the data directory was restored outside of cofre: look at both before anything is removed"))
}

// against says in which way the neighbours of a segment that is not there, or is damaged and does not say what it held, speak
// against the deposit; "" if none does.
//
// Errors: the store's.
func (p deposit) against(ctx context.Context, st cofre.Store) (string, error) {
	if p.size == 0 {
		return "", nil
	}
	seg, err := p.name.Segment(p.size)
	if err != nil {
		return "", err
	}
	for _, by := range []int{1, -1} {
		if by < 0 && seg.Number == 0 {
			continue
		}
		beside := pgdata.Segment{Timeline: seg.Timeline, Number: seg.Number + uint64(by)}
		h, err := readHeader(ctx, st, ObjectName(p.system, beside.File(p.size)))
		switch {
		case errors.Is(err, cofre.ErrNotFound), errors.Is(err, cofre.ErrCorrupt), err == nil && h.Link == nil:
			continue
		case err != nil:
			return "", err
		}
		why := ""
		if by < 0 {
			why = h.Link.Chain.Follows(p.chain)
		} else if h.Link.Before == p.digest {
			return "", nil // it names this very file
		} else if why = p.chain.Follows(h.Link.Chain); h.Link.Before != (sealed.Digest{}) {
			why = "the segment after it was written behind another"
		}
		if why != "" {
			return why, nil
		}
	}
	return "", nil
}

// replace puts the deposit in the place of what was there, which it keeps beside, and reads it back.
func (p deposit) replace(ctx context.Context, st cofre.Store, was []byte, why string) error {
	kept := p.damage("object", was)
	if len(was) > 0 {
		err := st.Create(ctx, kept, bytes.NewReader(was), int64(len(was)))
		if err != nil && !errors.Is(err, cofre.ErrExists) {
			return fmt.Errorf("keep the damaged %s: %w", p.object, err)
		}
	}
	// A read that went wrong, or another who was faster, must not cost a good object.
	again, err := bounded.Read(ctx, st, p.object, maxObject)
	if err == nil && !bytes.Equal(again, was) {
		err = fmt.Errorf("what is stored was read twice, and differed: %w", cofre.ErrUnreachable)
	}
	if err == nil {
		err = st.Replace(ctx, p.object, bytes.NewReader(p.bytes), int64(len(p.bytes)))
	}
	if err == nil {
		again, err = bounded.Read(ctx, st, p.object, maxObject)
	}
	if err == nil && !bytes.Equal(again, p.bytes) {
		if h, is, jerr := sealed.Judge(p.object, again); jerr != nil || is != sealed.Whole || h.Digest != p.digest {
			err = fmt.Errorf("it was stored afresh, and does not read back as it was stored: %w", cofre.ErrCorrupt)
		}
	}
	if err != nil {
		return cofre.WithHint(fmt.Errorf("store %s afresh, which is not proven whole (%s): %w", p.object, why, err),
			cofre.Say("wal.replace", "what stores WAL needs the right to replace an object that is damaged"))
	}
	return p.healed(ctx, st, kept, was, why)
}

// damage is the name of an object that has to do with a damaged one, of which was are the bytes.
func (p deposit) damage(kind string, was []byte) string {
	return damageName(p.object, kind, sealed.IdentOf(was))
}

// maxObject is the size of the largest object of WAL, in bytes.
const maxObject = MaxSegment + MaxSegment/64

// readBeginning reads what identify needs.
func readBeginning(ctx context.Context, st cofre.Store, object string) ([]byte, error) {
	r, err := st.Open(ctx, object, 0, sealed.HeaderSize)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, sealed.HeaderSize)) // whatever the store gives
}

// readHeader reads the beginning of a stored object, without the identity.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt if it has no digest: cofre did not write it.
func readHeader(ctx context.Context, st cofre.Store, object string) (sealed.Header, error) {
	b, err := readBeginning(ctx, st, object)
	if err != nil {
		return sealed.Header{}, err
	}
	return sealed.ParseHeader(object, b)
}

// Restore stores a file's content in an archive if that has none, or one that is damaged, and reports why it replaced
// what was there; "" if it is new, or was there and is proven whole.
//
// Errors: cofre.ErrExists if another file is there, or was by what the segments beside it say; cofre.ErrCorrupt, cofre.ErrRefused if the content is not what its name
// says; the store's.
func Restore(ctx context.Context, a Archive, system cofre.SystemID, name pgdata.WALName, content []byte) (healed string, err error) {
	if err := CheckContent(system, name, content); err != nil {
		return "", fmt.Errorf("archive %s: %w", name, err)
	}
	r, err := a.Find(ctx)
	if err != nil {
		return "", err
	}
	p := deposit{object: ObjectName(system, name)}
	p.digest, p.derived = digestOf(r, p.object, content), derivedOf(r, p.object, content)
	var l *sealed.Link
	if name.Kind == pgdata.WALSegment {
		p.system, p.name, p.size, p.chain = system, name, int64(len(content)), pgdata.ChainOf(content, int64(len(content)))
		l = &sealed.Link{Chain: p.chain}
		// What the archiver knew of the segment before is not lost with the rest.
		if h, err := readHeader(ctx, a.Store, p.object); err == nil && h.Digest == p.digest && h.Link != nil {
			l = h.Link
		}
	}
	if p.bytes, err = a.seal(r, p.object, p.digest, l, sealed.Compress(content, 1)); err != nil {
		return "", err
	}
	if _, err := a.Store.Stat(ctx, p.object); errors.Is(err, cofre.ErrNotFound) {
		against, err := p.against(ctx, a.Store)
		if err != nil {
			return "", err
		}
		if against != "" {
			return "", fmt.Errorf("archive %s: repository %s has lost another (%s): %w", name, a.URL(), against, another(p.object))
		}
	}
	done, err := create(ctx, a.Store, p)
	if err != nil {
		return "", fmt.Errorf("archive %s: %w", name, err)
	}
	return done.healed, nil
}
