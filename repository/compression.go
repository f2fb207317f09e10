package repository

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/kopia/kopia/repo/compression"
)

// Kopia compresses a piece as if it were a stream: through two goroutines and a buffer of 64 KiB, copied three
// times. A piece is in memory and small, so that here it is one call. What comes out is the same format under the
// same header: stock Kopia reads it, and this package what stock Kopia wrote.

// adoptCompressors puts ours in the place of Kopia's. Before the first repository is opened, and once: the
// library's table has no lock.
var adoptCompressors = sync.OnceFunc(func() {
	adopt := func(name compression.Name, ours func(header) compression.Compressor) {
		c := ours(header(compression.ByName[name].HeaderID()))
		compression.ByHeaderID[c.HeaderID()], compression.ByName[name] = c, c
	}
	adopt(CompressionZstd, newZstd)
	adopt(CompressionS2, newS2)
})

// maxPiece is more than any splitter yields. A piece that claims to unpack to more is damaged.
const maxPiece = 32 << 20

// scratch is the memory of one compression: pieces come to it and leave it whole.
type scratch struct{ in, out []byte }

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// readAll reads what is left in r, which knows its length.
func (s *scratch) readAll(r io.Reader) error {
	s.in = s.in[:0]
	for {
		if len(s.in) == cap(s.in) {
			s.in = append(s.in, make([]byte, max(cap(s.in), 256<<10))...)[:len(s.in)]
		}
		n, err := r.Read(s.in[len(s.in):cap(s.in)])
		s.in = s.in[:len(s.in)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// header is what a compressed piece begins with.
type header compression.HeaderID

func (h header) HeaderID() compression.HeaderID { return compression.HeaderID(h) }

func (h header) write(w io.Writer) error {
	_, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(h)))
	return err
}

func (h header) skip(r io.Reader) error {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint32(b[:]); got != uint32(h) {
		return fmt.Errorf("compression header %x, not %x", got, uint32(h))
	}
	return nil
}

// zstdCompressor is "zstd-fastest". It writes no checksum of its own: the encryption authenticates every byte.
type zstdCompressor struct {
	header
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newZstd(h header) compression.Compressor {
	// Neither has an error with these options. With a concurrency of none given, each keeps as many states as
	// there are processors, which is as many as compress at once.
	encoder, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	decoder, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPiece))
	return &zstdCompressor{h, encoder, decoder}
}

func (c *zstdCompressor) Compress(w io.Writer, r io.Reader) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if err := s.readAll(r); err != nil {
		return err
	}
	if err := c.write(w); err != nil {
		return err
	}
	s.out = c.encoder.EncodeAll(s.in, s.out[:0])
	_, err := w.Write(s.out)
	return err
}

func (c *zstdCompressor) Decompress(w io.Writer, r io.Reader, withHeader bool) error {
	if withHeader {
		if err := c.skip(r); err != nil {
			return err
		}
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if err := s.readAll(r); err != nil {
		return err
	}
	out, err := c.decoder.DecodeAll(s.in, s.out[:0])
	if err != nil {
		return err
	}
	s.out = out
	_, err = w.Write(out)
	return err
}

// s2Compressor is "s2-default".
type s2Compressor struct {
	header
	writers sync.Pool
	readers sync.Pool
}

func newS2(h header) compression.Compressor {
	return &s2Compressor{
		header:  h,
		writers: sync.Pool{New: func() any { return s2.NewWriter(nil, s2.WriterConcurrency(1)) }},
		readers: sync.Pool{New: func() any { return s2.NewReader(nil) }},
	}
}

func (c *s2Compressor) Compress(w io.Writer, r io.Reader) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if err := s.readAll(r); err != nil {
		return err
	}
	if err := c.write(w); err != nil {
		return err
	}
	out := c.writers.Get().(*s2.Writer)
	defer c.writers.Put(out)
	out.Reset(w)
	if err := out.EncodeBuffer(s.in); err != nil {
		return err
	}
	return out.Close()
}

func (c *s2Compressor) Decompress(w io.Writer, r io.Reader, withHeader bool) error {
	if withHeader {
		if err := c.skip(r); err != nil {
			return err
		}
	}
	in := c.readers.Get().(*s2.Reader)
	defer c.readers.Put(in)
	in.Reset(r)
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if cap(s.out) < 64<<10 {
		s.out = make([]byte, 256<<10)
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{in}, s.out[:cap(s.out)])
	return err
}
