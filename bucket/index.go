package bucket

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/spill"
	"github.com/trustlayer/cofre/internal/bounded"
)

// The tree of a storage component. docs/formats/storage-component.md describes it for people.
const (
	BucketsFile = "buckets.json" // []Bucket
	ShardsFile  = "shards.json"  // Shards
	ShardsDir   = "shards"       // shards/<hex>/index.jsonl and one file for each content
	indexName   = "index.jsonl"
)

// shardTarget is how many objects a shard holds at most before a capture chooses more shards. Rewriting a shard
// costs its index, about 400 bytes an object, so this bounds what one changed object costs.
const shardTarget = 512

// Shards is what a capture remembers of its shards, so that the next one can tell which of them changed.
type Shards struct {
	Format int `json:"format"` // 1
	Digits int `json:"digits"` // hexadecimal digits of a shard's name
	// Digests are by shard; an absent one means that the shard must be looked at whatever it lists.
	Digests map[string]Digest `json:"digests"`
}

// Digest identifies what an inventory said of a shard, and sums up what was captured of it.
type Digest struct {
	Rows    string `json:"rows"` // SHA-256 over the shard's inventory, the first 16 bytes in hexadecimal
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// Indexed is one line of a shard's index: an object as it was captured.
type Indexed struct {
	Object
	File   string `json:"file,omitempty"` // beside the index; empty if Missing is set
	SHA256 string `json:"sha256,omitempty"`
	MD5    string `json:"md5,omitempty"`
	// Missing says why an object that the inventory names is not in the component.
	Missing string `json:"missing,omitempty"`
	// Suspect says why the bytes, though kept, are not what the inventory promised.
	Suspect string `json:"suspect,omitempty"`
	// Said is the message of Missing, or of Suspect. Indexes of before have none.
	Said cofre.Message `json:"said,omitzero"`
	// Superseded is set on a content that was replaced or deleted while the backup ran. It is kept because the
	// database may name it.
	Superseded bool `json:"superseded,omitempty"`
}

// Facts is what a storage component carries in the catalog: small, however many objects there are.
type Facts struct {
	Format     int            `json:"format"` // 1
	Kind       string         `json:"store"`  // supabase, s3, dir: for people
	Keeps      *Keeps         `json:"keeps,omitempty"`
	URL        string         `json:"url"`
	Inventory  string         `json:"inventory"` // database, sql, listing
	TakenAt    time.Time      `json:"taken_at"`  // when the inventory was taken, by cofre's clock
	All        bool           `json:"all_buckets"`
	Buckets    []BucketFacts  `json:"buckets"`
	Objects    int64          `json:"objects"`
	Bytes      int64          `json:"bytes"`
	Read       int64          `json:"read_objects"` // by this capture
	ReadBytes  int64          `json:"read_bytes"`
	Reused     int64          `json:"reused_objects"`
	Vanished   int64          `json:"vanished,omitempty"` // listed, then deleted before they were read
	MissingN   int64          `json:"missing,omitempty"`
	Missing    []MissingFacts `json:"missing_objects,omitempty"` // the first of them; the index names all
	SuspectN   int64          `json:"suspect,omitempty"`
	Superseded int64          `json:"superseded,omitempty"`
	// TagsUnreadN is of how many objects the tags could not be read, TagsUnread the first of them.
	TagsUnreadN int64        `json:"tags_unread,omitempty"`
	TagsUnread  MissingFacts `json:"tags_unread_first,omitzero"`
}

// Kept is what the captured store keeps. Points of before name its kind alone.
func (f Facts) Kept() Keeps {
	if f.Keeps != nil {
		return *f.Keeps
	}
	return map[string]Keeps{
		"supabase": {Settings: Settings{Public: true, Limits: true}, Headers: true, Rows: true},
		"s3":       {Settings: Settings{Versions: true}, Headers: true},
		"dir":      {Settings: Settings{Public: true, Limits: true, Versions: true}, Files: true},
	}[f.Kind]
}

// Covers reports whether the capture was meant to hold a bucket.
func (f Facts) Covers(id string) bool {
	return f.All || slices.ContainsFunc(f.Buckets, func(b BucketFacts) bool { return b.ID == id })
}

// BucketFacts counts one bucket.
type BucketFacts struct {
	ID      string `json:"id"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// MissingFacts names one object that could not be captured.
type MissingFacts struct {
	Object string        `json:"object"` // bucket/name
	Why    string        `json:"why"`
	Said   cofre.Message `json:"said,omitzero"` // the message of Why
}

// lacking is an object that is not in the component, and why.
func lacking(o Object, why cofre.Message) Indexed {
	return Indexed{Object: o, Missing: why.Text, Said: why}
}

// Why says why an object is missing or suspect.
func (x Indexed) Why() cofre.Message {
	if text := cmp.Or(x.Missing, x.Suspect); x.Said.Text != text {
		return cofre.Verbatim(text)
	}
	return x.Said
}

func (x *Indexed) suspect(why cofre.Message) { x.Suspect, x.Said = why.Text, why }

func (m MissingFacts) why() cofre.Message {
	if m.Said.IsZero() {
		return cofre.Verbatim(m.Why)
	}
	return m.Said
}

// MaxNamed bounds what the catalog names; the index names everything.
const MaxNamed = 100

// shardDigits chooses how finely n objects are sharded, keeping the previous choice while it is not far off, so
// that growth by one object does not rewrite every shard.
func shardDigits(n int64, previous int) int {
	want := 1
	for want < spill.MaxDigits && n > shardTarget<<(4*want) {
		want++
	}
	if previous >= 1 && previous <= spill.MaxDigits {
		perShard := n >> (4 * previous)
		if perShard <= 4*shardTarget && previous >= want || want == previous+1 && perShard <= 4*shardTarget {
			return previous
		}
	}
	return want
}

// fileOf names the file of one content of an object. The name is the identity of that content, so a capture that
// meets it again finds the same place.
func fileOf(o Object) string {
	return spill.Key(o.Bucket, o.Name, stamp(o))[:32]
}

// stamp identifies one content of an object as well as its store can.
func stamp(o Object) string {
	if o.Version != "" {
		return "v:" + o.Version
	}
	return "e:" + o.ETag + ":" + strconv.FormatInt(o.Size, 10) + ":" + strconv.FormatInt(o.ModifiedAt.Unix(), 10)
}

// SameContent reports whether two descriptions of an object are of the same bytes.
func SameContent(a, b Object) bool {
	if a.Version != "" && b.Version != "" {
		return a.Version == b.Version
	}
	// Seconds: a listing shows more of a modification time than a response's header does.
	return a.ETag == b.ETag && a.ETag != "" && a.Size == b.Size && a.ModifiedAt.Unix() == b.ModifiedAt.Unix()
}

// order sorts by bucket, name, then the content that counts before those it superseded.
func order(a, b Indexed) int {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Name, b.Name),
		cmp.Compare(btoi(a.Superseded), btoi(b.Superseded)), cmp.Compare(stamp(a.Object), stamp(b.Object)))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// MaxLine bounds one line of an index: a name of 1 KiB and user metadata, which services bound at some megabytes.
const MaxLine = 16 << 20

// ReadShard yields the lines of one shard's index.
//
// Errors: cofre.ErrCorrupt if a line is no entry; those of the tree. Each ends the iteration; a shard without an index has
// no objects.
func ReadShard(ctx context.Context, t cofre.Tree, shard string) iter.Seq2[Indexed, error] {
	return func(yield func(Indexed, error) bool) {
		r, err := t.Open(ctx, indexPath(shard))
		if errors.Is(err, cofre.ErrNotFound) {
			return // a shard without objects
		}
		if err != nil {
			yield(Indexed{}, fmt.Errorf("read index of shard %s: %w", shard, err))
			return
		}
		defer r.Close()
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, 0, 64<<10), MaxLine)
		for sc.Scan() {
			var x Indexed
			if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
				yield(Indexed{}, fmt.Errorf("read index of shard %s: %w: %w", shard, cofre.ErrCorrupt, err))
				return
			}
			if !yield(x, nil) {
				return
			}
		}
		err = sc.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("%w: %w", cofre.ErrCorrupt, err)
		}
		if err != nil {
			yield(Indexed{}, fmt.Errorf("read index of shard %s: %w", shard, err))
		}
	}
}

func encodeIndex(rows []Indexed) ([]byte, error) {
	slices.SortFunc(rows, order)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, x := range rows {
		if err := enc.Encode(x); err != nil {
			return nil, fmt.Errorf("encode index entry %s: %w", x.Path(), err)
		}
	}
	return b.Bytes(), nil
}

func shardPath(shard string) string      { return ShardsDir + "/" + shard }
func indexPath(shard string) string      { return shardPath(shard) + "/" + indexName }
func filePath(shard, file string) string { return shardPath(shard) + "/" + file }

// ReadShards reads what a component says of its shards.
//
// Errors: cofre.ErrNotFound if the tree is no storage component of this format.
func ReadShards(ctx context.Context, t cofre.Tree) (Shards, error) {
	var s Shards
	if err := ReadJSON(ctx, t, ShardsFile, &s); err != nil {
		return Shards{}, err
	}
	if s.Format != 1 || s.Digits < 1 || s.Digits > spill.MaxDigits {
		return Shards{}, fmt.Errorf("read %s: format %d with %d digits is not known to this version", ShardsFile, s.Format, s.Digits)
	}
	return s, nil
}

// ReadBuckets reads the bucket settings of a captured component.
//
// Errors: those of ReadJSON.
func ReadBuckets(ctx context.Context, t cofre.Tree) ([]Bucket, error) {
	var b []Bucket
	err := ReadJSON(ctx, t, BucketsFile, &b)
	return b, err
}

// ReadIndex yields every object of a captured component, shard by shard: also those that are missing or
// superseded. The string is where the bytes are in the tree, empty for a missing one.
//
// Errors: those of ReadShards and ReadShard, which end the iteration.
func ReadIndex(ctx context.Context, t cofre.Tree) iter.Seq2[Located, error] {
	return func(yield func(Located, error) bool) {
		s, err := ReadShards(ctx, t)
		if err != nil {
			yield(Located{}, err)
			return
		}
		for _, shard := range spill.Shards(s.Digits) {
			if s.Digests[shard].Objects == 0 && s.Digests[shard].Rows != "" {
				continue
			}
			for x, err := range ReadShard(ctx, t, shard) {
				if err != nil {
					yield(Located{}, err)
					return
				}
				if !yield(Locate(shard, x), nil) {
					return
				}
			}
		}
	}
}

// Located is an indexed object with the place of its bytes.
type Located struct {
	Indexed
	Shard  string
	InTree string // path in the component's tree
	Tree   int    `json:",omitempty"` // of a restore: which component's
}

func Locate(shard string, x Indexed) Located {
	l := Located{Indexed: x, Shard: shard}
	if x.File != "" {
		l.InTree = filePath(shard, x.File)
	}
	return l
}

// ReadJSON decodes one file of a component.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt.
func ReadJSON(ctx context.Context, t cofre.Tree, path string, into any) error {
	r, err := t.Open(ctx, path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer r.Close()
	b, err := bounded.All(r, bounded.List)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w: %w", path, cofre.ErrCorrupt, err)
	}
	return nil
}
