// Package spill keeps more records than memory should hold: dealt into shards by the hash of what they are about, in one
// temporary file. It knows no objects.
package spill

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

// File deals records into partitions by the shard of their object and keeps them in one temporary file, so that
// a million rows cost the memory of one partition: at most spillBlock for each of the 4096 partitions, 32 MiB.
type File struct {
	mu    sync.Mutex
	file  *os.File // made when the first block is written; nil for a small inventory
	dir   string
	end   int64
	parts [1 << (4 * MaxDigits)]partition
	// Rows were added, of objects of Bytes bytes in all.
	Rows, Bytes int64
}

type partition struct {
	buf    []byte
	blocks []block
}

type block struct {
	at  int64
	len int32
}

// spillBlock is the unit of writing. Smaller blocks mean more seeks when a partition is read back.
const spillBlock = 8 << 10

// New makes an empty one, whose file will be in dir.
func New(dir string) *File { return &File{dir: dir} }

// Add keeps one record under the shard of bucket and name.
//
// Errors: one if the record cannot be JSON; those of the file system, as they come.
func (s *File) Add(bucket, name string, size int64, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("keep %s/%s: %w", bucket, name, err)
	}
	i, err := strconv.ParseUint(ShardOf(bucket, name), 16, 16)
	if err != nil {
		panic("spill: internal error: shard of " + name + ": " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.parts[i]
	p.buf = binary.AppendUvarint(p.buf, uint64(len(b)))
	p.buf = append(p.buf, b...)
	s.Rows++
	s.Bytes += max(size, 0)
	if len(p.buf) < spillBlock {
		return nil
	}
	return s.flush(p)
}

func (s *File) flush(p *partition) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "cofre-inventory-*")
		if err != nil {
			return fmt.Errorf("keep inventory: %w", err)
		}
		// Unlinked at once: a killed process leaves no file.
		if err := os.Remove(f.Name()); err != nil {
			return errors.Join(fmt.Errorf("keep inventory: %w", err), f.Close())
		}
		s.file = f
	}
	n, err := s.file.WriteAt(p.buf, s.end)
	if err != nil {
		return fmt.Errorf("keep inventory: %w", err)
	}
	p.blocks = append(p.blocks, block{s.end, int32(n)})
	s.end += int64(n)
	p.buf = p.buf[:0]
	return nil
}

// Each decodes the records of a shard, of one to MaxDigits digits, in the order they were added, and hands
// them to f.
//
// Errors: that of f, which ends it; those of reading the file.
func (s *File) Each(shard string, f func(json.RawMessage) error) error {
	low := shard + strings.Repeat("0", MaxDigits-len(shard))
	first, err := strconv.ParseUint(low, 16, 16)
	if err != nil {
		panic("spill: internal error: shard " + shard)
	}
	for i := first; i < first+1<<(4*(MaxDigits-len(shard))); i++ {
		b, err := s.read(&s.parts[i])
		if err != nil {
			return err
		}
		for r := bytes.NewReader(b); r.Len() > 0; {
			n, err := binary.ReadUvarint(r)
			if err != nil {
				return fmt.Errorf("read kept inventory: %w", err)
			}
			at := len(b) - r.Len()
			if err := f(json.RawMessage(b[at : at+int(n)])); err != nil {
				return err
			}
			if _, err := r.Seek(int64(n), io.SeekCurrent); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *File) read(p *partition) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p.buf)
	for _, b := range p.blocks {
		n += int(b.len)
	}
	out := make([]byte, 0, n)
	for _, b := range p.blocks {
		at := len(out)
		out = out[:at+int(b.len)]
		if _, err := s.file.ReadAt(out[at:], b.at); err != nil {
			return nil, fmt.Errorf("read kept inventory: %w", err)
		}
	}
	return append(out, p.buf...), nil
}

// Close releases the file.
//
// Errors: of closing it.
func (s *File) Close() error {
	if s == nil || s.file == nil {
		return nil
	}
	return s.file.Close()
}

// Records decodes every record of a shard.
//
// Errors: those of Each; one if a record is not a T.
func Records[T any](s *File, shard string) ([]T, error) {
	var out []T
	if s == nil {
		return nil, nil
	}
	err := s.Each(shard, func(b json.RawMessage) error {
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			return fmt.Errorf("read kept inventory: %w", err)
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

// MaxDigits is the number of hexadecimal digits of the finest sharding: 4096 shards.
const MaxDigits = 3

// ShardOf returns the shard of an object at the finest sharding; a prefix of it is its shard at a coarser one.
func ShardOf(bucket, name string) string {
	return Key(bucket, name)[:MaxDigits]
}

// Key is the SHA-256 of parts that hold no NUL, in hexadecimal digits.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		// Bucket ids and names hold no NUL, so nothing but equal parts yields equal input.
		_, _ = io.WriteString(h, p)
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Shards lists every shard at a number of digits.
func Shards(digits int) []string {
	names := make([]string, 1<<(4*digits))
	for i := range names {
		names[i] = fmt.Sprintf("%0*x", digits, i)
	}
	return names
}
