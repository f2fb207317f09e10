package bucket

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

// spill deals records into partitions by the shard of their object and keeps them in one temporary file, so that
// a million rows cost the memory of one partition: at most spillBlock for each of the 4096 partitions, 32 MiB.
type spill struct {
	mu     sync.Mutex
	file   *os.File // made when the first block is written; nil for a small inventory
	dir    string
	end    int64
	parts  [1 << (4 * maxShardDigits)]partition
	counts struct{ rows, bytes int64 }
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

func newSpill(dir string) *spill { return &spill{dir: dir} }

// add keeps one record under the shard of bucket and name.
func (s *spill) add(bucket, name string, size int64, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("keep %s/%s: %w", bucket, name, err)
	}
	i, err := strconv.ParseUint(shardOf(bucket, name), 16, 16)
	if err != nil {
		panic("bucket: internal error: shard of " + name + ": " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.parts[i]
	p.buf = binary.AppendUvarint(p.buf, uint64(len(b)))
	p.buf = append(p.buf, b...)
	s.counts.rows++
	s.counts.bytes += max(size, 0)
	if len(p.buf) < spillBlock {
		return nil
	}
	return s.flush(p)
}

func (s *spill) flush(p *partition) error {
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

// each decodes the records of a shard, of one to maxShardDigits digits, in the order they were added, and hands
// them to f.
func (s *spill) each(shard string, f func(json.RawMessage) error) error {
	low := shard + strings.Repeat("0", maxShardDigits-len(shard))
	first, err := strconv.ParseUint(low, 16, 16)
	if err != nil {
		panic("bucket: internal error: shard " + shard)
	}
	for i := first; i < first+1<<(4*(maxShardDigits-len(shard))); i++ {
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

func (s *spill) read(p *partition) ([]byte, error) {
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

func (s *spill) close() error {
	if s == nil || s.file == nil {
		return nil
	}
	return s.file.Close()
}

// spilled decodes every record of a shard.
func spilled[T any](s *spill, shard string) ([]T, error) {
	var out []T
	if s == nil {
		return nil, nil
	}
	err := s.each(shard, func(b json.RawMessage) error {
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			return fmt.Errorf("read kept inventory: %w", err)
		}
		out = append(out, v)
		return nil
	})
	return out, err
}
