package wal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/largepages"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Prefix of everything that belongs to one cluster's WAL.
func Prefix(system cofre.SystemID) string { return "wal/" + system.String() + "/" }

// TimelinePrefix of what belongs to one of its timelines.
func TimelinePrefix(system cofre.SystemID, tli cofre.Timeline) string {
	return fmt.Sprintf("%s%08X/", Prefix(system), uint32(tli))
}

// ObjectName is the name under which an archived file is stored.
func ObjectName(system cofre.SystemID, file pgdata.WALName) string {
	return TimelinePrefix(system, file.Timeline) + file.String()
}

// digest identifies the content of an archived file to those who hold the recipient, which is public but not a
// part of the object: keyed with it and with the object's name, it says of two objects of different names
// nothing, and of one only whether it is a file that one already has.
type digest [32]byte

func digestOf(r Recipient, object string, content []byte) digest {
	h := digester(r, object)
	_, _ = h.Write(content) // a hash does not fail
	var d digest
	h.Sum(d[:0])
	return d
}

func digester(r Recipient, object string) *blake3.Hasher {
	var key digest
	blake3.DeriveKey("github.com/trustlayer/cofre 2026-11 WAL digest", []byte(r.String()+"\n"+object), key[:])
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic("wal: internal error: " + err.Error()) // the key has the one right length
	}
	return h
}

// digestType is the type of the stanza that carries the digest in an age file's header. It stands there next to
// the recipient's stanza: programs that do not know the type ignore it, as age's format asks of them, and who
// holds the identity can tell that it was not changed.
const digestType = "cofre-digest"

// carry is a recipient that nobody reads with: it puts the digest into the header, the link of a segment, and room for
// the sums.
type carry struct {
	a   Archive
	of  string // the object
	d   digest
	l   *link
	key []byte // of the file, with which the header is written anew once there is something to sum up
}

func (c *carry) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	c.key = bytes.Clone(fileKey)
	all := []*age.Stanza{{Type: digestType, Args: []string{c.d.String()}}}
	if c.l != nil {
		all = append(all, c.l.stanza())
	}
	return append(signed(c.a.Signer, c.of, all), &age.Stanza{Type: sumType, Args: []string{noSum, noSum}}), nil
}

// frame is how much plaintext is one zstd frame. Frames are compressed side by side; a file of several is
// an ordinary zstd file.
const frame = 1 << 20

var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("wal: internal error: " + err.Error()) // the options are constant
	}
	return e
}}

// compress makes zstd frames of content, up to jobs of them at a time.
func compress(content []byte, jobs int) [][]byte {
	var parts [][]byte
	for i := 0; i == 0 || i < len(content); i += frame {
		parts = append(parts, content[i:min(i+frame, len(content))])
	}
	slots := make(chan struct{}, max(jobs, 1))
	var wg sync.WaitGroup
	for i := range parts {
		slots <- struct{}{}
		wg.Go(func() {
			e := encoders.Get().(*zstd.Encoder)
			parts[i] = e.EncodeAll(parts[i], make([]byte, 0, len(parts[i])/4+1024))
			encoders.Put(e)
			<-slots
		})
	}
	wg.Wait()
	return parts
}

// seal makes the object of a file's content for one recipient: what was packed of it, encrypted, with the digest of the
// content in the header, with the link of a segment, and with the sums of the object.
func (a Archive) seal(r Recipient, object string, d digest, l *link, packed [][]byte) ([]byte, error) {
	if r.IsZero() {
		return nil, fmt.Errorf("encrypt %s: no recipient", object)
	}
	var size int
	for _, p := range packed {
		size += len(p)
	}
	b := bytes.NewBuffer(make([]byte, 0, size+size/1024+1024))
	c := &carry{a: a, of: object, d: d, l: l}
	w, err := age.Encrypt(b, r.r, c)
	for _, p := range packed {
		if err == nil {
			_, err = w.Write(p)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = addSums(b.Bytes(), c.key)
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt %s: %w", object, err)
	}
	return b.Bytes(), nil
}

// Open reads an object back: decrypted, decompressed, compared with its digest. It is streamed: only the content is
// held in memory.
//
// Errors: cofre.ErrNotFound; cofre.ErrWrongKey; cofre.ErrCorrupt; *origin.Error if the identity does not believe who stored it; the store's.
func Open(ctx context.Context, st cofre.Store, id Identity, object string, limit int64) ([]byte, error) {
	stored, err := st.Open(ctx, object, 0, -1)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	src := &source{r: stored}
	content, p, err := unseal(id, object, src, limit)
	if err == nil && src.err == nil {
		err = id.judge(ctx, object, p)
	}
	if src.err != nil {
		// What a store that failed in the middle leads to is not a damaged object.
		return nil, fmt.Errorf("read %s: %w", object, src.err)
	}
	return content, err
}

// Read reads an archived file back and checks that it is what its name says.
//
// Errors: cofre.ErrNotFound; cofre.ErrWrongKey; cofre.ErrCorrupt; cofre.ErrRefused if it is of another system; the store's.
func Read(ctx context.Context, st cofre.Store, id Identity, system cofre.SystemID, name pgdata.WALName) ([]byte, error) {
	content, err := Open(ctx, st, id, ObjectName(system, name), MaxSegment)
	if err == nil {
		err = CheckContent(system, name, content)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

// ReadBack is Read for any object below wal/, by the name of the object. It returns nil for a part, which is compared with
// its length, and for what is not ours: a later version's perhaps.
//
// Errors: those of Read.
func ReadBack(ctx context.Context, st cofre.Store, id Identity, object string) ([]byte, error) {
	var system cofre.SystemID
	text, rest, _ := strings.Cut(strings.TrimPrefix(object, "wal/"), "/")
	if err := system.UnmarshalText([]byte(text)); err != nil {
		return nil, nil
	}
	_, text, _ = strings.Cut(rest, "/")
	if _, p, ok := parsePart(text); ok {
		content, err := Open(ctx, st, id, object, MaxSegment)
		if err == nil && int64(len(content)) != p.to-p.from {
			err = fmt.Errorf("it holds %d bytes: %w", len(content), cofre.ErrCorrupt)
		}
		return nil, err
	}
	name, err := pgdata.ParseWALName(text)
	if err != nil {
		return nil, nil
	}
	return Read(ctx, st, id, system, name)
}

// source remembers the error of the store, which the layers above it take for a damaged object.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func unseal(id Identity, object string, sealed io.Reader, limit int64) ([]byte, proof, error) {
	got := digestReader{id: id.i}
	corrupt := func(err error) ([]byte, proof, error) {
		return nil, got.proof, fmt.Errorf("read %s: %v: %w", object, err, cofre.ErrCorrupt)
	}
	packed, err := age.Decrypt(bufio.NewReaderSize(sealed, 256<<10), &got)
	if err != nil {
		if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
			return nil, got.proof, fmt.Errorf("read %s: it is encrypted for another key: %w", object, otherKey(id.Recipient().String()))
		}
		return corrupt(err)
	}
	d, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return corrupt(err)
	}
	defer d.Close()
	// What was read is hashed while the rest is decompressed.
	h := digester(id.Recipient(), object)
	pieces := make(chan []byte, 32)
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for b := range pieces {
			_, _ = h.Write(b) // a hash does not fail
		}
	})
	content, err := readContent(d, limit, func(b []byte) { pieces <- b })
	close(pieces)
	hashing.Wait()
	if err != nil {
		return corrupt(err)
	}
	var sum digest
	h.Sum(sum[:0])
	if (got.found || got.proof.signature != nil) && sum != got.d {
		return corrupt(errors.New("its content does not match its digest"))
	}
	return content, got.proof, nil
}

// UsualSegment is the size that nearly every cluster's segments have.
const UsualSegment = 16 << 20

// readContent reads to the end: a whole segment into one buffer, which the kernel is asked to give in large pages. A
// process that lives for one segment would else spend more time on the first touch of its memory than on the segment.
func readContent(r io.Reader, limit int64, took func([]byte)) ([]byte, error) {
	b := make([]byte, 0, 64<<10) // enough for what is no segment
	for {
		if int64(len(b)) > limit {
			return nil, fmt.Errorf("it has more than %d bytes", limit)
		}
		switch {
		case len(b) < cap(b):
		case cap(b) < UsualSegment:
			b = append(largepages.Make(UsualSegment + 1)[:0], b...) // one more, to meet the end without growing
		default:
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n > 0 {
			took(b[len(b)-n:])
		}
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// digestReader is an identity that remembers what the header says. It stands before the one that opens: age asks its own kinds first, and
// nobody after one that opens.
type digestReader struct {
	id    *age.X25519Identity
	d     digest
	found bool
	proof proof
}

func (r *digestReader) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		r.proof.add(s.Type, s.Args)
		if s.Type == digestType && len(s.Args) == 1 {
			n, err := base64.RawStdEncoding.Decode(r.d[:], []byte(s.Args[0]))
			r.found = err == nil && n == len(r.d)
		}
	}
	return r.id.Unwrap(stanzas)
}

// MaxSegment is the size of the largest segment that PostgreSQL can be told to use, in bytes.
const MaxSegment = 1 << 30
