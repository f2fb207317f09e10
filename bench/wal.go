package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trustlayer/cofre/postgres/throwaway"
)

// segmentsOneByOne and segmentsWaiting are how many segments of 16 MiB one run archives.
const (
	segmentsOneByOne = 60
	segmentsWaiting  = 200
)

// benchWAL archives and fetches real segments of pgbench WAL, one process for each as PostgreSQL forks them: one
// after the other, and where both sides may work ahead.
func benchWAL(ctx context.Context, b *bench) error {
	version, err := pgbackrestVersion()
	if err != nil {
		return err
	}
	fmt.Println("beside " + version)
	server, err := throwaway.Start(ctx, throwaway.Options{Conf: []string{
		"shared_buffers = 512MB", "wal_level = replica", "max_wal_size = 6GB", "wal_keep_size = 6GB", "wal_recycle = off",
	}})
	if err != nil {
		return err
	}
	i := &installation{b: b, server: server, dir: filepath.Join(b.dir, "wal")}
	defer i.close()
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return err
	}
	if err := i.query(ctx, "postgres", "CREATE DATABASE "+database); err != nil {
		return err
	}
	// Rows copied in, and then rows changed one by one: the two kinds of WAL there are.
	for _, args := range [][]string{{"-i", "-q", "-s", "280", database}, {"-n", "-T", "40", "-c", "8", database}} {
		if out, err := i.tool("pgbench", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("pgbench: %w\n%s", err, indent(string(out)))
		}
	}
	segments, err := i.segments(segmentsWaiting)
	if err != nil {
		return err
	}
	few := segments[len(segments)-min(segmentsOneByOne, len(segments)):]

	one := walPeer{pgbackrest{i, "pgbr-wal", "compress-type=zst\ncompress-level=1"}}
	async := walPeer{pgbackrest{i, "pgbr-async", "compress-type=zst\ncompress-level=1\narchive-async=y"}}
	small := filepath.Join(filepath.Dir(b.cofre), "cofre-wal")
	for _, c := range []struct {
		what     string
		variants []*variant
	}{
		{fmt.Sprintf("%d segments archived, one process each, one after the other", len(few)), []*variant{
			one.push("pgbackrest archive-push", few, false),
			i.archive("cofre-wal archive", "repo-small", small, few, false),
			i.archive("cofre wal archive", "repo-wal", b.cofre+" wal", few, false),
		}},
		{fmt.Sprintf("%d segments archived, all of them waiting", len(segments)), []*variant{
			async.push("pgbackrest archive-push, async", segments, true),
			i.archive("cofre-wal archive --spool", "repo-ahead", small, segments, true),
			i.archive("cofre wal archive --spool", "repo-whole", b.cofre+" wal", segments, true),
		}},
		{fmt.Sprintf("%d segments fetched", len(few)), []*variant{
			one.get("pgbackrest archive-get", few),
			i.fetch("cofre-wal fetch", "repo-small", small, few, false),
			async.get("pgbackrest archive-get, async", few),
			i.fetch("cofre-wal fetch --spool", "repo-ahead", small, few, true),
		}},
	} {
		if err := interleave(ctx, b.rounds, c.variants); err != nil {
			return err
		}
		fmt.Println("\n" + c.what)
		table(c.variants, c.variants[0].name)
	}
	return nil
}

// archive runs cofre for each segment, into a new repository.
func (i *installation) archive(label, repository, program string, segments []string, ahead bool) *variant {
	args := ""
	if ahead {
		args = "--spool " + i.path("spool")
	}
	return &variant{
		name: label,
		before: func(ctx context.Context) error {
			if err := i.newClusterRepository(repository, "zstd-fastest"); err != nil {
				return err
			}
			return i.ready(segments, ahead)
		},
		command: func() *exec.Cmd {
			return shell(i.cofreCommand(repository), i.each(segments, fmt.Sprintf("%s archive --config %s %s $PWD/pg_wal/$s", program, i.path(repository+".yaml"), args)))
		},
		stored: func() (int64, error) { return size(i.path(repository)) },
	}
}

// fetch runs cofre for each segment of a repository that archive filled.
func (i *installation) fetch(label, repository, program string, segments []string, ahead bool) *variant {
	args := ""
	if ahead {
		args = "--spool " + i.path("fetched.spool")
	}
	return &variant{
		name: label,
		before: func(context.Context) error {
			if err := os.RemoveAll(i.path("fetched.spool")); err != nil {
				return err
			}
			return i.emptyFetched()
		},
		command: func() *exec.Cmd {
			return shell(i.cofreCommand(repository), i.each(segments, fmt.Sprintf("%s fetch --config %s %s $s $PWD/fetched/RECOVERYXLOG", program, i.path(repository+".yaml"), args)))
		},
	}
}

// emptyFetched makes the folder that segments are fetched into.
func (i *installation) emptyFetched() error {
	if err := os.RemoveAll(i.path("fetched")); err != nil {
		return err
	}
	return os.Mkdir(i.path("fetched"), 0o700)
}

// walPeer is pgBackRest over the same segments.
type walPeer struct{ pgbackrest }

func (p walPeer) push(label string, segments []string, waiting bool) *variant {
	return &variant{
		name: label,
		before: func(ctx context.Context) error {
			if err := os.RemoveAll(p.i.path(p.name + ".spool")); err != nil {
				return err
			}
			if err := p.renew(ctx); err != nil {
				return err
			}
			return p.i.ready(segments, waiting)
		},
		command: func() *exec.Cmd {
			cmd := p.pgbackrest.command("--pg1-path="+p.i.dir, "archive-push")
			return shell(cmd, p.i.each(segments, strings.Join(cmd.Args, " ")+" $PWD/pg_wal/$s"))
		},
		stored: func() (int64, error) { return size(p.i.path(p.name)) },
	}
}

func (p walPeer) get(label string, segments []string) *variant {
	return &variant{
		name: label,
		before: func(context.Context) error {
			if err := os.RemoveAll(p.i.path(p.name + ".spool")); err != nil {
				return err
			}
			return p.i.emptyFetched()
		},
		command: func() *exec.Cmd {
			cmd := p.pgbackrest.command("--pg1-path="+p.i.dir, "archive-get")
			return shell(cmd, p.i.each(segments, strings.Join(cmd.Args, " ")+" $s $PWD/fetched/RECOVERYXLOG"))
		},
	}
}

// segments copies the newest finished segments out of pg_wal, so that they are there in every round.
func (i *installation) segments(n int) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(i.server.DataDir, "pg_wal"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if len(e.Name()) == 24 && !strings.Contains(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	if len(names) <= n {
		return nil, fmt.Errorf("only %d segments were written", len(names))
	}
	names = names[len(names)-1-n : len(names)-1] // the last one is being written
	dir := i.path("pg_wal")
	if err := os.MkdirAll(filepath.Join(dir, "archive_status"), 0o755); err != nil {
		return nil, err
	}
	// cofre asks the control file which cluster a segment should be of.
	if err := os.MkdirAll(i.path("global"), 0o755); err != nil {
		return nil, err
	}
	control, err := os.ReadFile(filepath.Join(i.server.DataDir, "global", "pg_control"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(i.path("global/pg_control"), control, 0o644); err != nil {
		return nil, err
	}
	for _, n := range names {
		bytes, err := os.ReadFile(filepath.Join(i.server.DataDir, "pg_wal", n))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, n), bytes, 0o644); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// ready marks every segment as waiting, or none, as the server does in archive_status.
func (i *installation) ready(segments []string, waiting bool) error {
	if err := os.RemoveAll(i.path("spool")); err != nil {
		return err
	}
	for _, n := range segments {
		status := filepath.Join(i.path("pg_wal"), "archive_status", n)
		_ = os.Remove(status + ".done")
		_ = os.Remove(status + ".ready")
		if waiting {
			if err := os.WriteFile(status+".ready", nil, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// each is a shell line that runs a command for one segment after the other, as the server's archiver does.
func (i *installation) each(segments []string, command string) string {
	return fmt.Sprintf(`cd %s && for s in %s; do %s || exit 1; [ ! -f pg_wal/archive_status/$s.ready ] || mv pg_wal/archive_status/$s.ready pg_wal/archive_status/$s.done; done`,
		i.dir, strings.Join(segments, " "), command)
}
