package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
)

// working are the folders of a store whose loss loses nothing.
const working = ".cofre/tmp"

// acts are what changes a store, each on one that holds an object docs/held with a record of its own.
func acts(t *testing.T) map[string]func(s *dir.Store) error {
	put := func(s *dir.Store, o bucket.Object) error {
		o.Bucket, o.Size = "docs", 3
		_, err := s.Put(t.Context(), o, strings.NewReader("new"))
		return err
	}
	attributes := func() *bucket.Attributes {
		return &bucket.Attributes{Mode: "0750", UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return map[string]func(s *dir.Store) error{
		"an object":                func(s *dir.Store) error { return put(s, bucket.Object{Name: "new"}) },
		"an object in new folders": func(s *dir.Store) error { return put(s, bucket.Object{Name: "a/b/c/new"}) },
		"an object over another":   func(s *dir.Store) error { return put(s, bucket.Object{Name: "held"}) },
		"an object with a record":  func(s *dir.Store) error { return put(s, bucket.Object{Name: "new", Language: "pt"}) },
		"an object with attributes": func(s *dir.Store) error {
			return put(s, bucket.Object{Name: "new", ModifiedAt: at, Attributes: attributes()})
		},
		"an object that is no path":     func(s *dir.Store) error { return put(s, bucket.Object{Name: "held/below"}) },
		"an object of an odd name":      func(s *dir.Store) error { return put(s, bucket.Object{Name: "a//b"}) },
		"an object that goes":           func(s *dir.Store) error { return s.Delete(t.Context(), "docs", "held") },
		"an object and its folders go":  func(s *dir.Store) error { return s.Delete(t.Context(), "docs", "deep/er/held") },
		"a bucket":                      func(s *dir.Store) error { return s.Ensure(t.Context(), bucket.Bucket{ID: "more"}) },
		"a bucket with settings":        func(s *dir.Store) error { return s.Ensure(t.Context(), bucket.Bucket{ID: "more", Public: true}) },
		"a bucket without its settings": func(s *dir.Store) error { return s.Ensure(t.Context(), bucket.Bucket{ID: "docs"}) },
		"a folder": func(s *dir.Store) error {
			_, err := s.MakeFolder(t.Context(), bucket.Folder{Bucket: "docs", Name: "x/y", Attributes: attributes()})
			return err
		},
		"a folder with its time": func(s *dir.Store) error {
			return s.SetFolder(t.Context(), bucket.Folder{Bucket: "docs", Name: "deep", ModifiedAt: at, Attributes: attributes()})
		},
		"what is kept": func(s *dir.Store) error {
			return s.Keep(t.Context(), bucket.Object{Bucket: "docs", Name: "held"}, "before")
		},
		"what is moved aside": func(s *dir.Store) error {
			_, err := s.MoveAside(t.Context(), "docs", "deep/er", "before")
			return err
		},
	}
}

// stand makes a store, and returns the folder that it is in.
func stand(t *testing.T) (*dir.Store, string) {
	t.Helper()
	above := t.TempDir()
	root := filepath.Join(above, "objects")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Ensure(t.Context(), bucket.Bucket{ID: "docs", Public: true})
	for _, name := range []string{"held", "deep/er/held"} {
		_, putErr := s.Put(t.Context(), bucket.Object{Bucket: "docs", Name: name, Size: 3, Language: "en"}, strings.NewReader("old"))
		err = errors.Join(err, putErr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, above
}

// TestWhatIsAnsweredForSurvivesACrash: bytes, names, and the folders above them, of what is new and of what is gone.
func TestWhatIsAnsweredForSurvivesACrash(t *testing.T) {
	for name, act := range acts(t) {
		s, above := stand(t)
		lost, err := durabletest.Lost(above, func() error { return act(s) }, "objects/"+working)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, what := range lost {
			t.Errorf("%s: a crash takes %s", name, strings.ReplaceAll(what, above, ""))
		}
	}
	above := t.TempDir()
	s, err := dir.OpenNew(filepath.Join(above, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	lost, err := durabletest.Lost(above, func() error { return s.Ensure(t.Context(), bucket.Bucket{ID: "docs"}) }, working)
	if err != nil || len(lost) > 0 {
		t.Errorf("a store that is made: %v, a crash takes %v", err, lost)
	}
}

func TestADiskThatFailsIsNoSuccess(t *testing.T) {
	for name, act := range acts(t) {
		t.Run(name, func(t *testing.T) {
			durabletest.EachStepFails(t, func() (string, func() error) {
				s, above := stand(t)
				return above, func() error { return act(s) }
			})
		})
	}
}
