package repository_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/filesystem"
	"github.com/kopia/kopia/repo/blob/s3"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/restore"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
)

// The way out: a repository is read by stock Kopia, through the storage, the listing and the restore of its own.
func TestStockKopiaRestoresAFolder(t *testing.T) {
	c := folderConfig(t)
	want := fillForStock(t, c)
	st, err := filesystem.New(t.Context(), &filesystem.Options{Path: c.URL}, false)
	if err != nil {
		t.Fatal(err)
	}
	restoredByStock(t, st, want)
}

func TestStockKopiaRestoresFromS3(t *testing.T) {
	server := testkit.S3(t)
	c := s3Config(t, server, "some/prefix")
	want := fillForStock(t, c)
	st, err := s3.New(t.Context(), &s3.Options{
		BucketName: server.Bucket, Prefix: "some/prefix/", Endpoint: strings.TrimPrefix(server.Endpoint, "http://"), DoNotUseTLS: true,
		AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey, Region: server.Region,
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	restoredByStock(t, st, want)
}

// fillForStock publishes a component with everything a tree can hold.
func fillForStock(t *testing.T, c repository.Config) map[string][]byte {
	t.Helper()
	r := create(t, c)
	dump, err := io.ReadAll(pgText(1, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"etc/a": []byte("um"), "etc/none": nil, "etc/ação": []byte("ção"), "dump": dump, "whole": append(bytes.Clone(dump[:1<<20]), dump[3<<20:]...),
	}
	s, err := r.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	at := time.Unix(1_780_000_000, 123456789)
	if err := s.Add(t.Context(), cofre.Entry{Path: "etc", Mode: fs.ModeDir | 0o750, ModTime: at}); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), cofre.Entry{Path: "etc/link", Mode: fs.ModeSymlink | 0o777, ModTime: at, Link: "a"}); err != nil {
		t.Fatal(err)
	}
	for path, b := range want {
		e := cofre.Entry{Path: path, Mode: 0o640, ModTime: at, Size: -1}
		if path == "whole" {
			var parts []cofre.ObjectID
			for _, part := range [][]byte{dump[:1<<20], nil, dump[3<<20:]} {
				id, _, err := s.Store(t.Context(), cofre.LayoutPages, bytes.NewReader(part))
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, id)
			}
			if _, err := s.Concat(t.Context(), e, parts); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := s.Put(t.Context(), e, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	content, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	publish(t, r, content)
	return want
}

func restoredByStock(t *testing.T, st blob.Storage, want map[string][]byte) {
	t.Helper()
	ctx := t.Context()
	config := filepath.Join(t.TempDir(), "kopia.config")
	options := &repo.ConnectOptions{}
	options.CacheDirectory = t.TempDir()
	options.ContentCacheSizeBytes = 1 << 20
	if err := repo.Connect(ctx, config, st, password, options); err != nil {
		t.Fatalf("connect: %v", err)
	}
	rep, err := repo.Open(ctx, config, password, &repo.Options{OnFatalError: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer rep.Close(context.WithoutCancel(ctx))
	if owned, err := maintenance.IsOwnedByThisUser(ctx, rep); owned || err != nil {
		t.Errorf("Kopia takes maintenance for its own: %v, %v", owned, err)
	}
	src := snapshot.SourceInfo{UserName: "cofre", Host: "trustlayer", Path: "/config/config"}
	snapshots, err := snapshot.ListSnapshots(ctx, rep, src)
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("%d snapshots of %v, %v", len(snapshots), src, err)
	}
	m := snapshots[0]
	if m.Tags["tag:cofre-kind"] != "config" || m.Tags["tag:cofre-point"] == "" || m.RootEntry.DirSummary.TotalFileCount != int64(len(want)) {
		t.Errorf("the snapshot is tagged %v and counts %+v", m.Tags, m.RootEntry.DirSummary)
	}
	root, err := snapshotfs.SnapshotRoot(rep, m)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	out := &restore.FilesystemOutput{TargetPath: dir, SkipOwners: true}
	if err := out.Init(ctx); err != nil {
		t.Fatal(err)
	}
	stats, err := restore.Entry(ctx, rep, out, root, restore.Options{Parallel: 2, RestoreDirEntryAtDepth: math.MaxInt32})
	if err != nil || int(stats.RestoredFileCount) != len(want) || stats.RestoredSymlinkCount != 1 {
		t.Fatalf("restore: %+v, %v", stats, err)
	}
	for path, b := range want {
		got, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %d bytes restored of %d, or others, %v", path, len(got), len(b), err)
		}
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(time.Unix(1_780_000_000, 123456789)) {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if link, err := os.Readlink(filepath.Join(dir, "etc/link")); err != nil || link != "a" {
		t.Errorf("the link leads to %q, %v", link, err)
	}
}
