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

// segmentsArchived is how many segments of 16 MiB one run archives.
const segmentsArchived = 60

// benchWAL archives real segments of pgbench WAL, one process for each as archive_command forks them: one after
// the other, and then with all of them waiting in archive_status, so that both sides may work ahead.
func benchWAL(ctx context.Context, b *bench) error {
	if _, err := exec.LookPath("pgbackrest"); err != nil {
		return fmt.Errorf("%w (apt-get install pgbackrest)", err)
	}
	server, err := throwaway.Start(ctx, throwaway.Options{Conf: []string{
		"shared_buffers = 512MB", "wal_level = replica", "max_wal_size = 1GB", "wal_keep_size = 4GB", "wal_recycle = off",
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
	if out, err := i.tool("pgbench", "-i", "-q", "-s", "90", database).CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench: %w\n%s", err, indent(string(out)))
	}
	segments, err := i.segments()
	if err != nil {
		return err
	}

	one := pgbackrest{i, "pgbr-wal", "compress-type=zst\ncompress-level=1"}
	async := pgbackrest{i, "pgbr-async", "compress-type=zst\ncompress-level=1\narchive-async=y"}
	cofre := func(label, repository, args string) *variant {
		return &variant{
			name: label,
			before: func(ctx context.Context) error {
				if err := i.newClusterRepository(repository, "zstd-fastest"); err != nil {
					return err
				}
				return i.ready(segments, args != "")
			},
			command: func() *exec.Cmd {
				cmd := i.cofreCommand(repository)
				return shell(cmd, i.each(segments, fmt.Sprintf("%s wal archive --config %s %s", i.b.cofre, i.path(repository+".yaml"), args)))
			},
			stored: func() (int64, error) { return size(i.path(repository)) },
		}
	}
	peer := func(label string, p pgbackrest, waiting bool) *variant {
		return &variant{
			name: label,
			before: func(ctx context.Context) error {
				if err := os.RemoveAll(i.path(p.name + ".spool")); err != nil {
					return err
				}
				if err := p.renew(ctx); err != nil {
					return err
				}
				return i.ready(segments, waiting)
			},
			command: func() *exec.Cmd {
				cmd := p.command("--pg1-path="+i.dir, "archive-push")
				return shell(cmd, i.each(segments, strings.Join(cmd.Args, " ")))
			},
			stored: func() (int64, error) { return size(i.path(p.name)) },
		}
	}
	sync := []*variant{
		peer("pgbackrest archive-push", one, false),
		cofre("cofre wal archive", "repo-wal", ""),
	}
	if err := interleave(ctx, b.rounds, sync); err != nil {
		return err
	}
	fmt.Printf("%d segments, one process each, one after the other\n", segmentsArchived)
	table(sync, sync[0].name)
	ahead := []*variant{
		peer("pgbackrest archive-push, async", async, true),
		cofre("cofre wal archive --spool", "repo-ahead", "--spool "+i.path("spool")),
	}
	if err := interleave(ctx, b.rounds, ahead); err != nil {
		return err
	}
	fmt.Printf("\n%d segments, all of them waiting\n", segmentsArchived)
	table(ahead, ahead[0].name)
	return nil
}

// segments copies the newest finished segments out of pg_wal, so that they are there in every round.
func (i *installation) segments() ([]string, error) {
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
	if len(names) <= segmentsArchived {
		return nil, fmt.Errorf("only %d segments were written", len(names))
	}
	names = names[len(names)-1-segmentsArchived : len(names)-1] // the last one is being written
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
	return fmt.Sprintf(`cd %s && for s in %s; do %s $PWD/pg_wal/$s || exit 1; [ ! -f pg_wal/archive_status/$s.ready ] || mv pg_wal/archive_status/$s.ready pg_wal/archive_status/$s.done; done`,
		i.dir, strings.Join(segments, " "), command)
}
