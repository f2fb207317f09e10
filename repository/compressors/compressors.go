// Package compressors are the compressions of a repository, put in the place of the library's own: the same formats, faster. Read
// Adopt first.
package compressors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/kopia/kopia/repo/compression"
)

// The names of the compressions, as in the library.
const (
	Zstd = "zstd-fastest"
	S2   = "s2-default"
)

// Kopia compresses a piece as if it were a stream: through two goroutines and a buffer of 64 KiB, copied three
// times. A piece is in memory and small, so that here it is one call. What comes out is the same format under the
// same header: stock Kopia reads it, and this package what stock Kopia wrote.

// Adopt puts ours in the place of Kopia's. Before the first repository is opened, and once: the
// library's table has no lock.
var Adopt = sync.OnceFunc(func() {
	adopt := func(name compression.Name, ours *compressor) {
		ours.id = compression.ByName[name].HeaderID()
		compression.ByHeaderID[ours.id], compression.ByName[name] = ours, ours
	}
	adopt(Zstd, newZstd())
	adopt(S2, newS2())
})

// maxPiece is more than any splitter yields. A piece that claims to unpack to more is damaged.
const maxPiece = 32 << 20

// scratch is the memory of one piece: pieces come to it and leave it whole.
type scratch struct {
	in  bytes.Buffer
	out []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// compressor is one of Kopia's, for pieces in memory. What it writes begins with its header.
type compressor struct {
	id     compression.HeaderID
	pack   func(s *scratch, w io.Writer) error // what is in s.in
	unpack func(s *scratch, w io.Writer, r io.Reader) error
}

// HeaderID is what a compressed piece begins with.
func (c *compressor) HeaderID() compression.HeaderID { return c.id }

// Compress compresses what is left in r into w.
func (c *compressor) Compress(w io.Writer, r io.Reader) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.in.Reset()
	if _, err := s.in.ReadFrom(r); err != nil {
		return err
	}
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(c.id))); err != nil {
		return err
	}
	return c.pack(s, w)
}

// Decompress writes to w what Compress was given.
func (c *compressor) Decompress(w io.Writer, r io.Reader, withHeader bool) error {
	if withHeader {
		var b [4]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		if got := binary.BigEndian.Uint32(b[:]); got != uint32(c.id) {
			return fmt.Errorf("compression header %x, not %x", got, uint32(c.id))
		}
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return c.unpack(s, w, r)
}

// newZstd is "zstd-fastest". It writes no checksum of its own: the encryption authenticates every byte.
func newZstd() *compressor {
	// Neither has an error with these options. With a concurrency of none given, each keeps as many states as
	// there are processors, which is as many as compress at once.
	encoder, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	decoder, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPiece))
	return &compressor{
		pack: func(s *scratch, w io.Writer) error {
			s.out = encoder.EncodeAll(s.in.Bytes(), s.out[:0])
			_, err := w.Write(s.out)
			return err
		},
		unpack: func(s *scratch, w io.Writer, r io.Reader) error {
			s.in.Reset()
			if _, err := s.in.ReadFrom(r); err != nil {
				return err
			}
			out, err := decoder.DecodeAll(s.in.Bytes(), s.out[:0])
			if err != nil {
				return err
			}
			s.out = out
			_, err = w.Write(out)
			return err
		},
	}
}

// newS2 is "s2-default".
func newS2() *compressor {
	writers := sync.Pool{New: func() any { return s2.NewWriter(nil, s2.WriterConcurrency(1)) }}
	readers := sync.Pool{New: func() any { return s2.NewReader(nil) }}
	return &compressor{
		pack: func(s *scratch, w io.Writer) error {
			out := writers.Get().(*s2.Writer)
			defer writers.Put(out)
			out.Reset(w)
			if err := out.EncodeBuffer(s.in.Bytes()); err != nil {
				return err
			}
			return out.Close()
		},
		unpack: func(s *scratch, w io.Writer, r io.Reader) error {
			in := readers.Get().(*s2.Reader)
			defer readers.Put(in)
			in.Reset(r)
			if cap(s.out) < 64<<10 {
				s.out = make([]byte, 256<<10)
			}
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{in}, s.out[:cap(s.out)])
			return err
		},
	}
}
