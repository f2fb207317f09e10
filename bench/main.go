// Command bench measures cofre beside the programs its users would otherwise run, on the same machine and the
// same data, in one interleaved run: A B C A B C …, so that a machine that becomes slower slows everybody.
// It prints medians and ratios; ratios are what is quoted. Nothing here decides whether a test passes.
//
//	go run ./bench -cofre bin/cofre [-rounds 3] [-scale 1] [dump restore table daily memory]
//
// Read measure.go for what a figure means, then one file per subject.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// subject is one comparison, which prints its own table.
type subject struct {
	name string
	what string
	run  func(ctx context.Context, b *bench) error
}

var subjects = []subject{
	{"dump", "one dump of a database", benchDump},
	{"restore", "one restore of a database", benchRestore},
	{"table", "one table of 1 % of the data", benchTable},
	{"daily", "seven daily dumps, 1 % of the rows changed each day", benchDaily},
	{"cluster", "base backups and their restore beside pgBackRest", benchCluster},
	{"wal", "archiving WAL segments beside pgBackRest", benchWAL},
}

// bench is what every subject is given.
type bench struct {
	cofre  string // path of the binary
	dir    string // scratch, removed at the end
	rounds int
	scale  int // 1 is about 1 GB of data
	load   time.Duration
}

func main() {
	var b bench
	flag.StringVar(&b.cofre, "cofre", "bin/cofre", "the cofre binary to measure")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each variant runs")
	flag.IntVar(&b.scale, "scale", 1, "how much data: 1 is about 1 GB of tables and indexes")
	flag.DurationVar(&b.load, "load", time.Minute, "how long a cluster is written to between two backups")
	flag.BoolVar(&verbose, "v", false, "print what each program says")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: bench [flags] [subject ...]\n\nsubjects (all that have what they need, if none is named):\n")
		for _, s := range subjects {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-8s %s\n", s.name, s.what)
		}
		fmt.Fprintln(flag.CommandLine.Output(), "\nflags:")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, names []string) (err error) {
	for _, n := range names {
		if !slices.ContainsFunc(subjects, func(s subject) bool { return s.name == n }) {
			return fmt.Errorf("no subject %q", n)
		}
	}
	if b.cofre, err = filepath.Abs(b.cofre); err != nil {
		return err
	}
	if _, err := os.Stat(b.cofre); err != nil {
		return fmt.Errorf("%w (build it with make build)", err)
	}
	// World-traversable, because servers run as another user.
	if b.dir, err = os.MkdirTemp("", "cofre-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	fmt.Printf("%d processors, %s/%s, scale %d, %d rounds, interleaved; medians, and in brackets the best\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, b.scale, b.rounds)
	for _, s := range subjects {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		fmt.Printf("\n## %s: %s\n\n", s.name, s.what)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// indent makes the output of a failed program readable inside an error.
func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ")
}
