package repository_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
)

// manyOf publishes points that have something of everything, and makes one content of their manifests.
func manyOf(t *testing.T, r *repository.Repository) []cofre.PointID {
	t.Helper()
	content := capture(t, r, map[string][]byte{"f": []byte("text")})
	at := time.Date(2026, 11, 1, 2, 3, 4, 5000, time.UTC)
	var batch []cofre.RecoveryPoint
	var ids []cofre.PointID
	for i := range 300 {
		at = at.Add(time.Hour)
		p := cofre.RecoveryPoint{ID: cofre.NewPointID(at), Installation: "tl", Host: "db1", StartedAt: at, PublishedAt: at.Add(time.Minute), Version: "1"}
		c := cofre.Component{Kind: cofre.KindConfig, Name: fmt.Sprint("secret-name-", i), StartedAt: at, EndedAt: at, Content: content, Facts: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))}
		switch i % 7 {
		case 1:
			c.Warnings, c.Partial = []string{"a warning"}, true
			p.Findings = []cofre.Finding{cofre.Finding{Check: cofre.CheckCapture, Kind: c.Kind, Name: c.Name, Object: "o"}.Saying(cofre.Verbatim("lost"))}
		case 2:
			p.Expired = []cofre.ExpiredComponent{c.Expire(at)}
		case 3:
			p.StartedAt = p.StartedAt.In(time.FixedZone("", -3*60*60))
		case 4:
			c.Facts = nil
		case 5:
			p.Components = append(p.Components, c)
			c.Name += "-b"
		case 6:
			p.PublishedAt = time.Time{}
		}
		p.Components = append(p.Components, c)
		batch, ids = append(batch, p), append(ids, p.ID)
	}
	if err := repository.PublishAll(t.Context(), r, batch); err != nil {
		t.Fatal(err)
	}
	if err := repository.Compact(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return ids
}

// What is remembered of points on this machine is what the repository says of them, whatever has changed since.
func TestRememberedPointsAreThoseThatAreThere(t *testing.T) {
	t.Parallel()
	c := folderConfig(t)
	r := create(t, c)
	ids := manyOf(t, r)
	stranger := c
	same := func(when string, want int) {
		t.Helper()
		stranger.StateDir = t.TempDir()
		fresh := points(t, open(t, stranger))
		if len(fresh) != want {
			t.Fatalf("%s: %d points, want %d", when, len(fresh), want)
		}
		for i, got := range points(t, open(t, c)) {
			if !reflect.DeepEqual(got, fresh[i]) {
				t.Fatalf("%s: %+v, want %+v", when, got, fresh[i])
			}
		}
	}
	files := func() []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(c.StateDir, "points", "*", "m*"))
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing is remembered: %v", err)
		}
		return found
	}
	same("first", len(ids))
	same("again", len(ids))
	first := files()
	for _, file := range first {
		if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, []byte("secret-name")) {
			t.Errorf("%s: names can be read in it, or %v", file, err)
		}
	}

	publish(t, r, capture(t, r, map[string][]byte{"f": []byte("new")}))
	same("one more", len(ids)+1)
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: ids[7]}, cofre.Expiry{Point: ids[5], Sources: []cofre.SourceID{{Kind: cofre.KindConfig, Name: "secret-name-5"}}}); err != nil {
		t.Fatal(err)
	}
	same("one less, and another with less", len(ids))
	if err := repository.Compact(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	same("as one content", len(ids))

	for _, file := range files() {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(first[0])
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		for what, b := range map[string][]byte{"cut off": whole[:len(whole)/2], "empty": nil, "damaged": flipped, "of another content": old} {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			same(what, len(ids))
		}
	}
}

// What is remembered says nothing of what is there: points whose manifests were removed from the store are no points.
func TestPointsAreReadThoughTheyAreRemembered(t *testing.T) {
	t.Parallel()
	c := folderConfig(t)
	ids := manyOf(t, create(t, c))
	if got := points(t, open(t, c)); len(got) != len(ids) {
		t.Fatalf("%d points, want %d", len(got), len(ids))
	}
	r := open(t, c)
	err := filepath.WalkDir(c.URL, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.Contains(path, "/q/") || strings.Contains(path, "/spare/q")) {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*repository.Repository{r, open(t, c)} {
		err = nil
		for _, failed := range r.Points(t.Context()) {
			err = errors.Join(err, failed)
		}
		if !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("points of manifests that are gone: %v, want ErrCorrupt", err)
		}
	}
}
