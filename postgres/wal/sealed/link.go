package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
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

// digestType is the type of the stanza that carries the digest in an age file's header. It stands there next to
// the recipient's stanza: programs that do not know the type ignore it, as age's format asks of them, and who
// holds the identity can tell that it was not changed.
const digestType = "cofre-digest"

// Digest identifies the content of an archived file to those who hold the recipient, which is public but not a
// part of the object: keyed with it and with the object's name, it says of two objects of different names
// nothing, and of one only whether it is a file that one already has.
type Digest [32]byte

// DigestOf is the digest of a file as an object for a recipient, which is given as it is written.
func DigestOf(recipient, object string, content []byte) Digest {
	h := digester(recipient, object)
	_, _ = h.Write(content) // a hash does not fail
	var d Digest
	h.Sum(d[:0])
	return d
}

func digester(recipient, object string) *blake3.Hasher {
	var key Digest
	blake3.DeriveKey("github.com/trustlayer/cofre 2026-11 WAL digest", []byte(recipient+"\n"+object), key[:])
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic("sealed: internal error: " + err.Error()) // the key has the one right length
	}
	return h
}

// linkType is the type of the stanza by which a segment's object says how its records hang on to those of its
// neighbours: as digestType, ignored by who does not know it, and bound by the header to what the identity reads.
const linkType = "cofre-chain"

// Link is what that stanza says. Positions only: the names say as much.
type Link struct {
	Chain  pgdata.Chain
	Before Digest // of the segment before, as its own object carries it; zero if the archiver did not have it
	By     string // who archived it, as WriterOf says; empty if that is not known
}

// WriterOf names a data directory of a host, and says neither.
func WriterOf(host, dir string) string {
	if host == "" || dir == "" {
		return ""
	}
	sum := blake3.Sum256([]byte("github.com/trustlayer/cofre 2026-11 WAL origin\n" + host + "\n" + dir))
	return hex.EncodeToString(sum[:8])
}

// Args writes the link as KEY=VALUE, and leaves out what is zero. Keys that a reader does not know say nothing to it.
func (l *Link) Args() []string {
	var args []string
	add := func(key, value string, set bool) {
		if set {
			args = append(args, key+"="+value)
		}
	}
	c := l.Chain
	add("remaining", strconv.FormatInt(c.Remaining, 10), true)
	add("overwritten", "1", c.Overwritten)
	add("first", c.First.String(), c.First != 0)
	add("prev", c.Prev.String(), c.First != 0)
	add("last", c.Last.String(), c.Last != 0)
	add("open", c.Open.String(), c.Open != 0)
	add("wants", strconv.FormatInt(c.Wants, 10), c.Wants != 0)
	add("break", c.Break.String(), c.Break != 0)
	add("by", l.By, l.By != "")
	add("before", l.Before.String(), l.Before != Digest{})
	return args
}

// ParseLink reads the arguments of the stanza.
//
// Errors: cofre.ErrCorrupt.
func ParseLink(args []string) (*Link, error) {
	l := &Link{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		number := func(n *int64) { *n, err = strconv.ParseInt(value, 10, 64) }
		position := func(p *cofre.LSN) { *p, err = cofre.ParseLSN(value) }
		switch key {
		case "remaining":
			number(&l.Chain.Remaining)
		case "overwritten":
			l.Chain.Overwritten = true
		case "first":
			position(&l.Chain.First)
		case "prev":
			position(&l.Chain.Prev)
		case "last":
			position(&l.Chain.Last)
		case "open":
			position(&l.Chain.Open)
		case "wants":
			number(&l.Chain.Wants)
		case "break":
			position(&l.Chain.Break)
		case "by":
			l.By = value
		case "before":
			err = l.Before.Decode(value)
		}
		if err != nil {
			return nil, fmt.Errorf("read what a segment says of its neighbours: %s: %w", arg, cofre.ErrCorrupt)
		}
	}
	return l, nil
}

// String writes a digest as headers have it.
func (d Digest) String() string { return base64.RawStdEncoding.EncodeToString(d[:]) }

// Decode reads what String writes.
//
// Errors: one of text that is no digest.
func (d *Digest) Decode(text string) error {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err == nil && len(b) != len(d) {
		err = errors.New("not 32 bytes")
	}
	if err == nil {
		copy(d[:], b)
	}
	return err
}

// Header is what the beginning of a stored object says of it.
type Header struct {
	Digest Digest
	Link   *Link // nil if the object is no segment, or was written before links were
	Proof  Proof
}

// ErrNoDigest says that cofre did not write an object. It can be read all the same, if it is for our key.
var ErrNoDigest = fmt.Errorf("no digest in its header: %w", cofre.ErrCorrupt)

// HeaderSize is how many bytes of an object are enough to read its header.
const HeaderSize = 4096

// ParseHeader reads the beginning of an object.
//
// Errors: cofre.ErrCorrupt; ErrNoDigest.
func ParseHeader(object string, b []byte) (Header, error) {
	var h Header
	text, err := age.ExtractHeader(bytes.NewReader(b))
	if err != nil {
		return h, fmt.Errorf("read %s: %v: %w", object, err, cofre.ErrCorrupt)
	}
	found := false
	for line := range strings.Lines(string(text)) {
		kind, args, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-> "), " ")
		if strings.HasPrefix(line, "-> ") {
			h.Proof.add(kind, strings.Split(args, " "))
		}
		switch {
		case !strings.HasPrefix(line, "-> "):
		case kind == digestType:
			found = h.Digest.Decode(args) == nil
		case kind == linkType:
			if h.Link, err = ParseLink(strings.Fields(args)); err != nil {
				return h, fmt.Errorf("read %s: %w", object, err)
			}
		}
	}
	if !found {
		return h, fmt.Errorf("read %s: %w", object, ErrNoDigest)
	}
	return h, nil
}

// signatureType is the type of the stanza that carries a signature: ID SIGNATURE.
const signatureType = "cofre-origin"

// keyType is the type of the stanza that says, in an object that is signed, which key its body is encrypted with, and does not say the key. A header
// that somebody else puts before a body of their own names a key that they do not have.
const keyType = "cofre-key"

// boundTo is what that stanza says of a key: as good as random to who does not have it, and no other key has the same.
func boundTo(fileKey []byte, object string) (string, error) {
	b, err := hkdf.Key(sha256.New, fileKey, []byte(object), "github.com/trustlayer/cofre 2026-11 WAL body", sha256.Size)
	return base64.RawStdEncoding.EncodeToString(b), err
}

// Proof is what an object's header states of its content and of its neighbours, and who has signed that.
type Proof struct {
	Statement string
	Signature []string
}

// add takes a line of the header, in its order.
func (p *Proof) add(kind string, args []string) {
	switch kind {
	case digestType, linkType, keyType:
		p.Statement += kind + " " + strings.Join(args, " ") + "\n"
	case signatureType:
		p.Signature = args
	}
}
