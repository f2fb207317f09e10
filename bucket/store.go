package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/trustlayer/cofre"
)

// Store is a set of buckets on one service. Safe for several goroutines.
//
// Errors, by errors.Is, from every method and from the readers of Open: cofre.ErrNotFound if the bucket or the object is not
// there, cofre.ErrDenied if the key or the user may not, cofre.ErrUnreachable if the service does not answer, cofre.ErrRefused
// if it does not take the request; from those that write, also cofre.ErrDiskFull and cofre.ErrReadOnly. An error that is worth
// another attempt says so through cofre.Retryable; stores retry what is cheap to retry (a listing)
// themselves and leave the bytes of objects to their caller, who knows how to look again.
type Store interface {
	// Describe says what the store is and can keep. It does not ask the service.
	Describe() Description

	// Buckets returns the buckets named, each confirmed by the service, or all of them if none is named.
	//
	// Errors: cofre.ErrNotFound for a named bucket that does not exist, with its name.
	Buckets(ctx context.Context, ids ...string) ([]Bucket, error)

	// Ensure makes b exist with b's settings, whether it existed or not. Objects are not touched.
	//
	// Errors: cofre.ErrRefused if the store does not take such a name or such settings.
	Ensure(ctx context.Context, b Bucket) error

	// List yields the objects of a bucket whose names begin with prefix, in no particular order, each once.
	//
	// Errors: an *UnreadableError is about one object and does not end the iteration; any other error does.
	List(ctx context.Context, bucket, prefix string) iter.Seq2[Object, error]

	// Stat describes one object as the service does. On some services it goes on describing an object whose
	// bytes are gone: see Prover. Errors: cofre.ErrNotFound.
	Stat(ctx context.Context, bucket, name string) (Object, error)

	// Fit returns o as the store would hold and serve it, and names what it cannot hold of it: "robots tag", "its
	// name". A name that is doubtful is named; whether it is taken, Put tells.
	Fit(o Object) (fitted Object, lost []cofre.Message)

	// Open reads the object that o describes (Bucket and Name are what counts) and returns it as it is served,
	// with everything known about it. The reader must be closed. It yields whole objects or an error, never a
	// silently short one.
	//
	// Errors: cofre.ErrNotFound; from reads too, one that is worth another attempt if the object is written to meanwhile or
	// the connection breaks.
	Open(ctx context.Context, o Object) (Object, io.ReadCloser, error)

	// Put writes o, replacing what has its name, with its content type, cache control and metadata, from r's
	// start; o.Size is the length. It may read r more than once. Nobody sees half an object.
	//
	// Errors: cofre.ErrRefused if the store does not take such a name, size or type, with the store's reason.
	Put(ctx context.Context, o Object, r io.ReadSeeker) (Object, error)

	// Delete removes an object. One that does not exist is no error.
	//
	// Errors: those of every method.
	Delete(ctx context.Context, bucket, name string) error
}

// Prover is an optional power of a Store whose Stat does not look at the bytes: Prove reads as little as shows
// that they are there, and returns the etag that the service computes from them.
type Prover interface {
	// Errors: what the service answers if the bytes are gone; cofre.ErrNotFound if there is no such object; those of Store.
	Prove(ctx context.Context, o Object) (Object, error)
}

// Limiter is an optional power of a Store with limits on what it takes.
type Limiter interface {
	// MaxSize is the largest object the service takes whatever its bucket says, or -1.
	//
	// Errors: those of Store; a service that does not tell is none.
	MaxSize(ctx context.Context) (int64, error)
}

// Keeper is an optional power of a Store that puts an object aside by itself, before it is replaced or deleted.
type Keeper interface {
	// Keep gives the object that has this name a second place, with everything that is known of it:
	// it is missing at no moment. A crash leaves it in both places.
	//
	// Errors: cofre.ErrNotFound if there is no such object; cofre.ErrRefused if the second place cannot be trusted; those
	// of Store.
	Keep(ctx context.Context, o Object, mark string) error
	// KeptAt is where all that is kept under mark is, or will be.
	KeptAt(mark string) string
}

// Foldered is an optional power of a Store whose objects are files in folders.
type Foldered interface {
	// Folders yields the folders of a bucket, itself first, a folder before what is in it; of bucket "" the folder of the
	// store itself, without a time.
	//
	// Errors: those of Store, which end the iteration. A folder that may not be listed is named by Store.List.
	Folders(ctx context.Context, bucket string) iter.Seq2[Folder, error]
	// FitFolder is Fit for a folder.
	FitFolder(f Folder) (fitted Folder, lost []cofre.Message)
	// MakeFolder makes a folder as f says, if it is not there, and reports whether it did.
	//
	// Errors: cofre.ErrRefused if the path leads out of the store, or cannot be one; those of Store.
	MakeFolder(ctx context.Context, f Folder) (made bool, err error)
	// SetFolder gives a folder that exists its attributes and time.
	//
	// Errors: cofre.ErrNotFound if there is no such folder; cofre.ErrDenied if the user may not set what f says; those of
	// Store.
	SetFolder(ctx context.Context, f Folder) error
	// Absent reports whether the place itself is still to be made, by the first thing that is written.
	Absent() bool
	// FollowLink lets what is written to a bucket follow its symbolic link, if that leads to where b.Link says.
	FollowLink(b Bucket)
	// InTheWay says what stands where an object, or a folder, belongs and is neither, and at which path of the bucket: what
	// is "" if nothing does.
	InTheWay(bucket, name string, folder bool) (at string, what cofre.Message)
	// MoveAside gives what is at a path of the bucket another place, whole, and returns it. A crash leaves it in one of them.
	//
	// Errors: cofre.ErrNotFound if nothing is there; cofre.ErrRefused if the other place cannot be trusted; those of Store.
	MoveAside(ctx context.Context, bucket, at, mark string) (to string, err error)
	// Sweep removes what a restore needed for its own work.
	//
	// Errors: those of Store.
	Sweep(ctx context.Context) error
}

// Folding is an optional power of a Store whose names are a file system's, which may take two of them for one: they differ
// in case, or in how Unicode composes them.
type Folding interface {
	// Folded returns what the place takes a path for, BUCKET/NAME or a part of one, and false if it keeps all names apart. Of a
	// Locker it is known once that is locked.
	Folded(path string) (folded string, folds bool)
}

// Locker is an optional power of a Store: it keeps other restores to it out until unlock is called.
//
// Errors: cofre.ErrLocked while one runs.
type Locker interface {
	Lock() (unlock func() error, err error)
}

// Warner is an optional power of a Store: things a person should know about it, such as a key about to expire.
type Warner interface {
	Warnings() []cofre.Message
}

// Strayer is an optional power of a Store that can hold things beside its buckets: it names each, so that none is left
// out without a word. What is kept for cofre itself is no stray.
type Strayer interface {
	// Errors: those of Store.
	Strays(ctx context.Context) ([]Stray, error)
}

// Stray is something that lies where the buckets are and is in none of them.
type Stray struct {
	Name string
	Why  cofre.Message
}

// Description says what a store is.
type Description struct {
	Kind string // a word for people: supabase, s3, dir
	URL  string // where, without credentials
	Keeps
	// Enumerable is false if a listing does not show content type and cache control, so that comparing them costs a Stat
	// each.
	Enumerable bool
	// Volatile is true if two writes within one tick of the clock can leave equal etags.
	Volatile bool
	// TextMetadata is true if user metadata are texts under names in ASCII.
	TextMetadata bool
	// SlashIsFolder is true if an object whose name ends with a slash may be kept as a folder: its name without its bytes.
	SlashIsFolder bool
}

// Keeps says what a store keeps besides names and bytes. A component says it of the store that was captured.
type Keeps struct {
	// Settings are those that the store keeps of a bucket.
	Settings Settings `json:"settings"`
	// Headers is true if each object is served with its headers, so that an empty one was captured as such. Of others an empty
	// header may just be unknown.
	Headers bool `json:"headers,omitempty"`
	// Tags is true if objects have tags. No listing shows them and no ETag changes with them: those of a capture are as they
	// were when it, or one before, read the object's bytes.
	Tags bool `json:"tags,omitempty"`
	// Files is true if objects are files: with mode, owner and exact time, in folders that have these too. What such a store says
	// of a bucket's settings is what somebody has told it, or nothing.
	Files bool `json:"files,omitempty"`
	// Rows is true if a database names the objects, each in one version: see Rowed.
	Rows bool `json:"rows,omitempty"`
}

// Settings are those of a bucket.
type Settings struct {
	Public   bool `json:"public,omitempty"`
	Limits   bool `json:"limits,omitempty"`
	Versions bool `json:"versions,omitempty"`
}

// Rowed is an optional power of a Store whose objects a database names, each in one version. The database is backed up beside
// it, and what it names is what has to be captured.
type Rowed interface {
	// Rows yields the objects that a captured database names.
	//
	// Errors: cofre.ErrNotFound if the component is no database, or one of something else.
	Rows(ctx context.Context, database cofre.Component, t cofre.Tree) (iter.Seq2[Object, error], error)
}

// Bucket is one bucket and its settings.
type Bucket struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"` // if it differs from ID
	Public   bool      `json:"public,omitempty"`
	MaxSize  *int64    `json:"file_size_limit,omitempty"` // bytes; nil is no limit
	Types    []string  `json:"allowed_mime_types,omitempty"`
	Type     string    `json:"type,omitempty"` // Supabase: STANDARD
	Owner    string    `json:"owner,omitempty"`
	Versions bool      `json:"versions,omitempty"` // S3: versioning is on
	Created  time.Time `json:"created_at,omitzero"`
	// Link is where a bucket leads to that is a symbolic link out of its folder: a path without such links.
	Link string `json:"link,omitempty"`
}

// Object describes one object: a row of an inventory. Which fields are set depends on where it comes from.
type Object struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`

	// Version names one immutable content of the object: equal versions are equal bytes. Empty if the
	// service has none.
	Version string `json:"version,omitempty"`
	// ETag as the service gives it, without quotes. It is an MD5 only if IsMD5 says so.
	ETag       string    `json:"etag,omitempty"`
	Size       int64     `json:"size"`
	ModifiedAt time.Time `json:"modified_at,omitzero"`

	ContentType  string `json:"content_type,omitempty"`
	CacheControl string `json:"cache_control,omitempty"`
	Robots       string `json:"robots,omitempty"`              // x-robots-tag
	Encoding     string `json:"content_encoding,omitempty"`    // S3
	Disposition  string `json:"content_disposition,omitempty"` // S3
	Language     string `json:"content_language,omitempty"`    // S3
	// Metadata is the user's, a JSON object. On S3 its values are strings.
	Metadata json.RawMessage `json:"metadata,omitempty"`

	// Tags are S3's: nil if they are not known, empty if there are none. TagsUnread says why they are not known of an object
	// that may have some.
	Tags       map[string]string `json:"tags,omitzero"`
	TagsUnread string            `json:"tags_unread,omitempty"`

	// Attributes are those of the file, if the object is one.
	Attributes *Attributes `json:"attributes,omitempty"`
	// Row is what only the service's own database knows.
	Row *Row `json:"row,omitempty"`

	// OpaqueETag is set on an object as it is served whose ETag is known to be no MD5, though it may look like one.
	OpaqueETag bool `json:"-"`
}

// Row is what storage.objects says of an object that no request can set. When it was last read is left out: it would
// make every object that is read look changed.
type Row struct {
	ID           string    `json:"id,omitempty"`
	Owner        string    `json:"owner,omitempty"` // uuid, legacy
	OwnerID      string    `json:"owner_id,omitempty"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
	UpdatedAt    time.Time `json:"updated_at,omitzero"`
	LastModified string    `json:"last_modified,omitempty"` // metadata.lastModified, as written
}

// Path is the object as a person names it.
func (o Object) Path() string { return o.Bucket + "/" + o.Name }

// CheckLength goes to the end of r, and refuses what is not as long as it was announced: a server that waits for the rest
// of it looks like one that is away.
//
// Errors: io.ErrUnexpectedEOF if it is longer or shorter; an error of seeking.
func CheckLength(r io.Seeker, want int64) error {
	n, err := r.Seek(0, io.SeekEnd)
	if err == nil && n != want {
		err = fmt.Errorf("%d bytes came, %d were announced: %w", n, want, io.ErrUnexpectedEOF)
	}
	return err
}

// IsMD5 reports whether an etag has the form of an MD5: 32 hexadecimal digits and no part count.
func IsMD5(etag string) bool {
	if len(etag) != 32 {
		return false
	}
	for _, c := range []byte(etag) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// UnreadableError is about one object that a listing names and the service cannot deliver.
type UnreadableError struct {
	Object Object
	Why    cofre.Message
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("object %s: %s", e.Object.Path(), e.Why.Text)
}

// Unreadable returns the error about one object that err is, if it is one.
func Unreadable(err error) (*UnreadableError, bool) {
	var u *UnreadableError
	ok := errors.As(err, &u)
	return u, ok
}

// Inventory lists objects from somewhere else than the store's own listing: the rows of storage.objects, in one
// query, with the versions that a listing does not show.
type Inventory interface {
	// Errors: cofre.ErrNotFound if what is asked holds no such list, as a database that is not the service's; others if it
	// cannot be asked now. Each ends the iteration.
	Rows(ctx context.Context) iter.Seq2[Object, error]
}

// InventoryFunc makes a function an Inventory.
type InventoryFunc func(ctx context.Context) iter.Seq2[Object, error]

// Rows calls f.
//
// Errors: those of f.
func (f InventoryFunc) Rows(ctx context.Context) iter.Seq2[Object, error] { return f(ctx) }

// AFolder and AFile are what most often stands in the way: see Foldered.
func AFolder() cofre.Message { return cofre.Say("bucket.way_folder", "a folder") }

// AFile is a file that stands in the way.
func AFile() cofre.Message { return cofre.Say("bucket.way_file", "a file") }

// LostHeader is a header that a place cannot hold.
func LostHeader(name string) cofre.Message {
	return cofre.Say("bucket.lost_header", "its {{.header}}", "header", name)
}

// LostAttributes are those that a place without files cannot hold.
func LostAttributes() cofre.Message {
	return cofre.Say("bucket.lost_attributes", "mode, owner, time and extended attributes of its file")
}
