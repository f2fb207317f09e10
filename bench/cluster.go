package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/trustlayer/cofre/postgres/throwaway"
)

// benchCluster compares base backups and restores of a cluster: full, unchanged, after a minute of two kinds of load,
// into an empty directory and onto one of which 1 % differs. About 1 GB at scale 1. Neither side archives WAL here:
// cofre copies what makes its backup consistent into it, pgBackRest runs with archive-check=n. Both verify page
// checksums, both encrypt; pgBackRest bundles files and, if its version can, stores increments by block.
func benchCluster(ctx context.Context, b *bench) error {
	version, err := pgbackrestVersion()
	if err != nil {
		return err
	}
	fmt.Println("beside " + version)
	i, err := installCluster(ctx, b)
	if err != nil {
		return err
	}
	defer i.close()
	c := clusterBench{
		installation: i, target: i.path("restored"),
		zst: pgbackrest{i, "pgbr-zst", "compress-type=zst\ncompress-level=1"},
		lz4: pgbackrest{i, "pgbr-lz4", "compress-type=lz4"},
	}
	for _, part := range []func(context.Context) error{c.full, c.unchanged, c.heavy, c.sparse, c.restore, c.delta} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// clusterBench is the installation with a repository of each kind, which one part leaves to the next.
type clusterBench struct {
	*installation
	zst, lz4 pgbackrest
	target   string // of restores
}

// backup is a base backup by cofre. If compression is given, into a new repository.
func (c *clusterBench) backup(label, repository, compression string) *variant {
	v := &variant{
		name:    label,
		command: func() *exec.Cmd { return c.cofreCommand(repository, "backup", "cluster", "--jobs", "2") },
		stored:  func() (int64, error) { return size(c.path(repository)) },
	}
	if compression != "" {
		v.before = func(context.Context) error { return c.newClusterRepository(repository, compression) }
	}
	return v
}

func (c *clusterBench) full(ctx context.Context) error {
	full := []*variant{
		c.zst.variant("pgbackrest zst-1 + aes", "full", c.zst.renew),
		c.backup("cofre backup cluster", "repo", "zstd-fastest"),
		c.lz4.variant("pgbackrest lz4 + aes", "full", c.lz4.renew),
		c.backup("cofre backup cluster (s2)", "repo-s2", "s2"),
	}
	if err := interleave(ctx, c.b.rounds, full); err != nil {
		return err
	}
	fmt.Println("\nfull")
	table(full[:2], full[0].name)
	table(full[2:], full[2].name)
	return nil
}

func (c *clusterBench) unchanged(ctx context.Context) error {
	return c.increments(ctx, "unchanged again", func(context.Context) error { return nil })
}

// heavy is pgbench as fast as it goes.
func (c *clusterBench) heavy(ctx context.Context) error {
	return c.increments(ctx, fmt.Sprintf("after %v of heavy load", c.b.load), func(ctx context.Context) error {
		return c.pgbench(ctx, "-c", "8", "-j", "2")
	})
}

// sparse changes single rows all over the largest table, 100 a second.
func (c *clusterBench) sparse(ctx context.Context) error {
	script := c.path("sparse.sql")
	err := os.WriteFile(script, []byte("\\set aid random(1, 100000 * :scale)\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"), 0o644)
	if err != nil {
		return err
	}
	return c.increments(ctx, fmt.Sprintf("after %v of 100 updates a second, scattered", c.b.load), func(ctx context.Context) error {
		return c.pgbench(ctx, "-c", "2", "--rate=100", "-f", script, "-s", fmt.Sprint(45*c.b.scale))
	})
}

func (c *clusterBench) pgbench(ctx context.Context, args ...string) error {
	args = append(args, "-n", "-T", fmt.Sprint(max(int(c.b.load/time.Second), 1)), database)
	if out, err := c.tool("pgbench", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench: %w\n%s", err, indent(string(out)))
	}
	return c.query(ctx, database, "CHECKPOINT")
}

// increments compares what another backup of each takes and adds after change. Both see the same change.
func (c *clusterBench) increments(ctx context.Context, what string, change func(context.Context) error) error {
	variants := []*variant{
		c.zst.variant("pgbackrest zst-1 + aes", "incr", nil),
		c.backup("cofre backup cluster", "repo", ""),
	}
	variants[0].before = change
	for _, v := range variants {
		whole, change := v.stored, v.before
		var before int64
		v.before = func(ctx context.Context) (err error) {
			if change != nil {
				if err := change(ctx); err != nil {
					return err
				}
			}
			before, err = whole()
			return err
		}
		v.stored = func() (int64, error) {
			after, err := whole()
			return after - before, err
		}
	}
	if err := interleave(ctx, c.b.rounds, variants); err != nil {
		return err
	}
	fmt.Printf("\n%s: time, and what the repository grew by\n", what)
	table(variants, variants[0].name)
	return nil
}

// pgbackrestRestore and cofreRestore write the latest backup to the target, with further arguments.
func (c *clusterBench) pgbackrestRestore(args ...string) *exec.Cmd {
	return c.zst.command(append(args, "--pg1-path="+c.target, "restore")...)
}

func (c *clusterBench) cofreRestore(args ...string) *exec.Cmd {
	return c.cofreCommand("repo", append([]string{"restore", "cluster", "latest", "--to", c.target, "--jobs", "2", "--yes"}, args...)...)
}

func (c *clusterBench) gone(context.Context) error { return os.RemoveAll(c.target) }

func (c *clusterBench) restore(ctx context.Context) error {
	restores := []*variant{
		{
			name:    "pgbackrest restore",
			before:  func(ctx context.Context) error { _ = c.gone(ctx); return os.Mkdir(c.target, 0o700) },
			command: func() *exec.Cmd { return c.pgbackrestRestore() },
			after:   c.gone,
		},
		{
			name: "cofre restore cluster", before: c.gone, after: c.gone,
			command: func() *exec.Cmd { return c.cofreRestore() },
		},
	}
	if err := interleave(ctx, c.b.rounds, restores); err != nil {
		return err
	}
	fmt.Println("\nrestore into an empty directory")
	table(restores, restores[0].name)
	return nil
}

// delta restores onto what a restore has left, after one MiB in each hundred of it was overwritten.
func (c *clusterBench) delta(ctx context.Context) error {
	cofre := []*variant{
		{name: "cofre restore cluster", before: c.gone, command: func() *exec.Cmd { return c.cofreRestore() }},
		{name: "cofre restore cluster --delta", before: c.spoil, command: func() *exec.Cmd { return c.cofreRestore("--delta") }},
	}
	if err := interleave(ctx, c.b.rounds, cofre); err != nil {
		return err
	}
	peer := []*variant{
		{
			name:    "pgbackrest restore",
			before:  func(ctx context.Context) error { _ = c.gone(ctx); return os.Mkdir(c.target, 0o700) },
			command: func() *exec.Cmd { return c.pgbackrestRestore() },
		},
		{name: "pgbackrest restore --delta", before: c.spoil, command: func() *exec.Cmd { return c.pgbackrestRestore("--delta") }},
	}
	if err := interleave(ctx, c.b.rounds, peer); err != nil {
		return err
	}
	fmt.Println("\nrestore onto a directory of which 1 % differs")
	table(cofre, cofre[0].name)
	table(peer, peer[0].name)
	return c.gone(ctx)
}

// spoil overwrites one MiB in each hundred of the restored tables and indexes, the first of a file.
func (c *clusterBench) spoil(context.Context) error {
	const every, much = 100 << 20, 1 << 20
	noise := make([]byte, much)
	for i := range noise {
		noise[i] = byte(i*7 + i>>8)
	}
	return filepath.WalkDir(filepath.Join(c.target, "base"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() < much {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		for at := int64(0); at+much <= info.Size() && err == nil; at += every {
			_, err = f.WriteAt(noise, at)
		}
		return errors.Join(err, f.Close())
	})
}

func installCluster(ctx context.Context, b *bench) (*installation, error) {
	server, err := throwaway.Start(ctx, throwaway.Options{
		Conf:     []string{"shared_buffers = 512MB", "max_wal_size = 8GB", "autovacuum = off", "wal_level = replica"},
		InitArgs: []string{"--data-checksums"},
	})
	if err != nil {
		return nil, err
	}
	i := &installation{b: b, server: server, dir: filepath.Join(b.dir, "cluster")}
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return nil, err
	}
	if err := i.query(ctx, "postgres", "CREATE DATABASE "+database); err != nil {
		return nil, err
	}
	if out, err := i.tool("pgbench", "-i", "-q", "-s", fmt.Sprint(45*b.scale), database).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgbench: %w\n%s", err, indent(string(out)))
	}
	return i, i.query(ctx, database,
		`CREATE TABLE answers (id bigint, changed_at timestamptz NOT NULL, body jsonb NOT NULL)`,
		fmt.Sprintf(`INSERT INTO answers SELECT g, timestamptz '2026-01-01' + g * interval '1 second', %s FROM generate_series(1::bigint, %d) g`, document("0"), 1_000_000*b.scale),
		"VACUUM ANALYZE", "CHECKPOINT")
}

func (i *installation) newClusterRepository(name, compression string) error {
	return i.newRepositoryWith(name, fmt.Sprintf("cluster:\n  url: postgres://postgres@/postgres?host=%s&port=%d\n  data_directory: %s\n",
		i.server.Socket, i.server.Port, i.server.DataDir), "  compression: "+compression+"\n")
}
