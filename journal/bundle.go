package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
)

// A bundle holds as many entries as a tile of C2SP's tlog-tiles, in its format and under its name: with them, years of entries are read
// with a few dozen requests. The single entries stay.
const (
	bundlesPrefix = Prefix + "tile/entries/"
	tileHeight    = 8
)

// width is how many entries a bundle has.
var width = int64(1) << tileHeight

// readers is how many objects are read at once.
const readers = 16

// bundleName is "journal/tile/entries/000", and from the thousandth on "journal/tile/entries/x001/000".
func bundleName(n int64) string {
	path := tlog.Tile{H: tileHeight, L: -1, N: n, W: 1 << tileHeight}.Path()
	return bundlesPrefix + strings.TrimPrefix(path, fmt.Sprintf("tile/%d/data/", tileHeight))
}

// encodeBundle writes each text behind its length, of two bytes.
func encodeBundle(texts [][]byte) []byte {
	var b []byte
	for _, t := range texts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	return b
}

// decodeBundle reads a bundle of width entries.
//
// Errors: cofre.ErrCorrupt.
func decodeBundle(b []byte) ([][]byte, error) {
	var texts [][]byte
	for len(b) > 0 {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, fmt.Errorf("a bundle that ends in an entry: %w", cofre.ErrCorrupt)
		}
		n := int(binary.BigEndian.Uint16(b))
		texts = append(texts, b[2:2+n])
		b = b[2+n:]
	}
	if int64(len(texts)) != width {
		return nil, fmt.Errorf("a bundle of %d entries: %w", len(texts), cofre.ErrCorrupt)
	}
	return texts, nil
}

func (j *Journal) readBundle(ctx context.Context, n int64) ([][]byte, error) {
	b, err := j.read(ctx, bundleName(n), width*(maxEntry+2))
	if err != nil {
		return nil, err
	}
	return decodeBundle(b)
}

// bundledAtOnce is how many bundles one call of Bundle makes at most.
const bundledAtOnce = 4

// Bundle makes the bundles that are due, the newest four at most: those of entries whose checkpoint is there. Entries that are not what was
// signed are left alone. Append, or Compare, has looked before. It is never needed: a journal without bundles is read entry by entry.
//
// Errors: those of the store.
func (j *Journal) Bundle(ctx context.Context) error {
	j.mu.Lock()
	size := int64(0)
	if j.head != nil {
		size = j.head.size
	}
	j.mu.Unlock()
	if size < width {
		return nil
	}
	// One that is missing behind others is of a run that was killed, or could not write.
	there := map[string]bool{}
	for o, err := range j.store.List(ctx, bundlesPrefix) {
		if err != nil {
			return fmt.Errorf("journal: list bundles: %w", err)
		}
		there[o.Name] = true
	}
	tried := 0
	for n := size/width - 1; n >= 0 && tried < bundledAtOnce; n-- {
		if there[bundleName(n)] {
			continue
		}
		tried++
		if err := j.bundle(ctx, n); err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			return fmt.Errorf("journal: bundle entries: %w", err)
		}
	}
	return nil
}

func (j *Journal) bundle(ctx context.Context, n int64) error {
	before := &compact{}
	if n > 0 {
		var err error
		if _, before, err = j.open(ctx, n*width); err != nil {
			return missing(err)
		}
	}
	after, _, err := j.open(ctx, (n+1)*width)
	if err != nil {
		return missing(err)
	}
	texts := make([][]byte, width)
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i := range texts {
		group.Go(func() (err error) {
			texts[i], err = j.read(reading, entryName(n*width+int64(i)), maxEntry)
			return missing(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, t := range texts {
		before.add(tlog.RecordHash(t))
	}
	if before.root() != after.Root {
		return cofre.ErrCorrupt
	}
	b := encodeBundle(texts)
	err = j.store.Create(ctx, bundleName(n), bytes.NewReader(b), int64(len(b)))
	if errors.Is(err, cofre.ErrExists) {
		return nil
	}
	return err
}
