package basebackup

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is what is computed about a file as its bytes pass.
type digest struct {
	size   int64
	crc    uint32
	hashes []uint64
}

// add takes the next bytes: whole blocks, except in the last call.
func (d *digest) add(b []byte) {
	d.size += int64(len(b))
	d.crc = crc32.Update(d.crc, castagnoli, b)
	for len(b) > 0 {
		n := min(len(b), physical.BlockSize)
		d.hashes = append(d.hashes, xxh3.Hash(b[:n]))
		b = b[n:]
	}
}

// pages says how the pages of a cluster are to be verified.
type pages struct {
	size  int64     // of a page
	start cofre.LSN // the backup's: WAL replaces every page that was changed after it
}

// A page that the server is writing just now is read half old, half new, and whole a moment later. tornRetries
// and tornWait are how often and how long that is waited for. A damaged file would take for ever, so that
// after tornBudget pages of one file no more waiting is done.
const (
	tornRetries = 5
	tornWait    = 2 * time.Millisecond
	tornBudget  = 16
)

// suspect is a page that does not match its checksum and says that it was changed after the backup began. It is
// torn, and WAL replaces it, unless it says so only because it is damaged: its LSN then lies after the end.
type suspect struct {
	block int64
	lsn   cofre.LSN
}

// fileReader reads a file of a cluster up to the size that it had when it was opened; what is appended later,
// WAL brings. A file that was truncated meanwhile ends earlier. Close does nothing to the file.
type fileReader struct {
	digest
	f        *os.File
	left     int64
	verify   *pages // nil: not pages, or without checksums
	block    int64  // the number of the file's first page
	bad      []int64
	suspects []suspect
	waited   int

	buf  []byte // a block that was read but not taken yet
	rest []byte
}

// Read fills p. With a p of at least BlockSize nothing is copied twice.
func (r *fileReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if len(p) >= physical.BlockSize {
			return r.fill(p[:len(p)/physical.BlockSize*physical.BlockSize])
		}
		if r.buf == nil {
			r.buf = make([]byte, min(physical.BlockSize, max(r.left, 1)))
		}
		n, err := r.fill(r.buf)
		if n == 0 {
			return 0, err
		}
		r.rest = r.buf[:n]
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// fill reads whole blocks into b, less only at the file's end, and looks at them.
func (r *fileReader) fill(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), r.left)]
	n, err := io.ReadFull(r.f, b)
	r.left -= int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.left, err = 0, nil
		if n == 0 {
			return 0, io.EOF
		}
	}
	if err != nil {
		return 0, err
	}
	if r.verify != nil {
		r.look(b[:n])
	}
	r.add(b[:n])
	return n, nil
}

// look verifies the pages of b, the file's next bytes. A torn page is replaced in b by what it is a moment
// later.
func (r *fileReader) look(b []byte) {
	for at := int64(0); at+r.verify.size <= int64(len(b)); at += r.verify.size {
		page := b[at : at+r.verify.size]
		offset := r.size + at
		block := r.block + offset/r.verify.size
		if pgdata.VerifyPage(page, uint32(block)) {
			continue
		}
		if r.again(page, offset, uint32(block)) {
			continue
		}
		if lsn := pgdata.PageLSN(page); lsn >= r.verify.start {
			r.suspects = append(r.suspects, suspect{block, lsn})
		} else {
			r.bad = append(r.bad, block)
		}
	}
}

// again reads a page that failed until it is whole, changed after the backup's start, or has failed too often.
func (r *fileReader) again(page []byte, offset int64, block uint32) bool {
	for range tornRetries {
		if pgdata.PageLSN(page) >= r.verify.start {
			return false
		}
		if r.waited < tornBudget*tornRetries {
			r.waited++
			time.Sleep(tornWait)
		}
		if _, err := r.f.ReadAt(page, offset); err != nil {
			return false
		}
		if pgdata.VerifyPage(page, block) {
			return true
		}
	}
	return false
}
