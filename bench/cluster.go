package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/trustlayer/cofre/postgres/throwaway"
)

// pgbackrest is one way of running pgBackRest: a compression, with AES as cofre always encrypts.
type pgbackrest struct {
	i     *installation
	name  string
	extra string // lines of its configuration
}

func (p pgbackrest) command(args ...string) *exec.Cmd {
	return exec.Command("pgbackrest", append([]string{
		"--config=" + p.i.path(p.name+".conf"), "--stanza=bench", "--log-level-console=warn", "--log-level-file=off",
	}, args...)...)
}

// renew empties the repository and makes the stanza again.
func (p pgbackrest) renew(context.Context) error {
	if err := os.RemoveAll(p.i.path(p.name)); err != nil {
		return err
	}
	conf := fmt.Sprintf(`[global]
repo1-path=%s
repo1-bundle=y
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=%s
repo1-retention-full=9
lock-path=%s
spool-path=%s
process-max=2
start-fast=y
archive-check=n
archive-mode-check=n
%s
[bench]
pg1-path=%s
pg1-socket-path=%s
pg1-port=%d
pg1-user=postgres
`, p.i.path(p.name), strings.ReplaceAll(password, " ", "-"), p.i.path(p.name+".lock"), p.i.path(p.name+".spool"), p.extra,
		p.i.server.DataDir, p.i.server.Socket, p.i.server.Port)
	if err := os.WriteFile(p.i.path(p.name+".conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	if out, err := p.command("stanza-create").CombinedOutput(); err != nil {
		return fmt.Errorf("pgbackrest stanza-create: %w\n%s", err, indent(string(out)))
	}
	return nil
}

func (p pgbackrest) variant(label, kind string, before func(context.Context) error) *variant {
	return &variant{
		name: label, before: before,
		command: func() *exec.Cmd { return p.command("--type="+kind, "backup") },
		stored:  func() (int64, error) { return size(p.i.path(p.name)) },
	}
}

// benchCluster compares full and unchanged base backups, and restores, of about 1 GB at scale 1. Neither side
// archives WAL here: cofre copies what makes its backup consistent into it, pgBackRest runs with archive-check=n.
// Both verify page checksums.
func benchCluster(ctx context.Context, b *bench) error {
	if _, err := exec.LookPath("pgbackrest"); err != nil {
		return fmt.Errorf("%w (apt-get install pgbackrest)", err)
	}
	i, err := installCluster(ctx, b)
	if err != nil {
		return err
	}
	defer i.close()
	zst := pgbackrest{i, "pgbr-zst", "compress-type=zst\ncompress-level=1"}
	lz4 := pgbackrest{i, "pgbr-lz4", "compress-type=lz4"}
	cofre := func(label, repository, compression string, before func(context.Context) error) *variant {
		return &variant{
			name: label,
			before: func(ctx context.Context) error {
				if before != nil {
					return before(ctx)
				}
				return i.newClusterRepository(repository, compression)
			},
			command: func() *exec.Cmd { return i.cofreCommand(repository, "backup", "cluster", "--jobs", "2") },
			stored:  func() (int64, error) { return size(i.path(repository)) },
		}
	}
	nothing := func(context.Context) error { return nil }
	full := []*variant{
		zst.variant("pgbackrest zst-1 + aes", "full", zst.renew),
		cofre("cofre backup cluster", "repo", "zstd-fastest", nil),
		lz4.variant("pgbackrest lz4 + aes", "full", lz4.renew),
		cofre("cofre backup cluster (s2)", "repo-s2", "s2", nil),
	}
	if err := interleave(ctx, b.rounds, full); err != nil {
		return err
	}
	fmt.Println("full")
	table(full[:2], full[0].name)
	table(full[2:], full[2].name)

	unchanged := []*variant{
		zst.variant("pgbackrest zst-1 + aes", "incr", nothing),
		cofre("cofre backup cluster", "repo", "", nothing),
	}
	if err := interleave(ctx, b.rounds, unchanged); err != nil {
		return err
	}
	fmt.Println("\nunchanged again")
	table(unchanged, unchanged[0].name)

	target := i.path("restored")
	gone := func(context.Context) error { return os.RemoveAll(target) }
	restores := []*variant{
		{
			name:    "pgbackrest restore",
			before:  func(ctx context.Context) error { _ = gone(ctx); return os.Mkdir(target, 0o700) },
			command: func() *exec.Cmd { return zst.command("--pg1-path="+target, "restore") },
			after:   gone,
		},
		{
			name: "cofre restore cluster", before: gone, after: gone,
			command: func() *exec.Cmd {
				return i.cofreCommand("repo", "restore", "cluster", "latest", "--to", target, "--jobs", "2", "--yes")
			},
		},
	}
	if err := interleave(ctx, b.rounds, restores); err != nil {
		return err
	}
	fmt.Println("\nrestore into an empty directory")
	table(restores, restores[0].name)
	return nil
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
