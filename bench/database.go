package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres/throwaway"
)

// installation is a throwaway server with the data to dump, and a cofre.yaml that points at it.
type installation struct {
	b      *bench
	server *throwaway.Server
	dir    string
}

const (
	database = "bench"
	password = "bench repository password"
)

// install makes the data: pgbench's accounts, JSON-like documents, and Portuguese text, in the proportions of
// facts/kopia.md, section 4; one table holds about 1 % of the bytes. About 0.6 GB of COPY text at scale 1.
func install(ctx context.Context, b *bench, name string) (*installation, error) {
	server, err := throwaway.Start(ctx, throwaway.Options{Conf: []string{
		"shared_buffers = 512MB", "max_wal_size = 8GB", "autovacuum = off", "max_connections = 60",
	}})
	if err != nil {
		return nil, err
	}
	i := &installation{b: b, server: server, dir: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return nil, err
	}
	if err := i.query(ctx, "postgres", "CREATE DATABASE "+database); err != nil {
		return nil, err
	}
	if out, err := i.tool("pgbench", "-i", "-q", "-s", fmt.Sprint(25*b.scale), database).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgbench: %w\n%s", err, indent(string(out)))
	}
	rows := 1_000_000 * b.scale
	return i, i.query(ctx, database,
		`CREATE TABLE answers (id bigint PRIMARY KEY, changed_at timestamptz NOT NULL, body jsonb NOT NULL)`,
		fmt.Sprintf(`INSERT INTO answers SELECT g, timestamptz '2026-01-01' + g * interval '1 second', %s FROM generate_series(1::bigint, %d) g`, document("0"), rows),
		`CREATE INDEX ON answers (changed_at)`,
		`CREATE TABLE rescue_me (id bigint PRIMARY KEY, note text NOT NULL)`,
		fmt.Sprintf(`INSERT INTO rescue_me SELECT g, md5(g::text) || ' evidência anexada ao controle ' || md5((g*7)::text) FROM generate_series(1::bigint, %d) g`, 65_000*b.scale),
		`VACUUM ANALYZE`)
}

// document is an expression for the body of answer g; version changes what it yields.
func document(version string) string {
	return `jsonb_build_object('control', 'A.' || (g % 114), 'status', (ARRAY['conforme','não conforme','parcial','não aplicável'])[1 + g % 4],
	  'owner', md5((g % 977)::text), 'score', (g * 7919) % 101, 'version', ` + version + `,
	  'comment', repeat('Evidência revisada pelo responsável do processo. ', 1 + (g % 3)::int) || md5(g::text || ` + version + `::text))`
}

func (i *installation) dsn(db string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s", i.server.Socket, i.server.Port, db)
}

func (i *installation) query(ctx context.Context, db string, statements ...string) error {
	conn, err := pgx.Connect(ctx, i.dsn(db))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", firstLine(s), err)
		}
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// tool runs one of PostgreSQL's own programs against the server.
func (i *installation) tool(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(i.server.BinDir, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+i.server.Socket, fmt.Sprintf("PGPORT=%d", i.server.Port), "PGUSER=postgres")
	return cmd
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

// cofreCommand runs cofre with a repository of that name, made by newRepository.
func (i *installation) cofreCommand(repository string, args ...string) *exec.Cmd {
	cmd := exec.Command(i.b.cofre, append(args, "--config", i.path(repository+".yaml"))...)
	cmd.Env = append(os.Environ(), "BENCH_PASSWORD="+password)
	return cmd
}

// newRepository makes an empty repository and the configuration that uses it.
func (i *installation) newRepository(name string) error {
	return i.newRepositoryWith(name, fmt.Sprintf("database:\n  url: postgres://postgres@/%s?host=%s&port=%d\n",
		database, i.server.Socket, i.server.Port), "")
}

func (i *installation) newRepositoryWith(name, sources, settings string) error {
	for _, p := range []string{i.path(name), i.path(name + ".state")} {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	yaml := fmt.Sprintf("name: bench\nrepository:\n  url: %s\n  password: env:BENCH_PASSWORD\n%sstate_dir: %s\n%s",
		i.path(name), settings, i.path(name+".state"), sources)
	if err := os.WriteFile(i.path(name+".yaml"), []byte(yaml), 0o600); err != nil {
		return err
	}
	out, err := i.cofreCommand(name, "init").CombinedOutput()
	if err != nil {
		return fmt.Errorf("cofre init: %w\n%s", err, indent(string(out)))
	}
	return nil
}

func (i *installation) close() { _ = i.server.Close() }

// dumpVariants are cofre and what the guide and its readers use.
func (i *installation) dumpVariants() []*variant {
	custom, directory := i.path("z9.dump"), i.path("z1.dir")
	return []*variant{
		{
			name:    "pg_dump -Fc -Z9",
			before:  func(context.Context) error { return os.RemoveAll(custom) },
			command: func() *exec.Cmd { return i.tool("pg_dump", "-Fc", "-Z9", "-f", custom, database) },
			stored:  func() (int64, error) { return size(custom) },
		},
		{
			name:    "pg_dump -Fd -j2 -Z1",
			before:  func(context.Context) error { return os.RemoveAll(directory) },
			command: func() *exec.Cmd { return i.tool("pg_dump", "-Fd", "-j2", "-Z1", "-f", directory, database) },
			stored:  func() (int64, error) { return size(directory) },
		},
		{
			name:    "cofre backup database",
			before:  func(context.Context) error { return i.newRepository("repo") },
			command: func() *exec.Cmd { return i.cofreCommand("repo", "backup", "database", "--jobs", "2") },
			stored:  func() (int64, error) { return size(i.path("repo")) },
		},
	}
}

func benchDump(ctx context.Context, b *bench) error {
	i, err := install(ctx, b, "dump")
	if err != nil {
		return err
	}
	defer i.close()
	variants := i.dumpVariants()
	if err := interleave(ctx, b.rounds, variants); err != nil {
		return err
	}
	table(variants, "pg_dump -Fc -Z9")
	table(variants[1:], "pg_dump -Fd -j2 -Z1")
	return nil
}

func benchRestore(ctx context.Context, b *bench) error {
	i, err := install(ctx, b, "restore")
	if err != nil {
		return err
	}
	defer i.close()
	// One dump of each kind; the restores are what is measured.
	dumps := i.dumpVariants()
	if err := interleave(ctx, 1, dumps); err != nil {
		return err
	}
	fresh := func(ctx context.Context) error {
		return i.query(ctx, "postgres", "DROP DATABASE IF EXISTS restored", "CREATE DATABASE restored TEMPLATE template0", "CHECKPOINT")
	}
	gone := func(ctx context.Context) error {
		return i.query(ctx, "postgres", "DROP DATABASE IF EXISTS restored", "CHECKPOINT")
	}
	variants := []*variant{
		{
			name:   "pg_restore (custom, one job)",
			before: fresh, after: gone,
			command: func() *exec.Cmd { return i.tool("pg_restore", "-d", "restored", i.path("z9.dump")) },
		},
		{
			name:   "pg_restore -j2 (directory)",
			before: fresh, after: gone,
			command: func() *exec.Cmd { return i.tool("pg_restore", "-j2", "-d", "restored", i.path("z1.dir")) },
		},
		{
			name:   "pg_restore -j2 + vacuumdb -Z",
			before: fresh, after: gone,
			command: func() *exec.Cmd {
				cmd := i.tool("pg_restore", "-j2", "-d", "restored", i.path("z1.dir"))
				return shell(cmd, cmd.Path+` -j2 -d restored `+i.path("z1.dir")+` && `+filepath.Join(i.server.BinDir, "vacuumdb")+` -Z -j2 restored`)
			},
		},
		{
			name:   "cofre restore database",
			before: gone, after: gone,
			command: func() *exec.Cmd {
				return i.cofreCommand("repo", "restore", "database", "latest", "--to", "restored", "--jobs", "2", "--yes")
			},
		},
	}
	if err := interleave(ctx, b.rounds, variants); err != nil {
		return err
	}
	table(variants, "pg_restore -j2 (directory)")
	fmt.Println("\ncofre's restore includes ANALYZE, the row counts and the checksums; the line before it adds ANALYZE to pg_restore")
	return nil
}

// shell replaces cmd's program by a shell line, with the same environment.
func shell(cmd *exec.Cmd, line string) *exec.Cmd {
	s := exec.Command("sh", "-c", line)
	s.Env = cmd.Env
	return s
}

func benchTable(ctx context.Context, b *bench) error {
	i, err := install(ctx, b, "table")
	if err != nil {
		return err
	}
	defer i.close()
	if err := i.newRepository("repo"); err != nil {
		return err
	}
	if out, err := i.cofreCommand("repo", "backup", "database").CombinedOutput(); err != nil {
		return fmt.Errorf("cofre backup: %w\n%s", err, indent(string(out)))
	}
	variants := []*variant{
		{
			name: "cofre restore database",
			before: func(ctx context.Context) error {
				return i.query(ctx, "postgres", "DROP DATABASE IF EXISTS restored", "CHECKPOINT")
			},
			command: func() *exec.Cmd {
				return i.cofreCommand("repo", "restore", "database", "latest", "--to", "restored", "--jobs", "2", "--yes")
			},
		},
		{
			name:   "cofre restore table rescue_me",
			before: func(ctx context.Context) error { return i.query(ctx, database, "DROP SCHEMA IF EXISTS rescue CASCADE") },
			command: func() *exec.Cmd {
				return i.cofreCommand("repo", "restore", "table", "public.rescue_me", "latest", "--to", "rescue", "--yes")
			},
		},
	}
	if err := interleave(ctx, b.rounds, variants); err != nil {
		return err
	}
	table(variants, "cofre restore database")
	return nil
}

// benchDaily stores seven dumps, with 1 % of the rows changed between them: among the newest tenth, as an
// application does, and then scattered evenly, where deduplication has nothing to find.
func benchDaily(ctx context.Context, b *bench) error {
	for _, how := range []struct {
		name  string
		where func(id string, rows, day int) string
	}{
		{"newest", func(id string, rows, day int) string {
			return fmt.Sprintf("%s > %d AND %s %% 10 = %d", id, rows/10*9, id, day)
		}},
		{"scattered", func(id string, _, day int) string { return fmt.Sprintf("%s %% 100 = %d", id, day) }},
	} {
		i, err := install(ctx, b, "daily-"+how.name)
		if err != nil {
			return err
		}
		if err := i.newRepository("repo"); err != nil {
			return err
		}
		var z9 int64
		fmt.Printf("1 %% changed, %s\n\n| day | pg_dump -Fc -Z9 MB, in all | cofre repository MB | ratio |\n|---|---|---|---|\n", how.name)
		for day := 1; day <= 7; day++ {
			if day > 1 {
				accounts := fmt.Sprintf("UPDATE pgbench_accounts SET abalance = abalance + %d WHERE %s", day, how.where("aid", 2_500_000*b.scale, day))
				answers := fmt.Sprintf("UPDATE answers SET body = (SELECT %s FROM (SELECT answers.id AS g) x) WHERE %s", document(fmt.Sprint(day)), how.where("id", 1_000_000*b.scale, day))
				if err := i.query(ctx, database, accounts, answers, "VACUUM pgbench_accounts, answers"); err != nil {
					return err
				}
			}
			variants := i.dumpVariants()
			variants[2].before = nil // into the same repository
			if err := interleave(ctx, 1, []*variant{variants[0], variants[2]}); err != nil {
				return err
			}
			z9 += variants[0].samples[0].stored
			cofre := variants[2].samples[0].stored
			fmt.Printf("| %d | %.1f | %.1f | %.3f |\n", day, float64(z9)/1e6, float64(cofre)/1e6, float64(cofre)/float64(z9))
		}
		fmt.Println()
		i.close()
	}
	return nil
}
