package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// ProviderReport is what CheckProvider found out about a store.
type ProviderReport struct {
	Store  Description      `json:"store"`
	Bucket string           `json:"bucket"`
	Checks []ProviderResult `json:"checks"`
}

// OK reports whether every check passed.
func (r ProviderReport) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c ProviderResult) bool { return c.Err != "" })
}

// ProviderResult is one check's outcome.
type ProviderResult struct {
	Name  string   `json:"name"`
	Err   string   `json:"error,omitempty"`
	Notes []string `json:"notes,omitempty"` // what the provider refuses, as it may
}

// ProviderCheck is one thing that cofre needs of a Store. Run works below prefix in an existing bucket, and leaves
// its objects to whoever runs it.
type ProviderCheck struct {
	Name string
	Run  func(ctx context.Context, s Store, id, prefix string) (notes []string, err error)
}

// CheckProvider runs every check in an existing bucket, below a prefix of its own that it empties in the end.
// Nothing else in the bucket is touched.
//
// Errors: of preparing or of cleaning up; what a check finds is in the report.
func CheckProvider(ctx context.Context, s Store, id string) (ProviderReport, error) {
	report := ProviderReport{Store: s.Describe(), Bucket: id}
	if _, err := s.Buckets(ctx, id); err != nil {
		return report, err
	}
	root := "cofre-check-" + strings.ToLower(rand.Text()[:10]) + "/"
	for i, c := range ProviderChecks() {
		r := ProviderResult{Name: c.Name}
		var err error
		if r.Notes, err = c.Run(ctx, s, id, fmt.Sprintf("%s%d/", root, i)); err != nil {
			r.Err = err.Error()
		}
		report.Checks = append(report.Checks, r)
		if ctx.Err() != nil {
			break
		}
	}
	return report, RemovePrefix(context.WithoutCancel(ctx), s, id, root)
}

// RemovePrefix deletes every object of a bucket below a prefix.
//
// Errors: those of Store.List, an *UnreadableError too, and of Store.Delete. The first one ends it.
func RemovePrefix(ctx context.Context, s Store, id, prefix string) error {
	var names []string
	for o, err := range s.List(ctx, id, prefix) {
		if err != nil {
			return err
		}
		names = append(names, o.Name)
	}
	for _, n := range names {
		if err := s.Delete(ctx, id, n); err != nil {
			return err
		}
	}
	return nil
}

// ProviderChecks are the contract of a Store, one by one.
func ProviderChecks() []ProviderCheck {
	return []ProviderCheck{
		{"an object comes back as it was put", checkRoundTrip},
		{"an object is replaced whole, metadata and all", checkReplace},
		{"an empty object is an object", checkEmpty},
		{"a large object comes back", checkLarge},
		{"every name is its own object", checkNames},
		{"a listing is complete beyond a page", checkListing},
		{"what is not there is not found", checkMissing},
		{"a deleted object is gone, and may be deleted again", checkDelete},
		{"an upload that ends early leaves the old object", checkShortPut},
		{"a reader never sees half of an overwrite", checkOverwriteRace},
	}
}

func checkObject(id, name string, size int) (Object, []byte) {
	b := bytes.Repeat([]byte(name+"|"), size/(len(name)+1)+1)[:size]
	return Object{
		Bucket: id, Name: name, Size: int64(size), ContentType: "image/png", CacheControl: "max-age=3600",
		Metadata: json.RawMessage(`{"case":"A-17","kind":"evidence"}`),
	}, b
}

// expect reads an object whole and compares it.
func expect(ctx context.Context, s Store, want Object, content []byte) error {
	got, r, err := OpenAgain(ctx, s, Object{Bucket: want.Bucket, Name: want.Name, Size: -1})
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := bounded.All(r, int64(len(content)))
	if err != nil {
		return err
	}
	stat, err := s.Stat(ctx, want.Bucket, want.Name)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	want, _ = s.Fit(want)
	switch {
	case !bytes.Equal(b, content):
		return fmt.Errorf("%d bytes came back, not the %d that were put", len(b), len(content))
	case got.Size != int64(len(content)) || stat.Size != int64(len(content)):
		return fmt.Errorf("its size is given as %d and %d, not %d", got.Size, stat.Size, len(content))
	case got.ETag == "" || stat.ETag != got.ETag:
		return fmt.Errorf("its etag is %q when read and %q when asked for", got.ETag, stat.ETag)
	}
	if d := Differing(want, got, false); !d.IsZero() {
		return fmt.Errorf("it is served with %s", d)
	}
	if d := Differing(want, stat, false); !d.IsZero() {
		return fmt.Errorf("it is described with %s", d)
	}
	return nil
}

func putAndExpect(ctx context.Context, s Store, o Object, content []byte) error {
	if _, err := s.Put(ctx, o, bytes.NewReader(content)); err != nil {
		return err
	}
	return expect(ctx, s, o, content)
}

func checkRoundTrip(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	o, content := checkObject(id, prefix+"a/b/c.png", 12345)
	o.Metadata = json.RawMessage(`{"case":"A-17","título":"ação"}`)
	if s.Describe().TextMetadata {
		o.Metadata = json.RawMessage(`{"case":"A-17"}`)
	}
	return nil, putAndExpect(ctx, s, o, content)
}

func checkReplace(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	o, content := checkObject(id, prefix+"replaced", 5000)
	if err := putAndExpect(ctx, s, o, content); err != nil {
		return nil, err
	}
	before, err := s.Stat(ctx, id, o.Name)
	if err != nil {
		return nil, err
	}
	o.ContentType, o.Metadata, o.CacheControl, o.Size = "text/plain", json.RawMessage(`{"case":"B"}`), "max-age=60", 4000
	content = bytes.Repeat([]byte("new "), 1000)
	if err := putAndExpect(ctx, s, o, content); err != nil {
		return nil, err
	}
	after, err := s.Stat(ctx, id, o.Name)
	if err != nil {
		return nil, err
	}
	if SameContent(before, after) {
		return nil, fmt.Errorf("its etag %q and version %q did not change with its bytes", after.ETag, after.Version)
	}
	return nil, nil
}

func checkEmpty(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	o, _ := checkObject(id, prefix+"empty", 0)
	return nil, putAndExpect(ctx, s, o, nil)
}

// largeSize is above the sizes at which S3 clients begin to upload in parts.
const largeSize = 20<<20 + 7

func checkLarge(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	o, content := checkObject(id, prefix+"large", largeSize)
	return nil, putAndExpect(ctx, s, o, content)
}

// oddNames are legal on one store or another, and each another object.
func oddNames() []string {
	return []string{
		"Photos/a.png", "photos/a.png", "clash", "clash/child", "double//slash", "trailing/", "/leading",
		" blank both ends ", "plus+ques?star*colon:", "a..b", "comma,semi;equal=at@dollar$", "it's (really) !ok&fine",
		strings.Repeat("segment-of-a-long-name/", 36) + "end", "acentuação-ß-日本", "50%", "hash#tag", "quote\"d", "tilde~",
		".emptyFolderPlaceholder", "back\\slash",
	}
}

// checkNames puts each odd name; a store may refuse one, but must not mistake it for another.
func checkNames(ctx context.Context, s Store, id, prefix string) (notes []string, err error) {
	put := map[string][]byte{}
	for i, n := range oddNames() {
		o, content := checkObject(id, prefix+n, 10+i)
		if strings.HasSuffix(n, ".emptyFolderPlaceholder") {
			o.Size, content = 0, nil
		}
		if strings.HasSuffix(n, "/") && s.Describe().SlashIsFolder {
			// Gateways over file systems keep such an object as a folder: without bytes.
			o.Size, content = 0, nil
		}
		if _, err := s.Put(ctx, o, bytes.NewReader(content)); err != nil {
			if errors.Is(err, cofre.ErrUnreachable) || errors.Is(err, cofre.ErrDenied) {
				return notes, fmt.Errorf("name %q: %w", n, err)
			}
			notes = append(notes, fmt.Sprintf("refuses the name %q", n))
			continue
		}
		put[o.Name] = content
	}
	for o, err := range s.List(ctx, id, prefix) {
		if err != nil {
			return notes, err
		}
		content, ok := put[o.Name]
		if !ok {
			as, ok := cleaned(put, o.Name)
			if !ok {
				return notes, fmt.Errorf("lists %q, which was not put", o.Name)
			}
			// A gateway over a file system. Captures see what it lists; of two such names it keeps one.
			notes = append(notes, fmt.Sprintf("keeps the name %q as %q", as, o.Name))
			delete(put, as)
			continue
		}
		delete(put, o.Name)
		if strings.HasSuffix(o.Name, "/") && s.Describe().SlashIsFolder {
			continue // such a gateway calls it a folder, and keeps nothing but its name
		}
		want, _ := checkObject(id, o.Name, len(content))
		if err := expect(ctx, s, want, content); err != nil {
			return notes, fmt.Errorf("name %q: %w", o.Name, err)
		}
	}
	for n := range put {
		return notes, fmt.Errorf("took %q and does not list it", n)
	}
	return notes, nil
}

// cleaned finds the name that a file system would have made of one that was put.
func cleaned(put map[string][]byte, listed string) (string, bool) {
	for n := range put {
		if path.Clean(n) == listed {
			return n, true
		}
	}
	return "", false
}

// listingSize is above the largest page of any store known: 1000.
const listingSize = 1103

func checkListing(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all error
	slots := make(chan struct{}, DefaultJobs)
	for i := range listingSize {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o, content := checkObject(id, fmt.Sprintf("%slist/%02d/%04d", prefix, i%7, i), 3)
			if _, err := s.Put(ctx, o, bytes.NewReader(content)); err != nil {
				mu.Lock()
				defer mu.Unlock()
				all = err
			}
		})
	}
	wg.Wait()
	if all != nil {
		return nil, all
	}
	seen := map[string]bool{}
	for o, err := range s.List(ctx, id, prefix+"list/") {
		if err != nil {
			return nil, err
		}
		if seen[o.Name] || o.Size != 3 || o.Bucket != id {
			return nil, fmt.Errorf("lists %s twice, or with size %d, or in bucket %s", o.Name, o.Size, o.Bucket)
		}
		seen[o.Name] = true
	}
	if len(seen) != listingSize {
		return nil, fmt.Errorf("lists %d of %d objects", len(seen), listingSize)
	}
	for o, err := range s.List(ctx, id, prefix+"LIST/") {
		return nil, fmt.Errorf("lists %s (%v) under a prefix that differs in case", o.Name, err)
	}
	return nil, nil
}

func checkMissing(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	const nowhere = "cofre-no-such-bucket"
	if _, err := s.Stat(ctx, id, prefix+"none"); !errors.Is(err, cofre.ErrNotFound) {
		return nil, fmt.Errorf("stat of a missing object: %v", err)
	}
	if _, r, err := s.Open(ctx, Object{Bucket: id, Name: prefix + "none"}); !errors.Is(err, cofre.ErrNotFound) {
		if err == nil {
			_ = r.Close()
		}
		return nil, fmt.Errorf("open of a missing object: %v", err)
	}
	if _, err := s.Buckets(ctx, nowhere); !errors.Is(err, cofre.ErrNotFound) {
		return nil, fmt.Errorf("a missing bucket: %v", err)
	}
	for o, err := range s.List(ctx, nowhere, "") {
		if !errors.Is(err, cofre.ErrNotFound) {
			return nil, fmt.Errorf("a listing of a missing bucket: %s, %v", o.Name, err)
		}
		return nil, nil
	}
	return nil, errors.New("a listing of a missing bucket looks empty")
}

func checkDelete(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	o, content := checkObject(id, prefix+"deleted", 10)
	if err := putAndExpect(ctx, s, o, content); err != nil {
		return nil, err
	}
	for range 2 {
		if err := s.Delete(ctx, id, o.Name); err != nil {
			return nil, err
		}
	}
	if _, err := s.Stat(ctx, id, o.Name); !errors.Is(err, cofre.ErrNotFound) {
		return nil, fmt.Errorf("still there: %v", err)
	}
	return nil, nil
}

func checkShortPut(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	o, content := checkObject(id, prefix+"short", 9000)
	if err := putAndExpect(ctx, s, o, content); err != nil {
		return nil, err
	}
	longer := o
	longer.Size = 20000
	if _, err := s.Put(ctx, longer, bytes.NewReader(content)); err == nil {
		return nil, errors.New("took 9000 bytes for 20000")
	}
	return nil, expect(ctx, s, o, content)
}

// checkOverwriteRace reads while it writes. A server may fail a read meanwhile, with a reason to try again; it may
// not serve a mixture.
func checkOverwriteRace(ctx context.Context, s Store, id, prefix string) ([]string, error) {
	const size = 200_000
	o, _ := checkObject(id, prefix+"contended", size)
	put := func(fill byte) error {
		_, err := s.Put(ctx, o, bytes.NewReader(bytes.Repeat([]byte{fill}, size)))
		return err
	}
	if err := put('a'); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			if err := put("ab"[i%2]); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	failed := 0
	for {
		select {
		case err := <-done:
			if failed > 0 {
				return []string{fmt.Sprintf("fails reads while an object is overwritten (%d here); cofre tries again", failed)}, err
			}
			return nil, err
		default:
		}
		_, r, err := s.Open(ctx, Object{Bucket: id, Name: o.Name, Size: -1})
		if err != nil {
			failed++
			continue
		}
		b, err := bounded.All(r, int64(size))
		_ = r.Close()
		if err != nil {
			failed++
			continue
		}
		if len(b) != size || bytes.Count(b, b[:1]) != size {
			<-done
			return nil, fmt.Errorf("served %d bytes that are of two writes", len(b))
		}
	}
}
