package dump

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Options are the choices of a capture. The zero value is what a backup does.
type Options struct {
	// Jobs is how many tables are copied at once; 0 takes what the run says.
	Jobs int
	// LockTimeout is how long to wait for a table that is locked exclusively; 0 is a minute.
	LockTimeout time.Duration
	// SplitBytes is the size from which a table is copied in parts, in bytes; 0 is 256 MiB, -1 never splits.
	SplitBytes int64
	// RolePasswords puts the passwords of roles, as verifiers, into the globals. The role must be a superuser.
	RolePasswords bool
	// ExcludeTableData are patterns, as pg_dump has them, of tables whose definition is captured and whose rows
	// are not.
	ExcludeTableData []string
}

const (
	defaultLockTimeout = time.Minute
	defaultSplitBytes  = 256 << 20
)

// Source is a database that is captured. It is made by NewSource.
type Source struct {
	id     cofre.SourceID
	config postgres.Config
	o      Options
}

var (
	_ cofre.Source  = (*Source)(nil)
	_ cofre.Checker = (*Source)(nil)
)

// NewSource makes the source that captures the database of c.
func NewSource(id cofre.SourceID, c postgres.Config, o Options) *Source {
	o.LockTimeout = cmp.Or(o.LockTimeout, defaultLockTimeout)
	o.SplitBytes = cmp.Or(o.SplitBytes, defaultSplitBytes)
	return &Source{id, c, o}
}

// ID identifies the source within its installation.
func (s *Source) ID() cofre.SourceID { return s.id }

// Capture dumps the database into c.Session: all of it as it was at one moment, the archive's table of contents
// from pg_dump, the rows of every table by COPY, several at once.
//
//  1. One session exports a snapshot, locks every table against being dropped or rewritten, and proves that
//     none was rewritten between the two.
//  2. pg_dump writes the table of contents under that snapshot, to a pipe; then it is ended. Meanwhile the
//     facts and the fingerprint of the catalogs are read, and pg_dumpall writes the globals.
//  3. The tables are copied, the largest first, by that session and others that share its snapshot.
//  4. The facts are written.
//
// Errors: as of postgres.Connect; cofre.ErrDenied with the tables that the role may not read; cofre.ErrLocked
// with who holds the lock; cofre.ErrUnreachable if a connection is cut; *cofre.ToolError. Nothing is left on
// the server after any of them: no session, no lock, no child.
func (s *Source) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	var captured cofre.Captured
	err := s.retried(ctx, func(last bool) (err error) {
		captured, err = s.capture(ctx, c, last)
		return err
	})
	if err != nil {
		return cofre.Captured{}, postgres.Explain(fmt.Errorf("capture database %s: %w", s.config.DatabaseName(), err))
	}
	return captured, nil
}

// errChanged says that a table was changed in the moment between the snapshot and the lock. Nothing has been
// stored by then, so that the capture begins again.
var errChanged = errors.New("changed between the snapshot and its lock")

// attempts is how often a capture begins before it gives up on tables that keep changing.
const attempts = 5

func (s *Source) retried(ctx context.Context, capture func(last bool) error) error {
	for attempt := 1; ; attempt++ {
		err := capture(attempt == attempts)
		if !errors.Is(err, errChanged) || attempt == attempts || ctx.Err() != nil {
			return err
		}
	}
}

// dump is one attempt at a capture.
type dump struct {
	s       *Source
	c       *cofre.Capture
	conn    *pgx.Conn // exports the snapshot and holds the locks, until the end
	server  postgres.Server
	tools   postgres.Tools
	facts   logical.Facts
	tables  map[uint32]relation // by oid
	toc     *pgarchive.TOC
	snap    string
	globals []byte
	last    bool             // no attempt comes after this one
	catalog []cofre.ObjectID // the fingerprint, stored; nil if there is none
	mu      sync.Mutex       // of warn
	warn    []cofre.Message
	control *session    // conn, once it copies
	lacking atomic.Bool // something is missing, and a warning says what

	key       *rowhash.Key
	objectSum logical.Tally
}

func (s *Source) capture(ctx context.Context, c *cofre.Capture, last bool) (_ cofre.Captured, err error) {
	d := &dump{s: s, c: c, last: last}
	if d.conn, err = postgres.Connect(ctx, s.config); err != nil {
		return cofre.Captured{}, err
	}
	defer d.close()
	if err := d.begin(ctx); err != nil {
		return cofre.Captured{}, err
	}
	if err := d.lockTables(ctx); err != nil {
		return cofre.Captured{}, err
	}
	if err := d.describe(ctx); err != nil {
		return cofre.Captured{}, err
	}
	if err := d.copyAll(ctx); err != nil {
		return cofre.Captured{}, err
	}
	if err := d.putFacts(ctx); err != nil {
		return cofre.Captured{}, err
	}
	summary, err := json.Marshal(d.facts.Summary)
	captured := cofre.Captured{Facts: summary, Partial: d.lacking.Load()}
	for _, m := range d.warn {
		captured.Warn(m)
	}
	return captured, err
}

func (d *dump) close() {
	if d.control != nil {
		d.control.close()
		return
	}
	_ = postgres.Close(context.Background(), d.conn)
}

// begin prepares the session and exports the snapshot that everything of the capture is read in.
func (d *dump) begin(ctx context.Context) (err error) {
	if d.server, err = postgres.ReadServer(ctx, d.conn); err != nil {
		return err
	}
	if d.tools, err = postgres.FindTools(ctx, d.server.Version); err != nil {
		return err
	}
	if d.key, err = logical.OpenRowKey(d.c.Session); err != nil {
		return err
	}
	d.objectSum.Key = d.key
	f := &d.facts
	f.MoneyLocale, f.RowKey = postgres.MoneyLocale, logical.RowKeyID(d.key)
	f.Format, f.ServerVersion, f.ClientVersion, f.SystemID = 1, d.server.VersionText, d.tools.Version.String(), d.server.SystemID
	// Before the snapshot: a position read with it could already be behind transactions that it does not see.
	position := "pg_catalog.pg_current_wal_insert_lsn()"
	if d.server.InRecovery {
		position = "pg_catalog.pg_last_wal_replay_lsn()"
	}
	var lsn *string
	if err := d.conn.QueryRow(ctx, "SELECT "+position+"::text").Scan(&lsn); err != nil {
		return fmt.Errorf("read the position in the WAL: %w", err)
	}
	if lsn != nil {
		if f.LSN, err = cofre.ParseLSN(*lsn); err != nil {
			return err
		}
	}
	if _, err := d.conn.Exec(ctx, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return fmt.Errorf("begin the snapshot: %w", err)
	}
	err = d.conn.QueryRow(ctx, "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.statement_timestamp()").Scan(&d.snap, &f.TakenAt)
	if err != nil {
		return fmt.Errorf("export the snapshot: %w", err)
	}
	f.TakenAt = f.TakenAt.UTC()
	return nil
}

// describe gets the table of contents, the globals and the facts at the same time. Only when all are there is
// anything stored, so that a capture can begin again until then.
func (d *dump) describe(ctx context.Context) error {
	g, gctx := guard.WithContext(ctx)
	g.Go(func() (err error) {
		d.toc, err = d.readTOC(gctx)
		return err
	})
	g.Go(func() (err error) {
		d.globals, err = d.readGlobals(gctx)
		return err
	})
	g.Go(func() error { return d.noteReliances(gctx) })
	g.Go(func() error {
		if err := d.readFacts(gctx); err != nil {
			return err
		}
		return d.readFingerprint(gctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := d.settled(ctx); err != nil {
		return err
	}
	if err := d.completeFacts(ctx); err != nil {
		return err
	}
	if err := d.noteTexts(ctx); err != nil {
		return err
	}
	if err := d.putTOC(ctx); err != nil {
		return err
	}
	if _, err := d.c.Session.Put(ctx, d.factsEntry(logical.GlobalsFile, int64(len(d.globals))), bytes.NewReader(d.globals)); err != nil {
		return fmt.Errorf("store the globals: %w", err)
	}
	return d.putFingerprint(ctx)
}

// entry is what every file of the component is stored with.
func (d *dump) entry(path string, size int64) cofre.Entry {
	return cofre.Entry{
		Path: path, Mode: 0o600, ModTime: d.facts.TakenAt, Size: size, Layout: cofre.LayoutStream,
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
	}
}

// factsEntry is an entry of what we write ourselves.
func (d *dump) factsEntry(path string, size int64) cofre.Entry {
	e := d.entry(path, size)
	e.Layout = cofre.LayoutFacts
	return e
}

func (d *dump) putFacts(ctx context.Context) error {
	b, err := json.MarshalIndent(&d.facts, "", " ")
	if err != nil {
		return fmt.Errorf("write the facts: %w", err)
	}
	if _, err := d.c.Session.Put(ctx, d.factsEntry(logical.FactsFile, int64(len(b))), bytes.NewReader(b)); err != nil {
		return fmt.Errorf("store the facts: %w", err)
	}
	return nil
}

func (d *dump) observer() cofre.Observer {
	if d.c.Observer == nil {
		return cofre.Discard
	}
	return d.c.Observer
}

func (d *dump) warning(m cofre.Message) {
	d.mu.Lock()
	d.warn = append(d.warn, m)
	d.mu.Unlock()
	d.observer().Observe(cofre.Event{Type: cofre.TypeWarning}.Saying(m))
}
