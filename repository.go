package cofre

import (
	"context"
	"io"
	"iter"
	"time"
)

// Repository is where bytes rest: encrypted, deduplicated, on a folder or an object store. Recovery points
// appear in it only through Publish.
//
// A Repository may be used by several goroutines, and several processes may have the same one open.
type Repository interface {
	// Begin starts one capture. The session must be closed whatever happens.
	//
	// Errors: ErrReadOnly, ErrUnreachable, ErrDiskFull by errors.Is, from here and from every method below.
	Begin(ctx context.Context, source SourceID) (Session, error)

	// Tree opens the content that Session.Finish returned, published or not.
	//
	// Errors: ErrNotFound if the repository does not hold it.
	Tree(ctx context.Context, root ObjectID) (Tree, error)

	// Points yields every published recovery point, oldest first.
	//
	// Errors: ErrCorrupt if what names the points cannot be read.
	Points(ctx context.Context) iter.Seq2[RecoveryPoint, error]

	// Publish makes p visible, after it has proven that everything p's components refer to is there. When it
	// returns nil the point is durable; when it returns an error nothing is visible. Nobody sees half a point.
	//
	// Errors: ErrCorrupt if content is missing, with its name.
	Publish(ctx context.Context, p RecoveryPoint) error

	// Expire takes components of points, or whole points, out of the catalog: all that is named, or nothing. It returns what left
	// it, one for each expiry and in their order. Their bytes stay until they are pruned.
	//
	// Errors: ErrNotFound if a point or a component of it is not there; ErrLocked if somebody else is expiring.
	Expire(ctx context.Context, what ...Expiry) ([]Expired, error)

	// Verify checks points at a level and yields what is wrong: nothing yielded means nothing found. At
	// LevelContent every stored byte of the repository that is due is read back and compared, not only those of points.
	//
	// Errors: that the repository cannot be asked, which ends it. What is wrong in it is a finding.
	Verify(ctx context.Context, points []RecoveryPoint, how Verification) iter.Seq2[Finding, error]

	// Stats says what the repository is and holds, for people.
	//
	// Errors: as of Points.
	Stats(ctx context.Context) (RepositoryStats, error)

	// Close releases the repository.
	//
	// Errors: that it could not be released. What was published is durable all the same.
	Close(ctx context.Context) error
}

// Mender is a Repository that remembers what of it is damaged, and has it stored afresh.
type Mender interface {
	// Heal acts upon what is known to be damaged: the captures that begin after it store it afresh, if it still
	// exists at their sources, and with it heal every older point that shares it. What is whole stays readable.
	//
	// Errors: ErrReadOnly; those of Repository.
	Heal(ctx context.Context) error
	// Damage says which points are known to have lost something that has not been stored afresh, oldest first.
	//
	// Errors: as of Repository.Points.
	Damage(ctx context.Context) ([]Damage, error)
	// Whole says whether a component is known to have lost something.
	//
	// Errors: ErrCorrupt if it is; those of Repository.
	Whole(ctx context.Context, c Component) error
}

// Damage is what a published point is known to have lost.
type Damage struct {
	Point    PointID   `json:"point"`
	Findings []Finding `json:"findings"` // each names a file or directory of a component
}

// RepositoryStats describes a repository to a person.
type RepositoryStats struct {
	URL         string `json:"url"` // without credentials
	UniqueID    string `json:"unique_id"`
	Encryption  string `json:"encryption"`
	Hash        string `json:"hash"`
	Compression string `json:"compression"`
	Points      int    `json:"points"`
	StoredBytes int64  `json:"stored_bytes"` // on the store: packs, indexes and all
	StoredBlobs int64  `json:"stored_blobs"`
}

// SourceID identifies a source within an installation, whatever machine it is captured from.
type SourceID struct {
	Installation string `json:"installation"`
	Kind         Kind   `json:"kind"`
	Name         string `json:"name"`
}

// Label is the source as a person calls it: its kind and, if that says more, its name, which the server or a configuration has chosen.
func (id SourceID) Label() string {
	if id.Name == "" || id.Name == string(id.Kind) {
		return string(id.Kind)
	}
	return string(id.Kind) + " " + Printable(id.Name)
}

// Session is one capture's way of writing. Put, Reuse and Concat may be called by several goroutines at once.
// What is written before a crash is found again by the next capture of the same bytes.
type Session interface {
	// Put stores what r yields, to its end, as one object, and adds e to the tree. It returns e with Size and
	// Object set. An error of r, or a Size that e promised and r did not keep, is Put's error and adds nothing.
	//
	// Errors: that of r, as it is; ErrExists if the tree has this path already; those of the repository: ErrUnreachable,
	// ErrDiskFull. Once a write has failed, every later call returns that error.
	Put(ctx context.Context, e Entry, r io.Reader) (Entry, error)

	// Add adds an entry without bytes: a directory or a symbolic link. Parents of entries need not be added;
	// they are made with mode 0755.
	//
	// Errors: as of Put; one if e is neither.
	Add(ctx context.Context, e Entry) error

	// Reuse adds e, whose Object is from a Tree of this repository, without reading its bytes. A directory
	// brings everything below it.
	//
	// Errors: ErrNotFound if the repository does not hold the object any more, or is about to prune it; as of Put.
	Reuse(ctx context.Context, e Entry) error

	// Store stores what r yields as an object that is in no tree yet, for Concat.
	//
	// Errors: as of Put.
	Store(ctx context.Context, layout Layout, r io.Reader) (ObjectID, int64, error)

	// Concat adds e as the concatenation of objects stored before, without reading them again.
	//
	// Errors: ErrNotFound if the repository does not hold a part; one if e promised another size than the parts have; as of
	// Put.
	Concat(ctx context.Context, e Entry, parts []ObjectID) (Entry, error)

	// RowKey is the repository's, for rows that are captured.
	//
	// Errors: that it cannot be derived.
	RowKey() (RowKey, error)

	// Finish writes the tree, makes it durable, and returns where it is. It is invisible until published.
	//
	// Errors: as of Put; a second time is one.
	Finish(ctx context.Context) (Content, error)

	// Close gives up what Finish did not return and releases the session. Safe to call after Finish.
	//
	// Errors: that it could not be released. What Finish returned is durable all the same.
	Close(ctx context.Context) error
}

// Tree reads one component. Safe for several goroutines.
type Tree interface {
	// Stat describes one entry; the empty path is the root. Errors: ErrNotFound.
	Stat(ctx context.Context, path string) (Entry, error)
	// List yields the entries directly inside a directory, with full paths, in byte order of their names.
	//
	// Errors: ErrNotFound if there is no such directory; ErrCorrupt if it cannot be read. Each ends the iteration.
	List(ctx context.Context, dir string) iter.Seq2[Entry, error]
	// RowKey is the repository's, for rows that are read back.
	//
	// Errors: that it cannot be derived.
	RowKey() (RowKey, error)
	// Open reads one file. The reader is authenticated: bytes that were changed at rest are an error, never data.
	//
	// Errors: ErrNotFound; ErrCorrupt from reads.
	Open(ctx context.Context, path string) (io.ReadSeekCloser, error)
}

// Skipper is what Tree.Open returns if files are stored in pieces: one that is lost need not cost the others.
type Skipper interface {
	// Skip moves to the end of the piece at the current position, reads nothing, and returns how many bytes it passed over: 0 at
	// the end.
	Skip() int64
}

// Store keeps plain named objects: the floor of a repository, and the home of WAL segments. Names are
// slash-separated. Every write is durable when it returns nil, and no reader ever sees half an object.
//
// Errors, by errors.Is, from every method: ErrNoRepo if the folder or the bucket itself is not there, ErrDenied, ErrUnreachable;
// from those that write, also ErrDiskFull and ErrReadOnly.
type Store interface {
	// Create stores an object that must not exist. Of several at once, one wins. Errors: ErrExists.
	Create(ctx context.Context, name string, r io.Reader, size int64) error
	// Replace stores an object whether it exists or not.
	Replace(ctx context.Context, name string, r io.Reader, size int64) error
	// Open reads length bytes from offset; length -1 reads to the end. Errors: ErrNotFound.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Stat describes an object. Errors: ErrNotFound.
	Stat(ctx context.Context, name string) (StoredObject, error)
	// List yields the objects whose names begin with prefix, in byte order of names.
	List(ctx context.Context, prefix string) iter.Seq2[StoredObject, error]
	// Delete removes an object; one that does not exist is no error.
	Delete(ctx context.Context, name string) error
	// Free returns the bytes that can still be stored, or -1 if the store does not say.
	Free(ctx context.Context) (int64, error)
	// URL is where the store is, without credentials.
	URL() string
}

// StoredObject describes an object of a Store.
type StoredObject struct {
	Name       string
	Size       int64
	ModifiedAt time.Time
	// ChangedAt is when it was last written or touched, as only the store can say: the change time of a file, the time of an upload. Zero if it does not say.
	ChangedAt time.Time
	// Version is another one if the object was written again, as far as the store knows: the etag of S3, the change time of a file, which
	// cannot be set. Empty if it does not say.
	Version string
}

// Level is how deep a verification went.
type Level string

// The levels. Structure: everything referenced exists. Content: every byte matches its hash. Drill: restored
// into a throwaway target and queried.
const (
	LevelStructure Level = "structure"
	LevelContent   Level = "content"
	LevelDrill     Level = "drill"
)
