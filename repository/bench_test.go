package repository_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
)

// pgText yields n bytes of what COPY writes of a table of answers: numbers that count, words that come again,
// hashes that never do.
func pgText(seed uint64, n int64) io.Reader {
	return io.LimitReader(&textReader{rng: rand.New(rand.NewPCG(seed, 1))}, n)
}

type textReader struct {
	rng  *rand.Rand
	row  int
	left []byte
}

var words = strings.Fields(`a avaliação do fornecedor foi concluída sem ressalvas e os documentos enviados pela equipe de segurança comprovam que os
	controles descritos na política interna estão implantados há mais de doze meses com registro de auditoria e revisão trimestral`)

func (r *textReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		var b bytes.Buffer
		for b.Len() < 256<<10 {
			r.row++
			fmt.Fprintf(&b, "%d\t%016x%016x\t", r.row, r.rng.Uint64(), r.rng.Uint64())
			for range 20 + r.rng.IntN(30) {
				b.WriteString(words[r.rng.IntN(len(words))])
				b.WriteByte(' ')
			}
			fmt.Fprintf(&b, "\t2026-11-%02d 02:%02d:%02d.%06d+00\tt\t\\N\n", 1+r.rng.IntN(28), r.rng.IntN(60), r.rng.IntN(60), r.rng.IntN(1_000_000))
		}
		r.left = b.Bytes()
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func BenchmarkPut(b *testing.B) {
	const size, workers = 128 << 20, 2
	texts := make([][]byte, workers)
	for i := range texts {
		texts[i] = make([]byte, size)
		if _, err := io.ReadFull(pgText(uint64(i), size), texts[i]); err != nil {
			b.Fatal(err)
		}
	}
	for _, layout := range []cofre.Layout{cofre.LayoutStream, cofre.LayoutPages} {
		b.Run(fmt.Sprintf("layout=%d", layout), func(b *testing.B) {
			b.SetBytes(size * workers)
			for range b.N {
				r := create(b, folderConfig(b))
				s, err := r.Begin(b.Context(), source)
				if err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				before := cpuTime(b)
				var wg sync.WaitGroup
				for i := range workers {
					wg.Go(func() {
						if _, err := s.Put(b.Context(), cofre.Entry{Path: strconv.Itoa(i), Mode: 0o600, Size: -1, Layout: layout}, bytes.NewReader(texts[i])); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				c, err := s.Finish(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(c.Stored)/float64(c.Bytes), "stored/byte")
				b.ReportMetric((cpuTime(b)-before).Seconds()/float64(c.Bytes)*1e9, "cpu-s/GB")
				b.StopTimer()
				_ = s.Close(b.Context())
			}
			b.ReportMetric(float64(peakMemory(b)-size*workers)/1e6, "peak-MB") // without the texts
		})
	}
}

// cpuTime is what this process has used, which says more than the clock on a machine that others use too.
func cpuTime(b testing.TB) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most memory this process ever had, in bytes.
func peakMemory(b *testing.B) int64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

func BenchmarkRead(b *testing.B) {
	r := create(b, folderConfig(b))
	const size = 512 << 20
	s, err := r.Begin(b.Context(), source)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Put(b.Context(), cofre.Entry{Path: "f", Mode: 0o600, Size: -1}, pgText(7, size)); err != nil {
		b.Fatal(err)
	}
	c, err := s.Finish(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	_ = s.Close(b.Context())
	b.SetBytes(size)
	for b.Loop() {
		tr, err := r.Tree(b.Context(), c.Root)
		if err != nil {
			b.Fatal(err)
		}
		f, err := tr.Open(b.Context(), "f")
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, f); err != nil || n != size {
			b.Fatal(n, err)
		}
		f.Close()
	}
}

// BenchmarkPoints is what cofre list costs on a repository with 500 points.
func BenchmarkPoints(b *testing.B) {
	c := folderConfig(b)
	r := create(b, c)
	start := time.Now()
	for i := range 500 {
		content := capture(b, r, map[string][]byte{"f": []byte(fmt.Sprint("day ", i))})
		publish(b, r, content)
	}
	b.Logf("500 captures published in %v", time.Since(start))
	for b.Loop() {
		opened, err := repository.Open(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		if got := len(points(b, opened)); got != 500 {
			b.Fatalf("%d points", got)
		}
		if err := opened.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
