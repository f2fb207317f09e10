package wal

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// A digest says which file an object was made of, and nothing of whether the object is still as it was made. The host that
// archives cannot read it back: it has the recipient alone. So the header carries sums of the object itself, which anybody
// can compare: of the header before them, and of everything behind it.

// sumType is the type of the stanza that carries the two sums, the last of the header.
const sumType = "cofre-sum"

// noSum stands in the header until there is something to sum up.
var noSum = base64.RawStdEncoding.EncodeToString(make([]byte, 32))

var (
	sumLine = []byte("\n-> " + sumType + " ")
	macLine = []byte("\n--- ")
)

// addSums writes the sums into an object that was encrypted with room for them, and the header's MAC anew, which covers them.
//
// Source: age-encryption.org/v1, Header MAC.
func addSums(object, fileKey []byte) error {
	at := bytes.Index(object, sumLine)
	if at < 0 {
		return errors.New("no room for the sums in its header")
	}
	mac := bytes.Index(object[at:], macLine)
	if mac < 0 {
		return errors.New("no MAC in its header")
	}
	mac += at
	body := mac + len(macLine) + len(noSum) + 1
	if len(object) < body || object[body-1] != '\n' {
		return errors.New("its header has no end")
	}
	head, rest := blake3.Sum256(object[:at+1]), blake3.Sum256(object[body:])
	write := func(to int, sum []byte) int { return to + copy(object[to:], base64.RawStdEncoding.EncodeToString(sum)) }
	end := write(at+len(sumLine), head[:])
	write(end+1, rest[:])
	key, err := hkdf.Key(sha256.New, fileKey, nil, "header", sha256.Size)
	if err != nil {
		return err
	}
	h := hmac.New(sha256.New, key)
	h.Write(object[:mac+len(macLine)-1]) // to the three hyphens, without the space behind them
	write(mac+len(macLine), h.Sum(nil))
	return nil
}

// state is what the bytes of a stored object prove of it.
type state int

const (
	unproven    state = iota // it was stored before there were sums, or by another program
	whole                    // it is as it was made
	bodyDamaged              // its header is as it was made, and what is behind it is not
	headDamaged              // nothing that its header says is to be believed
)

// judge says what the bytes of a stored object prove, and what its header says. It needs no key. Of the beginning alone it
// finds out whether the header is damaged.
//
// Errors: errNoDigest of an object that another program may have made: it may well be readable.
func judge(object string, b []byte) (header, state, error) {
	h, err := parseHeader(object, b)
	at := bytes.Index(b[:min(len(b), headerSize)], sumLine)
	if at < 0 {
		if err != nil && !errors.Is(err, errNoDigest) {
			return h, headDamaged, nil
		}
		return h, unproven, err
	}
	line, _, _ := bytes.Cut(b[at+len(sumLine):], []byte("\n"))
	head, rest, _ := strings.Cut(string(line), " ")
	mac := bytes.Index(b[at:], macLine)
	behind := at + mac + len(macLine) + len(noSum) + 1
	switch {
	case err != nil, head != sumOf(b[:at+1]):
		return h, headDamaged, nil
	case mac < 0, len(b) < behind, rest != sumOf(b[behind:]):
		return h, bodyDamaged, nil
	}
	return h, whole, nil
}

func sumOf(b []byte) string {
	sum := blake3.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// deposit is an object on its way to an archive.
type deposit struct {
	object string
	sealed []byte
	digest digest
	// derived is the digest of a history as it is derived from the WAL; see derivedOf. Of all else it is zero.
	derived digest
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
	err := st.Create(ctx, p.object, bytes.NewReader(p.sealed), int64(len(p.sealed)))
	if err == nil {
		return took{isNew: true, size: int64(len(p.sealed))}, nil
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
	h, is, err := judge(p.object, was)
	if err != nil {
		return took{}, fmt.Errorf("compare with what is there: %w", err)
	}
	known, err := remembered(ctx, st, p.object, was)
	if err != nil {
		return took{}, fmt.Errorf("ask what is known of %s: %w", p.object, err)
	}
	why := ""
	same := is != headDamaged && h.digest == p.digest
	switch {
	case (same || p.derivedThere(h.digest)) && is == whole && known == "":
		return took{size: int64(len(was))}, nil
	case is == bodyDamaged && p.derived == p.digest:
		why = "its bytes are not those that were stored"
	case is == bodyDamaged && same:
		why = "its bytes are not those that were stored"
	case same && known == "":
		why = "it was stored by a version of before, and nothing proves its bytes without the key"
	case is == headDamaged:
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
	return took{healed: why, size: int64(len(p.sealed))}, p.replace(ctx, st, was, why)
}

// derivedThere reports whether an object is this history as it was derived when it was lost: the forks are the same, and the server's words
// on them are not needed.
func (p deposit) derivedThere(there digest) bool { return p.derived != digest{} && there == p.derived }

// derivedOf is the digest of the history in content as it is derived from the WAL; zero if it is none.
func derivedOf(r Recipient, object string, content []byte) digest {
	name, err := pgdata.ParseWALName(path.Base(object))
	if err != nil || name.Kind != pgdata.WALHistory {
		return digest{}
	}
	h, err := pgdata.ParseHistory(name.Timeline, content)
	if err != nil {
		return digest{}
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
		case errors.Is(err, cofre.ErrNotFound), errors.Is(err, cofre.ErrCorrupt), err == nil && h.link == nil:
			continue
		case err != nil:
			return "", err
		}
		why := ""
		if by < 0 {
			why = h.link.chain.Follows(p.chain)
		} else if h.link.before == p.digest {
			return "", nil // it names this very file
		} else if why = p.chain.Follows(h.link.chain); h.link.before != (digest{}) {
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
		err = st.Replace(ctx, p.object, bytes.NewReader(p.sealed), int64(len(p.sealed)))
	}
	if err == nil {
		again, err = bounded.Read(ctx, st, p.object, maxObject)
	}
	if err == nil && !bytes.Equal(again, p.sealed) {
		if h, is, jerr := judge(p.object, again); jerr != nil || is != whole || h.digest != p.digest {
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
	return damageName(p.object, kind, identOf(was))
}

// maxObject is the size of the largest object of WAL, in bytes.
const maxObject = MaxSegment + MaxSegment/64

// identOf tells one making of an object from another, without reading all of it: no two begin alike, since each is
// encrypted with a key of its own.
func identOf(b []byte) string { return identify(b, int64(len(b))) }

func identify(beginning []byte, size int64) string {
	sum := blake3.Sum256(fmt.Appendf(slices.Clone(beginning[:min(len(beginning), headerSize)]), "\n%d", size))
	return fmt.Sprintf("%x", sum[:8])
}

// readBeginning reads what identify needs.
func readBeginning(ctx context.Context, st cofre.Store, object string) ([]byte, error) {
	r, err := st.Open(ctx, object, 0, headerSize)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, headerSize)) // whatever the store gives
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
	var l *link
	if name.Kind == pgdata.WALSegment {
		p.system, p.name, p.size, p.chain = system, name, int64(len(content)), pgdata.ChainOf(content, int64(len(content)))
		l = &link{chain: p.chain}
		// What the archiver knew of the segment before is not lost with the rest.
		if h, err := readHeader(ctx, a.Store, p.object); err == nil && h.digest == p.digest && h.link != nil {
			l = h.link
		}
	}
	if p.sealed, err = a.seal(r, p.object, p.digest, l, compress(content, 1)); err != nil {
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
