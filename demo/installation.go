package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

const databaseName = "trustlayer"

var (
	//go:embed schema.sql
	schema string
	//go:embed schema_after.sql
	schemaAfter string
)

var createRoles = []string{
	"CREATE ROLE trustlayer_owner NOLOGIN",
	"CREATE ROLE trustlayer_reader NOLOGIN",
	"CREATE ROLE trustlayer_auditor NOLOGIN BYPASSRLS",
	"CREATE ROLE trustlayer_app LOGIN CONNECTION LIMIT 50",
	"GRANT trustlayer_reader TO trustlayer_app",
	"ALTER ROLE trustlayer_app SET statement_timeout = '30s'",
	"CREATE DATABASE " + databaseName + " OWNER trustlayer_owner TEMPLATE template0",
	"ALTER DATABASE " + databaseName + " SET timezone = 'America/Sao_Paulo'",
	"ALTER ROLE trustlayer_app IN DATABASE " + databaseName + " SET search_path = grc, public",
	"REVOKE CONNECT ON DATABASE " + databaseName + " FROM PUBLIC",
	"GRANT CONNECT ON DATABASE " + databaseName + " TO trustlayer_app, trustlayer_reader, trustlayer_auditor",
	"COMMENT ON DATABASE " + databaseName + " IS 'Instalação de demonstração'",
}

var dropRoles = []string{"DROP ROLE trustlayer_app, trustlayer_reader, trustlayer_auditor, trustlayer_owner"}

// install makes the installation, and looks at it as it is before anything happens to it.
func (s *stage) install(ctx context.Context) error {
	err := s.timed(cofre.Say("demo.took_making", "making the installation"), func() error {
		return errors.Join(createDatabase(ctx, s.server), createFiles(s.path("opt")))
	})
	if err != nil {
		return fmt.Errorf("demonstration: make the installation: %w", err)
	}
	if s.before, err = s.look(ctx); err != nil {
		return err
	}
	rows, size, version, err := dimensions(ctx, s.server)
	if err != nil {
		return err
	}
	s.tell(cofre.Say("demo.server", "PostgreSQL {{.version}} of its own, database {{.database}}: {{.tables}} tables, {{.rows}} rows, {{.size}} MB", "version", version, "database", databaseName, "tables", len(s.before[partTables]), "rows", rows, "size", size>>20))
	s.tell(cofre.Say("demo.contents", "  triggers that log every change, row security, roles, sequences, a materialised view, partitions, large objects, text in Portuguese"))
	s.tell(cofre.Say("demo.files", "{{.folder}}: {{.count}} files, folders and links", "folder", s.path("opt"), "count", len(s.before[partFiles])))
	return nil
}

func connect(ctx context.Context, server *throwaway.Server, database string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, server.URL(database))
}

func execute(ctx context.Context, server *throwaway.Server, database string, statements ...string) (err error) {
	conn, err := connect(ctx, server, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

func dropEverything(ctx context.Context, server *throwaway.Server) error {
	statements := append([]string{"DROP DATABASE " + databaseName + " WITH (FORCE)"}, dropRoles...)
	if err := execute(ctx, server, "postgres", statements...); err != nil {
		return fmt.Errorf("demonstration: destroy the database: %w", err)
	}
	return nil
}

// asOwner makes what follows belong to the owner of the database, as in an installation that was set up with care.
const asOwner = "SET ROLE trustlayer_owner"

func createDatabase(ctx context.Context, server *throwaway.Server) (err error) {
	if err := execute(ctx, server, "postgres", createRoles...); err != nil {
		return err
	}
	if err := execute(ctx, server, databaseName, "ALTER SCHEMA public OWNER TO trustlayer_owner", asOwner, schema); err != nil {
		return err
	}
	conns := make([]*pgconn.PgConn, 0, 2)
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
		}
	}()
	for range cap(conns) {
		c, err := connect(ctx, server, databaseName)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	if err := copyRows(ctx, conns); err != nil {
		return err
	}
	return execute(ctx, server, databaseName, asOwner, schemaAfter, largeObjects, "ANALYZE")
}

// largeObjects are three signed documents, of which one is larger than a page of pg_largeobject.
const largeObjects = `
SELECT lo_from_bytea(900001, convert_to(repeat('documento assinado ', 3), 'UTF8'));
SELECT lo_from_bytea(900002, decode(repeat('00ff10a5', 20000), 'hex'));
SELECT lo_from_bytea(900003, '');
GRANT SELECT ON LARGE OBJECT 900001 TO trustlayer_reader;
COMMENT ON LARGE OBJECT 900001 IS 'termo de adesão';`

// createFiles makes the configuration files beside the database.
func createFiles(root string) error {
	w := newWriter(99)
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{"trustlayer/.env", "POSTGRES_PASSWORD=" + fmt.Sprintf("%016x", w.Uint64()) + "\nJWT_SECRET=" + fmt.Sprintf("%032x", w.Uint64()) + "\nSITE_URL=https://trustlayer.exemplo.com.br\n", 0o600},
		{"trustlayer/docker-compose.yml", compose, 0o644},
		{"trustlayer/scripts/backup.sh", "#!/bin/sh\nexec cofre backup\n", 0o755},
		{"nginx/sites-available/trustlayer.conf", nginx, 0o644},
		{"nginx/certs/archive/fullchain1.pem", "-----BEGIN CERTIFICATE-----\n" + strings.Repeat(fmt.Sprintf("%064x\n", w.Uint64()), 24) + "-----END CERTIFICATE-----\n", 0o644},
		{"nginx/certs/archive/privkey1.pem", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat(fmt.Sprintf("%064x\n", w.Uint64()), 12) + "-----END PRIVATE KEY-----\n", 0o400},
		{"trustlayer/modelos/relatório anual – conformidade.html", "<h1>" + w.title() + "</h1>\n<p>" + w.document(20) + "</p>\n", 0o640},
	} {
		p := filepath.Join(root, f.path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, []byte(f.text), 0o600); err != nil {
			return err
		}
		at := start.Add(time.Duration(w.IntN(500)) * time.Hour)
		if err := errors.Join(os.Chmod(p, f.mode), os.Chtimes(p, at, at)); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"nginx/sites-enabled/trustlayer.conf": "../sites-available/trustlayer.conf",
		"nginx/certs/fullchain.pem":           "archive/fullchain1.pem",
		"nginx/certs/privkey.pem":             "archive/privkey1.pem",
	} {
		p := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, p); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "nginx/certs/archive"), 0o700); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	// www-data and its group, by Debian's numbers: only root can give files away.
	return os.Lchown(filepath.Join(root, "trustlayer/.env"), 33, 33)
}

const compose = `services:
  frontend:
    image: registry.exemplo.com.br/trustlayer/frontend:1.2.0
    env_file: .env
    depends_on: [db, storage]
  db:
    image: supabase/postgres:15.8.1.060
    volumes: ["./data/db:/var/lib/postgresql/data"]
  storage:
    image: supabase/storage-api:v1.19.1
    volumes: ["./data/storage:/var/lib/storage"]
`

const nginx = `server {
  listen 443 ssl http2;
  server_name trustlayer.exemplo.com.br;
  ssl_certificate     /etc/nginx/certs/fullchain.pem;
  ssl_certificate_key /etc/nginx/certs/privkey.pem;
  location / { proxy_pass http://127.0.0.1:3000; }
}
`
