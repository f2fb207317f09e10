package repository_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob/filesystem"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/repository"
)

// TestMeasurePrune compares pruning, after half of COFRE_MEASURE points have expired, with the full maintenance of the library on a copy of the
// same folder, each in a process of its own. docs/benchmarks.md has what it printed.
func TestMeasurePrune(t *testing.T) {
	if what := os.Getenv("COFRE_MEASURE_WHAT"); what != "" {
		measured(t, what, repository.Config{URL: os.Getenv("COFRE_MEASURE_URL"), Password: secret.New(password), StateDir: os.Getenv("COFRE_MEASURE_STATE")})
		return
	}
	n, err := strconv.Atoi(os.Getenv("COFRE_MEASURE"))
	if err != nil {
		t.Skip("COFRE_MEASURE is not a number of points")
	}
	c := folderConfig(t)
	r := create(t, c)
	var gone []cofre.Expiry
	began := time.Now()
	for i := range n {
		p := publish(t, r, capture(t, r, map[string][]byte{
			"same": noise(1, 200_000), "own": numbered(i, 150_000), "dir/half": numbered(n+i/2, 100_000), "small": []byte(strconv.Itoa(i)),
		}))
		if i%2 == 0 {
			gone = append(gone, cofre.Expiry{Point: p.ID})
		}
	}
	t.Logf("%d points made in %v", n, time.Since(began))
	if _, err := r.Expire(t.Context(), gone...); err != nil {
		t.Fatal(err)
	}
	whole := folderOf(t, c.URL, 25*time.Hour)
	t.Logf("half of them expired: %s", whole)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(c.URL)); err != nil {
		t.Fatal(err)
	}
	for run := range 3 {
		took := apart(t, "prune", c.URL)
		t.Logf("prune, run %d: %s; then %s", run+1, took, folderOf(t, c.URL, 25*time.Hour))
	}
	took := apart(t, "maintenance", copied)
	t.Logf("full maintenance of the library: %s; then %s", took, folderOf(t, copied, 0))
	if found := findings(t, open(t, repository.Config{URL: c.URL, Password: c.Password, StateDir: t.TempDir()}), points(t, r), cofre.LevelStructure); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// numbered are n bytes that only i has.
func numbered(i, n int) []byte {
	b := noise(byte(i), n)
	for at := 0; at < n; at += 4096 {
		copy(b[at:], fmt.Sprintf("%d %d", i, at))
	}
	return b
}

// folderOf says what a folder holds, and has everything in it be older.
func folderOf(t *testing.T, dir string, older time.Duration) string {
	t.Helper()
	files, size := 0, int64(0)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		i, err := e.Info()
		if err != nil {
			return err
		}
		files++
		size += i.Size()
		return os.Chtimes(path, i.ModTime().Add(-older), i.ModTime().Add(-older))
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d files, %.1f MB", files, float64(size)/1e6)
}

// apart measures in a process of its own.
func apart(t *testing.T, what, url string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMeasurePrune$", "-test.v")
	cmd.Env = append(os.Environ(), "COFRE_MEASURE_WHAT="+what, "COFRE_MEASURE_URL="+url, "COFRE_MEASURE_STATE="+t.TempDir())
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, out)
	}
	s := cmd.ProcessState
	return fmt.Sprintf("%.2f s, CPU %.2f s, %d MB", time.Since(began).Seconds(), (s.UserTime() + s.SystemTime()).Seconds(), s.SysUsage().(*syscall.Rusage).Maxrss>>10)
}

func measured(t *testing.T, what string, c repository.Config) {
	if what == "prune" {
		r := open(t, c)
		done, err := r.Prune(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", done)
		return
	}
	ctx := t.Context()
	st, err := filesystem.New(ctx, &filesystem.Options{Path: c.URL}, false)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(c.StateDir, "kopia.config")
	options := &repo.ConnectOptions{}
	options.CacheDirectory, options.ContentCacheSizeBytes = filepath.Join(c.StateDir, "cache"), 1<<20
	if err := repo.Connect(ctx, config, st, password, options); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(ctx, config, password, &repo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.WithoutCancel(ctx))
	err = repo.DirectWriteSession(ctx, r.(repo.DirectRepository), repo.WriteSessionOptions{}, func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return snapshotmaintenance.Run(ctx, w, maintenance.ModeFull, true, maintenance.SafetyNone)
	})
	if err != nil {
		t.Fatal(err)
	}
}
