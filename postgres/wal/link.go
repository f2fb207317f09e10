package wal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// linkType is the type of the stanza by which a segment's object says how its records hang on to those of its
// neighbours: as digestType, ignored by who does not know it, and bound by the header to what the identity reads.
const linkType = "cofre-chain"

// link is what that stanza says. Positions only: the names say as much.
type link struct {
	chain  pgdata.Chain
	before digest // of the segment before, as its own object carries it; zero if the archiver did not have it
	by     string // who archived it, as writerOf says; empty if that is not known
}

// writerOf names a data directory of a host, and says neither.
func writerOf(host, dir string) string {
	if host == "" || dir == "" {
		return ""
	}
	sum := blake3.Sum256([]byte("github.com/trustlayer/cofre 2026-11 WAL origin\n" + host + "\n" + dir))
	return hex.EncodeToString(sum[:8])
}

// stanza writes the link as KEY=VALUE, and leaves out what is zero. Keys that a reader does not know say nothing to it.
func (l *link) stanza() *age.Stanza {
	s := &age.Stanza{Type: linkType}
	add := func(key, value string, set bool) {
		if set {
			s.Args = append(s.Args, key+"="+value)
		}
	}
	c := l.chain
	add("remaining", strconv.FormatInt(c.Remaining, 10), true)
	add("overwritten", "1", c.Overwritten)
	add("first", c.First.String(), c.First != 0)
	add("prev", c.Prev.String(), c.First != 0)
	add("last", c.Last.String(), c.Last != 0)
	add("open", c.Open.String(), c.Open != 0)
	add("wants", strconv.FormatInt(c.Wants, 10), c.Wants != 0)
	add("break", c.Break.String(), c.Break != 0)
	add("by", l.by, l.by != "")
	add("before", l.before.String(), l.before != digest{})
	return s
}

// parseLink reads the arguments of the stanza.
//
// Errors: cofre.ErrCorrupt.
func parseLink(args []string) (*link, error) {
	l := &link{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		number := func(n *int64) { *n, err = strconv.ParseInt(value, 10, 64) }
		position := func(p *cofre.LSN) { *p, err = cofre.ParseLSN(value) }
		switch key {
		case "remaining":
			number(&l.chain.Remaining)
		case "overwritten":
			l.chain.Overwritten = true
		case "first":
			position(&l.chain.First)
		case "prev":
			position(&l.chain.Prev)
		case "last":
			position(&l.chain.Last)
		case "open":
			position(&l.chain.Open)
		case "wants":
			number(&l.chain.Wants)
		case "break":
			position(&l.chain.Break)
		case "by":
			l.by = value
		case "before":
			err = l.before.decode(value)
		}
		if err != nil {
			return nil, fmt.Errorf("read what a segment says of its neighbours: %s: %w", arg, cofre.ErrCorrupt)
		}
	}
	return l, nil
}

// String writes a digest as headers have it.
func (d digest) String() string { return base64.RawStdEncoding.EncodeToString(d[:]) }

func (d *digest) decode(text string) error {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err == nil && len(b) != len(d) {
		err = errors.New("not 32 bytes")
	}
	if err == nil {
		copy(d[:], b)
	}
	return err
}

// header is what the beginning of a stored object says of it.
type header struct {
	digest digest
	link   *link // nil if the object is no segment, or was written before links were
	proof  proof
}

// errNoDigest says that cofre did not write an object. It can be read all the same, if it is for our key.
var errNoDigest = fmt.Errorf("no digest in its header: %w", cofre.ErrCorrupt)

// readHeader reads the beginning of a stored object, without the identity.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt if it has no digest: cofre did not write it.
func readHeader(ctx context.Context, st cofre.Store, object string) (header, error) {
	b, err := readBeginning(ctx, st, object)
	if err != nil {
		return header{}, err
	}
	return parseHeader(object, b)
}

// headerSize is how many bytes of an object are enough to read its header.
const headerSize = 4096

func parseHeader(object string, b []byte) (header, error) {
	var h header
	text, err := age.ExtractHeader(bytes.NewReader(b))
	if err != nil {
		return h, fmt.Errorf("read %s: %v: %w", object, err, cofre.ErrCorrupt)
	}
	found := false
	for line := range strings.Lines(string(text)) {
		kind, args, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-> "), " ")
		if strings.HasPrefix(line, "-> ") {
			h.proof.add(kind, strings.Split(args, " "))
		}
		switch {
		case !strings.HasPrefix(line, "-> "):
		case kind == digestType:
			found = h.digest.decode(args) == nil
		case kind == linkType:
			if h.link, err = parseLink(strings.Fields(args)); err != nil {
				return h, fmt.Errorf("read %s: %w", object, err)
			}
		}
	}
	if !found {
		return h, fmt.Errorf("read %s: %w", object, errNoDigest)
	}
	return h, nil
}
