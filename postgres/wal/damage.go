package wal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// What is known of damage lies next to the object, in FILE.damage/, and expires with it: found-ID says that whoever has the
// key could not read it, object-ID is a damaged object that was replaced, and healed-ID says by what. ID is sealed.IdentOf of
// the damaged object: what was stored afresh is not what was found.

const damageDir = ".damage/"

// damageName names one of them. What is known of a part lies next to its segment.
func damageName(object, kind, id string) string {
	if at := strings.Index(object, partsDir); at >= 0 {
		id += "-" + object[at+len(partsDir):]
		object = object[:at]
	}
	return object + damageDir + kind + "-" + id
}

// parseDamage reads the name of one of them below a timeline's prefix.
func parseDamage(name string) (file pgdata.WALName, kind, id string, ok bool) {
	text, rest, ok := strings.Cut(name, damageDir)
	if !ok {
		return file, "", "", false
	}
	file, err := pgdata.ParseWALName(text)
	kind, id, _ = strings.Cut(rest, "-")
	return file, kind, id, err == nil
}

// FoundDamaged returns the object that a note of RememberDamage is about, if name is of one.
func FoundDamaged(name string) (object string, ok bool) {
	object, rest, ok := strings.Cut(name, damageDir)
	return object, ok && strings.HasPrefix(rest, "found-")
}

// damageNote is what found-ID and healed-ID hold, for people and for whoever asks again.
type damageNote struct {
	Name string    `json:"name"`
	What string    `json:"what"`
	Host string    `json:"host"`
	At   time.Time `json:"at"`
	Kept string    `json:"kept,omitempty"` // of healed: where what was replaced is
	// Reader is, of an object that is encrypted for another key, whose key it was read with: with any other one the note says nothing.
	Reader string `json:"reader,omitempty"`
}

func (n damageNote) leave(ctx context.Context, st cofre.Store, name string) error {
	n.Host, n.At = hostName(), time.Now().UTC()
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	err = st.Create(ctx, name, bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return fmt.Errorf("repository %s: note what became of %s: %w", st.URL(), n.Name, err)
	}
	return nil
}

// healed leaves the note of what was replaced, and why.
func (p deposit) healed(ctx context.Context, st cofre.Store, kept string, was []byte, why string) error {
	if len(was) == 0 {
		kept = ""
	}
	return damageNote{Name: path.Base(p.object), What: why, Kept: kept}.leave(ctx, st, p.damage("healed", was))
}

// remembered says what whoever has the key found of an object of which b are the bytes, or the beginning; "" if nothing.
func remembered(ctx context.Context, st cofre.Store, object string, b []byte) (string, error) {
	n, err := readDamage(ctx, st, damageName(object, "found", sealed.IdentOf(b)))
	if errors.Is(err, cofre.ErrNotFound) {
		return "", nil
	}
	return n.What, err
}

func readDamage(ctx context.Context, st cofre.Store, object string) (damageNote, error) {
	var n damageNote
	b, err := bounded.Read(ctx, st, object, 1<<16)
	if err == nil || errors.Is(err, cofre.ErrCorrupt) {
		err = nil
		if json.Unmarshal(b, &n) != nil || n.What == "" {
			n.What = "was found damaged" // a note that is damaged itself
		}
	}
	if n.Reader != "" {
		if r, keyErr := LoadRecipient(ctx, st); keyErr == nil && r.String() != n.Reader {
			return n, errOfAnother
		}
	}
	return n, err
}

// errOfAnother is of a note that whoever had another key has left: the storage can put another key there, for which nothing is encrypted.
var errOfAnother = fmt.Errorf("found with another key: %w", cofre.ErrNotFound)

// otherKey is the error of an object that is encrypted for another recipient than this one.
type otherKey string

func (otherKey) Error() string { return cofre.ErrWrongKey.Error() }
func (otherKey) Unwrap() error { return cofre.ErrWrongKey }

// RememberDamage leaves in a store that an object of WAL could not be read, so that it is stored afresh as soon as somebody
// has its file, and counts as a gap until then. An object that was read again, and well, is no longer remembered: see
// ForgetDamage.
//
// Errors: the store's.
func RememberDamage(ctx context.Context, st cofre.Store, object string, why error) error {
	if origin.IsRefusal(why) {
		return nil // it ends when the key is admitted, whatever becomes of the object
	}
	id, err := storedIdent(ctx, st, object)
	if err != nil {
		return err
	}
	name := damageName(object, "found", id)
	if _, err := readDamage(ctx, st, name); errors.Is(err, errOfAnother) {
		if err := st.Delete(ctx, name); err != nil {
			return err
		}
	}
	reader, _ := errors.AsType[otherKey](why)
	return damageNote{Name: path.Base(object), What: "cannot be read: " + cofre.OneLine(why), Reader: string(reader)}.leave(ctx, st, name)
}

// ForgetDamage takes back what RememberDamage left of an object as it is now.
//
// Errors: the store's.
func ForgetDamage(ctx context.Context, st cofre.Store, object string) error {
	id, err := storedIdent(ctx, st, object)
	if err != nil {
		return err
	}
	return st.Delete(ctx, damageName(object, "found", id))
}

// storedIdent is sealed.IdentOf of a stored object.
func storedIdent(ctx context.Context, st cofre.Store, object string) (string, error) {
	o, err := st.Stat(ctx, object)
	if err != nil {
		return "", err
	}
	b, err := readBeginning(ctx, st, object)
	if err != nil {
		return "", err
	}
	return sealed.Identify(b, o.Size), nil
}

// Damage is a segment of which a store holds nothing that can be read, as far as is known.
type Damage struct {
	System       cofre.SystemID
	Name         pgdata.WALName
	What         string
	Acknowledged bool // a person who has the password knows of it
}

// KnownDamage lists the segments and histories that were found damaged and are still as they were found, oldest first. unlock tells who acknowledged it; without it, nobody did.
//
// Errors: the store's.
func KnownDamage(ctx context.Context, st cofre.Store, system cofre.SystemID, unlock func() (Identity, error)) ([]Damage, error) {
	var known []Damage
	for o, err := range st.List(ctx, Prefix(system)) {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		_, name, _ := strings.Cut(strings.TrimPrefix(o.Name, Prefix(system)), "/")
		file, kind, id, ok := parseDamage(name)
		if !ok || kind != "found" {
			continue
		}
		what, err := stillDamaged(ctx, st, system, file, id, o.Name)
		if err != nil {
			return nil, err
		}
		if what != "" {
			known = append(known, Damage{system, file, what, acknowledged(ctx, st, system, file.String(), unlock)})
		}
	}
	slices.SortFunc(known, func(a, b Damage) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return known, nil
}

// stillDamaged says what was found of a file, if the object is still the one in which it was found; "" if it is not.
func stillDamaged(ctx context.Context, st cofre.Store, system cofre.SystemID, file pgdata.WALName, id, note string) (string, error) {
	now, err := storedIdent(ctx, st, ObjectName(system, file))
	if errors.Is(err, cofre.ErrNotFound) || err == nil && now != id {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	n, err := readDamage(ctx, st, note)
	if errors.Is(err, cofre.ErrNotFound) {
		return "", nil
	}
	return n.What, err
}
