package origin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// What counted when a key was revoked lies in lists beside the record: by file, the sum of what the key had signed of it. The record names each list by its
// first file and its hash, and whoever reads a file reads the one list that may have it. Without the sums whoever has the key could sign another file for each name that counted.

// perList is how many files one list has: a recovery reads it for the first of them, and most of what is in one process's way is its size.
const perList = 1024

// Sum names what was signed of an object: the SHA-256 of the very bytes, so that nothing of its header can be another either.
func Sum(object, statement string) string {
	sum := sha256.Sum256(message(object, statement))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// CountedFolder is where the lists of a system lie: not where the records do, which every command reads.
func CountedFolder(system cofre.SystemID) string { return "wal/" + system.String() + "/counted/" }

// copyFolder is where each list lies a second time. Nothing asks for it while the first is whole: revocations of before have none.
func copyFolder(system cofre.SystemID) string { return "wal/" + system.String() + "/counted.copy/" }

// Lists reads a list by its hash.
//
// Errors: cofre.ErrNotFound and cofre.ErrCorrupt if there is none; the store's.
type Lists func(ctx context.Context, hash string) ([]byte, error)

// ReadList reads a list from a store, or its copy.
//
// Errors: those of Lists, as of the list itself.
func ReadList(ctx context.Context, st cofre.Store, system cofre.SystemID, hash string) ([]byte, error) {
	b, err := readList(ctx, st, CountedFolder(system)+hash, hash)
	if errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) {
		if other, otherErr := readList(ctx, st, copyFolder(system)+hash, hash); otherErr == nil {
			return other, nil
		}
	}
	return b, err
}

func readList(ctx context.Context, st cofre.Store, object, hash string) ([]byte, error) {
	b, err := bounded.Read(ctx, st, object, recordSize)
	if err == nil && !IsList(b, hash) {
		err = fmt.Errorf("%s is another list: %w", object, cofre.ErrCorrupt)
	}
	return b, err
}

// IsList reports whether a list is the one of a hash.
func IsList(b []byte, hash string) bool {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]) == hash
}

// writeLists stores what counts, by file, and returns the hash of each list by its first file; nil if nothing counts.
//
// Errors: the store's.
func writeLists(ctx context.Context, st cofre.Store, system cofre.SystemID, sums map[string]string) (lists map[string]string, err error) {
	for files := range slices.Chunk(slices.Sorted(maps.Keys(sums)), perList) {
		part := make(map[string]string, len(files))
		for _, file := range files {
			part[file] = sums[file]
		}
		b, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		hash := hex.EncodeToString(sum[:])
		for _, folder := range []string{copyFolder(system), CountedFolder(system)} {
			if err := keepList(ctx, st, folder+hash, hash, b); err != nil {
				return nil, err
			}
		}
		if lists == nil {
			lists = map[string]string{}
		}
		lists[files[0]] = hash
	}
	return lists, nil
}

// keepList stores a list, also where something else has its name.
func keepList(ctx context.Context, st cofre.Store, object, hash string, b []byte) error {
	err := st.Create(ctx, object, bytes.NewReader(b), int64(len(b)))
	if errors.Is(err, cofre.ErrExists) {
		if there, readErr := bounded.Read(ctx, st, object, recordSize); readErr == nil && IsList(there, hash) {
			return nil
		}
		err = st.Replace(ctx, object, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", object, err)
	}
	return nil
}

// listOf is the hash of the list that may have a file; "" if none does.
func (r *record) listOf(file string) string {
	first := ""
	for name := range r.Lists {
		if name <= file && name >= first {
			first = name
		}
	}
	return r.Lists[first]
}

// counts says whether a file counts, by what was signed of it: isAnother is true if one of its name does. A record of before says names alone.
//
// Errors: those of Lists.
func (s *Set) counts(ctx context.Context, r *record, object, statement string) (yes, isAnother bool, err error) {
	file := FileOf(object)
	if !r.covers(file) {
		return false, false, nil
	}
	if r.Lists == nil {
		return true, false, nil
	}
	hash := r.listOf(file)
	if hash == "" {
		return false, false, nil
	}
	sums, err := s.list(ctx, hash)
	sum, ok := sums[file]
	return ok && sum == Sum(object, statement), ok && sum != Sum(object, statement), err
}

// list reads a list once.
func (s *Set) list(ctx context.Context, hash string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sums, ok := s.read[hash]; ok {
		return sums, nil
	}
	if s.Lists == nil {
		return nil, fmt.Errorf("read list %s: %w", hash, cofre.ErrNotFound)
	}
	b, err := s.Lists(ctx, hash)
	if err != nil {
		return nil, err
	}
	var sums map[string]string
	if json.Unmarshal(b, &sums) != nil {
		return nil, fmt.Errorf("%s is no list: %w", CountedFolder(s.System)+hash, cofre.ErrCorrupt)
	}
	s.read[hash] = sums
	return sums, nil
}

// Lost are the lists that a repository does not hold any more, or that are others there, and of which there is a copy, or this host has kept them. What nobody has kept, whoever needs it says.
//
// Errors: the store's.
func (s *Set) Lost(ctx context.Context, st cofre.Store) (objects []string, err error) {
	for _, k := range s.Keys {
		err := s.lost(ctx, st, k, func(object, _ string, _ []byte) error {
			objects = append(objects, object)
			return nil
		})
		if err != nil {
			return objects, err
		}
	}
	return objects, nil
}

// KeepLists stores the lists of a revoked key that a store has lost, from its copies or as this host has kept them, and returns the objects. What nobody has is left to whoever needs it.
//
// Errors: the store's.
func (s *Set) KeepLists(ctx context.Context, st cofre.Store, k Known) (stored []string, err error) {
	err = s.lost(ctx, st, k, func(object, hash string, kept []byte) error {
		if err := errors.Join(keepList(ctx, st, object, hash, kept), keepList(ctx, st, copyFolder(s.System)+hash, hash, kept)); err != nil {
			return err
		}
		stored = append(stored, object)
		return nil
	})
	return stored, err
}

// lost finds the lists of a revoked key that a store has lost, and that there are otherwise.
//
// Errors: the store's; that of found.
func (s *Set) lost(ctx context.Context, st cofre.Store, k Known, found func(object, hash string, kept []byte) error) error {
	if k.revoked == nil || s.Lists == nil {
		return nil
	}
	for _, hash := range slices.Sorted(maps.Values(k.revoked.Lists)) {
		_, err := readList(ctx, st, CountedFolder(s.System)+hash, hash)
		if err == nil {
			continue
		}
		if !errors.Is(err, cofre.ErrNotFound) && !errors.Is(err, cofre.ErrCorrupt) {
			return err
		}
		kept, err := s.Lists(ctx, hash)
		if err != nil {
			continue
		}
		if err := found(CountedFolder(s.System)+hash, hash, kept); err != nil {
			return err
		}
	}
	return nil
}
