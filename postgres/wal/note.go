package wal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// NoteKind says what an archiver noticed.
type NoteKind string

// What an archiver notices and cannot change. A file that was refused is not in the repository; of the others the file
// is there, and recovery does not get past the position.
const (
	NoteRefused   NoteKind = "refused"   // another file of that name was there
	NoteBroken    NoteKind = "broken"    // the records of the segment end before it does
	NoteUnrelated NoteKind = "unrelated" // the segment does not go on where the one before it ends
)

// Note is what the archiver of a file noticed about it. It lies next to the object of the file, NAME.found/KIND-ID, as
// JSON in clear; it is created once, however often the archiver meets the same thing again, and expires with the file.
type Note struct {
	Kind NoteKind  `json:"kind"`
	Name string    `json:"name"`          // of the file
	LSN  cofre.LSN `json:"lsn,omitzero"`  // where recovery ends: of those but NoteRefused
	What string    `json:"what"`          // in words
	Host string    `json:"host"`          // of the archiver
	Dir  string    `json:"dir,omitempty"` // of the file on it
	At   time.Time `json:"at"`
	// Digest is of the file, as its object carries it: a note is about that file, and no other of its name.
	Digest string `json:"digest"`
}

// found is what the folder of a file's notes is called.
const found = ".found/"

// parseNote reads the name of a note below a timeline's prefix.
func parseNote(name string) (file pgdata.WALName, ok bool) {
	text, id, ok := strings.Cut(name, found)
	if !ok {
		return file, false
	}
	file, err := pgdata.ParseWALName(text)
	return file, err == nil && !strings.Contains(id, "/")
}

// leave stores a note about the file of the given digest, unless it is there already.
//
// Errors: the store's.
func (n Note) leave(ctx context.Context, st cofre.Store, system cofre.SystemID, file pgdata.WALName, d sealed.Digest) error {
	n.Name, n.Digest = file.String(), d.String()
	n.Host = hostName()
	n.At = time.Now().UTC()
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	sum := blake3.Sum256([]byte(n.Digest + n.What))
	name := fmt.Sprintf("%s%s%s-%x", ObjectName(system, file), found, n.Kind, sum[:8])
	err = st.Create(ctx, name, bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return fmt.Errorf("repository %s: note what was found about %s: %w", st.URL(), n.Name, err)
	}
	return nil
}

// Refused returns what a store has noted of files of a name that it did not take because it has another, oldest first.
//
// Errors: the store's.
func Refused(ctx context.Context, st cofre.Store, system cofre.SystemID, file pgdata.WALName) ([]Note, error) {
	var all []Note
	for o, err := range st.List(ctx, ObjectName(system, file)+found+string(NoteRefused)) {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		n, err := readNote(ctx, st, o.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b Note) int { return a.At.Compare(b.At) })
	return all, nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "" // a name for people; none is no reason to archive nothing
	}
	return name
}

// Offered says who offered a file that was refused, and when.
func (n Note) Offered() string {
	from := n.Host
	if n.Dir != "" {
		from += ":" + n.Dir
	}
	return fmt.Sprintf("another %s was offered by %s at %s, and refused", n.Name, from, n.At.Format(time.RFC3339))
}

func readNote(ctx context.Context, st cofre.Store, object string) (Note, error) {
	var n Note
	b, err := bounded.Read(ctx, st, object, 1<<16)
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("read %s: %v: %w", object, err, cofre.ErrCorrupt)
	}
	return n, nil
}
