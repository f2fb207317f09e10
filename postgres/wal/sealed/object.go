package sealed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/largepages"
)

// Contents is what an object is made of.
type Contents struct {
	Object string // its name
	Digest Digest // of the file
	Link   *Link  // of a segment
	// Sign says who states what the header does, as the arguments of a line; nil signs nothing.
	Sign func(object, statement string) []string
}

// carry is a recipient that nobody reads with: it puts the digest into the header, the link of a segment, and room for
// the sums.
type carry struct {
	Contents
	key []byte // of the file, with which the header is written anew once there is something to sum up
}

func (c *carry) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	c.key = bytes.Clone(fileKey)
	all := []*age.Stanza{{Type: digestType, Args: []string{c.Digest.String()}}}
	if c.Link != nil {
		all = append(all, &age.Stanza{Type: linkType, Args: c.Link.Args()})
	}
	if c.Sign != nil {
		bound, err := boundTo(fileKey, c.Object)
		if err != nil {
			return nil, err
		}
		all = append(all, &age.Stanza{Type: keyType, Args: []string{bound}})
		var p Proof
		for _, s := range all {
			p.add(s.Type, s.Args)
		}
		all = append(all, &age.Stanza{Type: signatureType, Args: c.Sign(c.Object, p.Statement)})
	}
	return append(all, &age.Stanza{Type: sumType, Args: []string{noSum, noSum}}), nil
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

// Compress makes zstd frames of content, up to jobs of them at a time.
func Compress(content []byte, jobs int) [][]byte {
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

// Seal makes an object for one recipient: what was packed of a file, encrypted, with the digest of the content in the header, with the
// link of a segment, and with the sums of the object.
//
// Errors: age's, of which none is to be expected.
func Seal(r *age.X25519Recipient, what Contents, packed [][]byte) ([]byte, error) {
	var size int
	for _, p := range packed {
		size += len(p)
	}
	b := bytes.NewBuffer(make([]byte, 0, size+size/1024+1024))
	c := &carry{Contents: what}
	w, err := age.Encrypt(b, r, c)
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
	return b.Bytes(), err
}

// Open reads an object back: decrypted, decompressed, compared with its digest. Only the content is held in memory.
//
// signed reports whether somebody who is believed has signed the header. Of one that is, and that names the key of the body, the digest is not
// computed anew: nobody but its maker had that key, without which no byte of the body can be changed; see decision 0045. nil believes nobody.
//
// Errors: *age.NoIdentityMatchError; cofre.ErrCorrupt.
func Open(id *age.X25519Identity, object string, r io.Reader, limit int64, signed func(Proof) bool) ([]byte, Proof, error) {
	got := digestReader{id: id, object: object}
	corrupt := func(err error) ([]byte, Proof, error) {
		return nil, got.proof, fmt.Errorf("read %s: %v: %w", object, err, cofre.ErrCorrupt)
	}
	packed, err := age.Decrypt(bufio.NewReaderSize(r, 256<<10), &got)
	if err != nil {
		if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
			return nil, got.proof, err
		}
		return corrupt(err)
	}
	d, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return corrupt(err)
	}
	defer d.Close()
	if got.bound && signed != nil && signed(got.proof) {
		content, err := readContent(d, limit, func([]byte) {})
		if err != nil {
			return corrupt(err)
		}
		return content, got.proof, nil
	}
	// What was read is hashed while the rest is decompressed.
	h := digester(id.Recipient().String(), object)
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
	var sum Digest
	h.Sum(sum[:0])
	if (got.found || got.proof.Signature != nil) && sum != got.d {
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
	id     *age.X25519Identity
	object string
	d      Digest
	found  bool
	proof  Proof
	bound  bool // a line of the header names the key of the body, and it is that
}

func (r *digestReader) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		r.proof.add(s.Type, s.Args)
		if s.Type == digestType && len(s.Args) == 1 {
			r.found = r.d.Decode(s.Args[0]) == nil
		}
	}
	key, err := r.id.Unwrap(stanzas)
	if err != nil {
		return nil, err
	}
	is, err := boundTo(key, r.object)
	r.bound = err == nil && slices.ContainsFunc(stanzas, func(s *age.Stanza) bool { return s.Type == keyType && len(s.Args) == 1 && s.Args[0] == is })
	return key, err
}
