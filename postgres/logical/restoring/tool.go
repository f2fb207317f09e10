package restoring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/pgrestore"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// restoreTool runs pg_restore against the staged database, from a directory that holds the table of contents
// and no rows.
type restoreTool struct {
	t   *Target
	obs cofre.Observer
	dir string
}

func (t *Target) openTool(obs cofre.Observer) (*restoreTool, error) {
	dir, err := os.MkdirTemp("", "cofre-restore-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the table of contents: %w", err)
	}
	r := &restoreTool{t, obs, dir}
	if err := r.writeTOC(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// writeTOC writes the table of contents as pg_restore gets it.
func (r *restoreTool) writeTOC() error {
	toc, err := r.t.adapted()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.dir, "toc.dat"), toc, 0o600); err != nil {
		return fmt.Errorf("write the table of contents: %w", err)
	}
	return nil
}

func (r *restoreTool) close() error { return os.RemoveAll(r.dir) }

// restore runs pg_restore for some entries of one section.
//
// Errors: the first thing pg_restore said that is not understood; *cofre.ToolError.
func (r *restoreTool) restore(ctx context.Context, section string, entries []*pgarchive.Entry, jobs int) (err error) {
	task := "restore " + section
	doing := cofre.Say("database.task_section", "restore {{.section}}", "section", section)
	r.obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Total: int64(len(entries)), Unit: cofre.UnitItems}.Doing(doing))
	defer func() {
		r.obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Done: int64(len(entries)), Total: int64(len(entries)), Unit: cofre.UnitItems, Err: err}.Doing(doing))
	}()
	list := filepath.Join(r.dir, section+".list")
	if err := r.writeList(list, entries); err != nil {
		return err
	}
	// With row security switched off, the refresh of a materialized view over a table with FORCE ROW LEVEL
	// SECURITY is an error, because it runs as the view's owner; it was filled under the policies, too.
	args := []string{"--format=directory", "--enable-row-security", "--section=" + section, "--use-list=" + list, "--jobs=" + strconv.Itoa(jobs), "--dbname=" + logical.ToolDatabase(r.t.staged)}
	if r.t.o.NoOwner {
		args = append(args, "--no-owner")
	}
	if r.t.o.NoPrivileges {
		args = append(args, "--no-privileges")
	}
	args = append(args, r.dir)

	// pg_restore goes on after an error, and --exit-on-error knows no list of harmless ones: it is ended from
	// here at the first message that is not understood.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var failed *pgrestore.Message
	l := &pgrestore.Listener{
		Unknown: func(m pgrestore.Message) { failed = &m; stop(errors.New("pg_restore reported an error")) },
		Known: func(m pgrestore.Message, why cofre.Message) {
			r.obs.Observe(cofre.Event{Type: cofre.TypeNote}.Doing(doing).Saying(cofre.Say("database.harmless", "{{.said}}: {{.why}}", "said", m.String(), "why", why)))
		},
		Passed: r.t.pass, Parallel: jobs > 1,
	}
	// Reaching the server anew, of several that a URL names, could end at another one: conn says which it was.
	conn, err := logical.Connect(ctx, r.t.o.Server.With(r.t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	command, err := r.t.server.tools.Command(r.t.o.Server.With(r.t.staged), conn, "pg_restore", args...)
	if err != nil {
		return err
	}
	if l.Ask, err = askInOurs(ctx, conn); err != nil {
		return err
	}
	command.Stderr = l
	err = process.Run(ctx, command)
	l.End()
	if failed != nil {
		return postgres.ExplainProgram(r.t.explainFailure(fmt.Errorf("%s: %s", task, failed), failed.Text), failed.Text)
	}
	var tool *cofre.ToolError
	if errors.As(err, &tool) && tool.Exit == 1 && l.WentOn() {
		return nil // all of its errors are harmless, or differences that are named, and it ran to its end
	}
	if err != nil {
		return postgres.ExplainProgram(fmt.Errorf("%s: %w", task, err), err.Error())
	}
	return nil
}

// askInOurs is what a pgrestore.Listener asks with, nil if the server speaks English.
func askInOurs(ctx context.Context, conn *pgx.Conn) (func(string) string, error) {
	var language string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.current_setting('lc_messages')").Scan(&language); err != nil {
		return nil, fmt.Errorf("ask for the language of the server: %w", err)
	}
	if english().MatchString(language) {
		return nil, nil
	}
	return func(command string) (code string) {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// Another job of pg_restore's may have locked what the statement needs, and must not wait for this.
			_, err := tx.Conn().PgConn().Exec(ctx, "SET LOCAL lock_timeout = '2s';"+command).ReadAll()
			return errors.Join(err, errUndone)
		})
		var server *pgconn.PgError
		switch {
		case errors.As(err, &server):
			code = server.Code
		case !errors.Is(err, errUndone):
			code = pgrestore.AskingLost
		}
		return code
	}, nil
}

var (
	english   = pattern.Lazy(`^(C|POSIX|en)([._@].*)?$`)
	errUndone = errors.New("undone")
)

func (r *restoreTool) writeList(path string, entries []*pgarchive.Entry) (err error) {
	keep := make(map[int]bool, len(entries))
	for _, e := range entries {
		keep[e.DumpID] = true
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the list for pg_restore: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := r.t.TOC.WriteList(f, func(e *pgarchive.Entry) bool { return keep[e.DumpID] }); err != nil {
		return fmt.Errorf("write the list for pg_restore: %w", err)
	}
	return nil
}
