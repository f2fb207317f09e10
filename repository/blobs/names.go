package blobs

import (
	"context"
	"errors"
	"strings"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/store"
)

// Naming says under which name of the store a blob of Kopia rests: exactly where Kopia's own storage of the
// same kind puts it, so that stock Kopia opens the repository.
type Naming interface {
	// Name is the name of the store for a blob.
	Name(id blob.ID) string
	// ID returns the blob that rests under a name, or ok=false for an object that is none of Kopia's.
	ID(name string) (blob.ID, bool)
	// prefixes returns the prefixes of names under which all blobs whose ids begin with prefix rest.
	prefixes(prefix blob.ID) []string
}

func namingFor(address string) Naming {
	if store.IsFolder(address) {
		return folderNames{}
	}
	return bucketNames{}
}

// AsCopied has a repository go by the names that it has, if it was copied file by file from a store of the other kind: a folder into a bucket, or a bucket
// into a folder. It reports whether it was; no other repository is where this one is looked for.
//
// Errors: the store's.
func (b *Storage) AsCopied(ctx context.Context) (bool, error) {
	other := Naming(bucketNames{})
	if b.Naming == other {
		other = folderNames{}
	}
	switch _, err := b.Store.Stat(ctx, other.Name(format.KopiaRepositoryBlobID)); {
	case errors.Is(err, cofre.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	b.Naming = other
	return true, nil
}

// Kopia's sharding of folders, as written to shardsName when a repository is made.
//
// Source: kopia v0.22.3, repo/blob/sharded.
const (
	ShardsName      = ".shards"
	ShardsContent   = `{"default":[1,3],"maxNonShardedLength":20}` + "\n"
	unshardedLength = 20
	completeSuffix  = ".f"
)

// folderNames puts a blob with a long id into two levels of directories, of one and of three characters.
type folderNames struct{}

func (folderNames) Name(id blob.ID) string {
	s := string(id)
	if len(s) > unshardedLength {
		s = s[:1] + "/" + s[1:4] + "/" + s[4:]
	}
	return s + completeSuffix
}

func (folderNames) ID(name string) (blob.ID, bool) {
	s, ok := strings.CutSuffix(name, completeSuffix)
	switch strings.Count(s, "/") {
	case 0:
		ok = ok && len(s) <= unshardedLength
	case 2:
		ok = ok && len(s) > unshardedLength+2 && s[1] == '/' && s[5] == '/'
		s = strings.ReplaceAll(s, "/", "")
	default:
		ok = false
	}
	return blob.ID(s), ok && isBlobID(s)
}

func (folderNames) prefixes(prefix blob.ID) []string {
	s := string(prefix)
	switch {
	case len(s) <= 1:
		return []string{s} // of short names and of directories alike
	case len(s) <= 4:
		return []string{s[:1] + "/" + s[1:], s}
	default:
		return []string{s[:1] + "/" + s[1:4] + "/" + s[4:], s}
	}
}

// bucketNames puts every blob beside the others.
type bucketNames struct{}

func (bucketNames) Name(id blob.ID) string           { return string(id) }
func (bucketNames) ID(name string) (blob.ID, bool)   { return blob.ID(name), isBlobID(name) }
func (bucketNames) prefixes(prefix blob.ID) []string { return []string{string(prefix)} }

// isBlobID tells Kopia's blobs from what others keep in the same store: packs (p, q), indexes (x, n and their
// kin), session markers (s), logs (_), and the format (kopia.*).
func isBlobID(s string) bool {
	if strings.Contains(s, "/") || s == "" {
		return false
	}
	if strings.HasPrefix(s, "kopia.") || strings.HasPrefix(s, "_log") {
		return true
	}
	switch s[0] {
	case 'p', 'q', 's', 'n', 'm', 'l':
		return len(s) > unshardedLength && isHex(s[1:2])
	case 'x':
		return len(s) >= 2 && strings.ContainsRune("ensrwd", rune(s[1]))
	}
	return false
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// IsPack reports whether a blob holds contents: p those of files, q those of directories, lists and manifests.
func IsPack(id blob.ID) bool { return id != "" && (id[0] == 'p' || id[0] == 'q') }

func isIndex(id blob.ID) bool {
	return id != "" && (id[0] == 'x' || id[0] == 'n' || id[0] == 'm' || id[0] == 'l')
}

// IsMarker reports whether a blob says that a session is under way.
func IsMarker(id blob.ID) bool { return id != "" && id[0] == 's' }

// PutShards writes down how names become paths in a folder, as Kopia does when it makes one.
//
// Errors: the store's, except that they are there already.
func (b *Storage) PutShards(ctx context.Context) error {
	err := b.Store.Create(ctx, ShardsName, strings.NewReader(ShardsContent), int64(len(ShardsContent)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return err
	}
	sum, size, err := seal.HashOf(strings.NewReader(ShardsContent))
	if err != nil {
		return err
	}
	b.Seals.Add(seal.Record{State: seal.Stored, Size: size, Hash: sum, Name: ShardsName})
	return nil
}
