package repository_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/scrypt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/repository"
)

// A repository of years: so many recovery points, as many entries of the journal, and so many segments of WAL.
const (
	manyPoints   = 10_000
	manySegments = 100_000
	manySystem   = cofre.SystemID(7300000000000000001)
	manyEach     = 6 * time.Hour // between two points
)

// years is the configuration of a repository of years. It is made in the folder that COFRE_SCALE names and stays there, since that takes minutes.
func years(b *testing.B) *config.Config {
	b.Helper()
	dir := os.Getenv("COFRE_SCALE")
	if dir == "" {
		b.Skip("COFRE_SCALE names no folder")
	}
	path := filepath.Join(dir, "cofre.yaml")
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		buildYears(b, dir, path)
		writeText(b, filepath.Join(dir, "made"), "")
	}
	return loadYears(b, path)
}

func loadYears(b *testing.B, path string) *config.Config {
	b.Helper()
	cfg, err := config.Load(path, os.Getenv)
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}

func buildYears(b *testing.B, dir, path string) {
	b.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	writeText(b, filepath.Join(dir, "password"), "a password of this measurement")
	writeText(b, filepath.Join(dir, "app.env"), "A=1\n")
	writeText(b, path, fmt.Sprintf(`name: tl
state_dir: %[1]s/state
repository: {url: %[1]s/repo, password: file:%[1]s/password}
database: {url: postgres://nobody@127.0.0.1:1/app, schedule: "0 */6 * * *"}
cluster: {url: postgres://nobody@127.0.0.1:1/postgres, schedule: "0 3 * * 0"}
config: {paths: [%[1]s/app.env], schedule: "0 4 * * 0"}
objectives: {rpo: 6h}
`, dir))
	cfg := loadYears(b, path)
	in, err := installation.Open(b.Context(), cfg, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := in.Init(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := in.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	publishYears(b, cfg)
	archiveYears(b, cfg)
}

// publishYears makes the points, and their entries.
func publishYears(b *testing.B, cfg *config.Config) {
	b.Helper()
	ctx := b.Context()
	password, err := cfg.Repository.Password.Read()
	if err != nil {
		b.Fatal(err)
	}
	repo, err := repository.Open(ctx, repository.Config{URL: cfg.Repository.URL, StateDir: cfg.StateDir, Password: password})
	if err != nil {
		b.Fatal(err)
	}
	defer repo.Close(context.WithoutCancel(ctx))
	var book *journaling.Book
	now := time.Now().UTC().Truncate(time.Second)
	start := now.Add(-manyPoints * manyEach)
	database, cluster, files := captureOf(b, repo, cofre.KindDatabase, "app"), captureOf(b, repo, cofre.KindCluster, "cluster"), captureOf(b, repo, cofre.KindConfig, "config")
	var batch []cofre.RecoveryPoint
	for i := range manyPoints {
		at := start.Add(time.Duration(i) * manyEach)
		p := cofre.RecoveryPoint{ID: cofre.NewPointID(at), Installation: cfg.Name, Host: "db1", StartedAt: at, PublishedAt: at.Add(time.Minute), Version: "0.1"}
		parts := []cofre.Component{database}
		if i%28 == 0 {
			cluster.Facts = baseBackup(i, at)
			parts = append(parts, cluster, files)
		}
		for _, c := range parts {
			c.StartedAt, c.EndedAt, c.Bytes, c.Stored = at, at.Add(time.Minute), 10<<30, 50<<20
			p.Components = append(p.Components, c)
		}
		batch = append(batch, p)
		if len(batch) == 500 {
			if err := repository.PublishAll(ctx, repo, batch); err != nil {
				b.Fatal(err)
			}
			batch = nil
		}
		if i%500 == 0 { // every run opens it, and makes the bundles that are due
			if book, err = journaling.Open(ctx, repo, journaling.Options{StateDir: cfg.StateDir, Installation: cfg.Name, Make: true, New: true}); err != nil {
				b.Fatal(err)
			}
		}
		r := journaling.NewRecording(runs.Marks{})
		r.Into(ctx, book)
		run := cofre.NewRunID(at)
		of := cofre.SourceID{Installation: cfg.Name}
		by := cofre.Actor{Host: "db1", User: "postgres", Version: "0.1"}
		r.Observe(cofre.Event{At: at, Run: run, Source: of, Fact: cofre.RunBegan{Kind: cofre.RunBackup, By: by}})
		r.Observe(cofre.Event{At: at, Run: run, Point: p.ID, Source: of, Fact: cofre.PointPublished{Point: p}})
		r.Observe(cofre.Event{At: at.Add(time.Minute), Run: run, Point: p.ID, Source: of, Fact: cofre.RunEnded{Kind: cofre.RunBackup, By: by, Code: cofre.CodeOK, Took: time.Minute}})
		if err := r.Wait(); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 0 {
			b.Logf("%d points, %s", i, time.Now().Format(time.TimeOnly))
		}
	}
	if err := repository.Compact(ctx, repo); err != nil {
		b.Fatal(err)
	}
	if _, err := journaling.Open(ctx, repo, journaling.Options{StateDir: cfg.StateDir, Installation: cfg.Name}); err != nil {
		b.Fatal(err)
	}
}

// segmentOf is the number of the segment that was written when point i was taken.
func segmentOf(i int) uint64 { return 16 + uint64(i)*manySegments/manyPoints }

func baseBackup(i int, at time.Time) json.RawMessage {
	lsn := segmentOf(i) * (16 << 20)
	return json.RawMessage(fmt.Sprintf(`{"format":1,"system_identifier":"%d","timeline":1,"start_lsn":%q,"stop_lsn":%q,"started_at":%q,"stopped_at":%q,"wal_segment_size":16777216}`,
		manySystem, cofre.LSN(lsn+40).String(), cofre.LSN(lsn+4096).String(), at.Format(time.RFC3339), at.Add(time.Minute).Format(time.RFC3339)))
}

func captureOf(b *testing.B, repo *repository.Repository, kind cofre.Kind, name string) cofre.Component {
	b.Helper()
	s, err := repo.Begin(b.Context(), cofre.SourceID{Installation: "tl", Kind: kind, Name: name})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(b.Context()))
	if _, err := s.Put(b.Context(), cofre.Entry{Path: "f", Mode: 0o600, Size: int64(len(name))}, strings.NewReader(name)); err != nil {
		b.Fatal(err)
	}
	c, err := s.Finish(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return cofre.Component{Kind: kind, Name: name, Content: c}
}

// archiveYears makes names and sizes of segments: that is all that is looked at every day.
func archiveYears(b *testing.B, cfg *config.Config) {
	b.Helper()
	start := time.Now().Add(-manyPoints * manyEach)
	for i := range uint64(manySegments) {
		s := pgdata.Segment{Timeline: 1, Number: 16 + i}
		name := filepath.Join(cfg.Repository.URL, filepath.FromSlash(wal.ObjectName(manySystem, s.File(16<<20))))
		if i == 0 {
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				b.Fatal(err)
			}
		}
		writeText(b, name, "no segment")
		at := start.Add(time.Duration(i) * (manyPoints * manyEach / manySegments))
		if err := os.Chtimes(name, at, at); err != nil {
			b.Fatal(err)
		}
	}
}

func writeText(b *testing.B, path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkList and BenchmarkStatus open the repository each time, as a command does: what a process keeps in memory helps no command. The derivation of the key is
// in their figures, and BenchmarkKey says how much that is.
func BenchmarkList(b *testing.B) {
	each(b, years(b), func(in *installation.Installation) {
		listed, err := in.Points(b.Context(), installation.PointsOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if len(listed.Points) != manyPoints {
			b.Fatalf("%d points", len(listed.Points))
		}
	})
}

func BenchmarkStatus(b *testing.B) {
	each(b, years(b), func(in *installation.Installation) {
		s, err := in.Status(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if s.Sources[0].Restorable != manyPoints || !s.Sources[1].EveryMoment {
			b.Fatalf("%+v", s.Sources)
		}
	})
}

// BenchmarkKey is the derivation of the key alone.
//
// Source: kopia, internal/crypto/pb_key_deriver_scrypt.go (scrypt-65536-8-1).
func BenchmarkKey(b *testing.B) {
	before := cpuTime(b)
	for b.Loop() {
		if _, err := scrypt.Key([]byte("a password of this measurement"), make([]byte, 32), 65536, 8, 1, 32); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

func each(b *testing.B, cfg *config.Config, do func(*installation.Installation)) {
	b.Helper()
	before := cpuTime(b)
	for b.Loop() {
		in, err := installation.Open(b.Context(), cfg, nil)
		if err != nil {
			b.Fatal(err)
		}
		do(in)
		if err := in.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}
