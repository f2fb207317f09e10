package repository_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// TestMeasurePublishing publishes COFRE_MEASURE points in a folder, every second one with its entry in the journal, and says what the entry costs.
func TestMeasurePublishing(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("COFRE_MEASURE"))
	if err != nil {
		t.Skip("COFRE_MEASURE is not a number of points")
	}
	r := create(t, folderConfig(t))
	content := capture(t, r, map[string][]byte{"f": []byte("text")})
	var created atomic.Int64
	repository.WithStore(r, func(s cofre.Store) cofre.Store {
		return &storetest.Through{Store: s, Do: func(_ context.Context, verb storetest.Verb, _ string, do func() error) error {
			if verb == storetest.Create || verb == storetest.Replace {
				created.Add(1)
			}
			return do()
		}}
	})
	book, err := journaling.Open(t.Context(), r, journaling.Options{StateDir: t.TempDir(), Installation: source.Installation, Make: true, New: true})
	if err != nil {
		t.Fatal(err)
	}
	var wall, cpu [2][]time.Duration
	var objects [2][]int64
	for i := range 2 * n {
		journaled := i % 2
		before, began, used := created.Load(), time.Now(), cpuTime(t)
		p := publish(t, r, content)
		if journaled == 1 {
			rec := journaling.NewRecording(runs.Marks{})
			rec.Into(t.Context(), book)
			run := cofre.NewRunID(p.StartedAt)
			of := cofre.SourceID{Installation: source.Installation}
			rec.Observe(cofre.Event{At: p.StartedAt, Run: run, Source: of, Fact: cofre.RunBegan{Kind: cofre.RunBackup, By: cofre.Actor{Host: "db1"}}})
			rec.Observe(cofre.Event{At: p.StartedAt, Run: run, Point: p.ID, Source: of, Fact: cofre.PointPublished{Point: p}})
			if err := rec.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		wall[journaled] = append(wall[journaled], time.Since(began))
		cpu[journaled] = append(cpu[journaled], cpuTime(t)-used)
		objects[journaled] = append(objects[journaled], created.Load()-before)
	}
	middle := func(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
	for i, what := range []string{"without", "with"} {
		t.Logf("%s its entry: wall %s, CPU %s, %d objects (medians)", what, middle(wall[i]), middle(cpu[i]), slices.Sorted(slices.Values(objects[i]))[len(objects[i])/2])
	}
	var more []time.Duration // of each pair
	for i := range wall[0] {
		more = append(more, wall[1][i]-wall[0][i])
	}
	t.Logf("the entry costs: wall %s (median of pairs), %s (of medians), CPU %s", middle(more), middle(wall[1])-middle(wall[0]), middle(cpu[1])-middle(cpu[0]))
}

// BenchmarkProof makes and checks proofs in the journal of the repository of years, on disk, from ten checkpoints to the newest.
func BenchmarkProof(b *testing.B) {
	cfg := years(b)
	s, err := store.Open(b.Context(), store.Config{URL: cfg.Repository.URL})
	if err != nil {
		b.Fatal(err)
	}
	line := func(size int) journal.Checkpoint {
		text, err := os.ReadFile(filepath.Join(cfg.Repository.URL, "journal", "checkpoint", pad(size)))
		if err != nil {
			b.Fatal(err)
		}
		c, err := journal.ParseCheckpoint(string(text))
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	key, err := journal.PublicKey(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	older := []int{1, 2, 255, 256, 1000, 4095, 4096, 5000, 8191, manyPoints - 1}
	largest, slowest, i, before := 0, time.Duration(0), 0, cpuTime(b)
	for b.Loop() {
		began := time.Now()
		log, err := journal.OpenPublic(s, key)
		if err != nil {
			b.Fatal(err)
		}
		p, err := log.Prove(b.Context(), line(older[i%len(older)]), line(manyPoints))
		if err != nil || p.Check() != nil {
			b.Fatal(err, p.Check())
		}
		slowest = max(slowest, time.Since(began))
		text, err := json.Marshal(p)
		if err != nil {
			b.Fatal(err)
		}
		largest = max(largest, len(text))
		i++
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(largest), "bytes")
	b.ReportMetric(slowest.Seconds()*1000, "slowest-ms")
}

func pad(n int) string { return strings.Repeat("0", 12-len(strconv.Itoa(n))) + strconv.Itoa(n) }
