package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is what one run of a program took.
type sample struct {
	wall   time.Duration
	cpu    time.Duration // user and system, the program and its children; a server's share is not in it
	memory int64         // bytes: the largest single process among the program and its children
	stored int64         // bytes on disk that the run left, if the variant says how to measure it
}

// variant is one way of doing the work of a subject. before and after are not measured.
type variant struct {
	name    string
	before  func(ctx context.Context) error
	command func() *exec.Cmd
	stored  func() (int64, error)
	after   func(ctx context.Context) error

	samples []sample
}

// interleave runs every variant once, then every variant again, rounds times.
func interleave(ctx context.Context, rounds int, variants []*variant) error {
	for range rounds {
		for _, v := range variants {
			if v.before != nil {
				if err := v.before(ctx); err != nil {
					return fmt.Errorf("%s: prepare: %w", v.name, err)
				}
			}
			s, err := measure(ctx, v.command())
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			if v.stored != nil {
				if s.stored, err = v.stored(); err != nil {
					return fmt.Errorf("%s: stored bytes: %w", v.name, err)
				}
			}
			v.samples = append(v.samples, s)
			if v.after != nil {
				if err := v.after(ctx); err != nil {
					return fmt.Errorf("%s: clean up: %w", v.name, err)
				}
			}
		}
	}
	return nil
}

// verbose prints what the measured programs say, such as how long each phase of a restore took.
var verbose bool

func measure(ctx context.Context, cmd *exec.Cmd) (sample, error) {
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(os.Interrupt) })
	err := cmd.Wait()
	stop()
	s := sample{wall: time.Since(start)}
	if err != nil {
		return s, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, indent(out.String()))
	}
	if verbose {
		fmt.Printf("%s (%.2f s)\n%s\n", firstLine(strings.Join(cmd.Args, " ")), s.wall.Seconds(), indent(out.String()))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.memory = ru.Maxrss << 10 // Linux counts in KiB
	}
	return s, nil
}

// table prints the variants with the ratio of each figure to the first one of peers that ran.
func table(variants []*variant, peer string) {
	var base *variant
	for _, v := range variants {
		if v.name == peer {
			base = v
		}
	}
	fmt.Printf("| %-34s | wall s         | CPU s  | memory MB | stored MB | wall ratio | stored ratio |\n", "variant")
	fmt.Printf("|%s|----------------|--------|-----------|-----------|------------|--------------|\n", strings.Repeat("-", 36))
	for _, v := range variants {
		if len(v.samples) == 0 {
			continue
		}
		stored, storedRatio, ratio := "", "", ""
		if n := v.median(byStored); n > 0 {
			stored = fmt.Sprintf("%.1f", n/1e6)
			if base != nil && base.median(byStored) > 0 {
				storedRatio = fmt.Sprintf("%.2f", n/base.median(byStored))
			}
		}
		if base != nil && len(base.samples) > 0 {
			ratio = fmt.Sprintf("%.2f", v.median(byWall)/base.median(byWall))
		}
		fmt.Printf("| %-34s | %6.2f [%5.2f] | %6.2f | %9.0f | %9s | %10s | %12s |\n", v.name,
			v.median(byWall), v.best(byWall), v.median(byCPU), v.median(byMemory)/1e6, stored, ratio, storedRatio)
	}
	if base != nil {
		fmt.Printf("\nratios are to %s\n", base.name)
	}
}

func byWall(s sample) float64   { return s.wall.Seconds() }
func byCPU(s sample) float64    { return s.cpu.Seconds() }
func byMemory(s sample) float64 { return float64(s.memory) }
func byStored(s sample) float64 { return float64(s.stored) }

func (v *variant) figures(by func(sample) float64) []float64 {
	f := make([]float64, len(v.samples))
	for i, s := range v.samples {
		f[i] = by(s)
	}
	slices.Sort(f)
	return f
}

func (v *variant) median(by func(sample) float64) float64 {
	f := v.figures(by)
	if len(f) == 0 {
		return 0
	}
	return (f[(len(f)-1)/2] + f[len(f)/2]) / 2
}

func (v *variant) best(by func(sample) float64) float64 { return v.figures(by)[0] }

// size adds up the files below a path.
func size(path string) (int64, error) {
	var n int64
	err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return err
	})
	return n, err
}
