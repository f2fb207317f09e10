package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
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

// NameOf is the name of an object below the prefix of its timeline: of a file, of a part of one, or of a note about one; "" if it lies elsewhere. A name
// begins with its timeline: in the folder of another one nobody reads the object, and whoever only lists it would take the file for archived.
//
// Errors: cofre.ErrCorrupt for one that lies there.
func NameOf(system cofre.SystemID, object string) (string, error) {
	folder, name, _ := strings.Cut(strings.TrimPrefix(object, Prefix(system)), "/")
	if !isTimeline(folder) || len(name) < len(folder) || !isTimeline(name[:len(folder)]) {
		return "", nil
	}
	if !strings.HasPrefix(name, folder) {
		return "", fmt.Errorf("%s lies in the folder of another timeline, where nobody reads it: %w", object, cofre.ErrCorrupt)
	}
	return name, nil
}

func isTimeline(folder string) bool {
	tli, err := strconv.ParseUint(folder, 16, 32)
	return err == nil && fmt.Sprintf("%08X", tli) == folder
}

// seal makes the object of a file's content for one recipient, signed by whoever archives.
func (a Archive) seal(r Recipient, object string, d sealed.Digest, l *sealed.Link, packed [][]byte) ([]byte, error) {
	if r.IsZero() {
		return nil, fmt.Errorf("encrypt %s: no recipient", object)
	}
	what := sealed.Contents{Object: object, Digest: d, Link: l}
	if a.Signer != nil {
		what.Sign = a.Signer.Sign
	}
	b, err := sealed.Seal(r.r, what, packed)
	if err != nil {
		return nil, fmt.Errorf("encrypt %s: %w", object, err)
	}
	return b, nil
}

// digestOf is the digest of a file as an object for a recipient.
func digestOf(r Recipient, object string, content []byte) sealed.Digest {
	return sealed.DigestOf(r.String(), object, content)
}

// Open reads an object back: decrypted, decompressed, compared with its digest, unless the identity is Delivering. It is streamed:
// only the content is held in memory.
//
// Errors: cofre.ErrNotFound; cofre.ErrWrongKey; cofre.ErrCorrupt; *origin.Error if the identity does not believe who stored it; the store's.
func Open(ctx context.Context, st cofre.Store, id Identity, object string, limit int64) ([]byte, error) {
	stored, err := st.Open(ctx, object, 0, -1)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	src := &source{r: stored}
	var signed func(sealed.Proof) bool
	if id.delivers {
		signed = func(p sealed.Proof) bool { return id.signed(ctx, object, p) }
	}
	content, p, err := sealed.Open(id.i, object, src, limit, signed)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		err = fmt.Errorf("read %s: it is encrypted for another key: %w", object, otherKey(id.Recipient().String()))
	}
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
	system, ok := SystemOf(object)
	if !ok {
		return nil, nil
	}
	text, err := NameOf(system, object)
	if err != nil {
		return nil, err
	}
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

// MaxSegment is the size of the largest segment that PostgreSQL can be told to use, in bytes.
const MaxSegment = 1 << 30

// UsualSegment is the size that nearly every cluster's segments have, in bytes.
const UsualSegment = sealed.UsualSegment
