package basebackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/view"
)

// The archive is asked every archivePoll whether the segments have arrived, and the operator is told what is
// being waited for every archiveTell.
const (
	archivePoll = 200 * time.Millisecond
	archiveTell = 10 * time.Second
)

// proveWAL waits until the archive holds every segment that the backup needs. A server that is idle does not make
// it wait: ending a backup on a primary switches to a new segment. If the archive does not receive them in
// time, otherwise takes them into the component: a base backup that restores is worth more than none.
func (k *capture) proveWAL(ctx context.Context, otherwise func(context.Context) error) error {
	names := segments(k.branches, k.facts.WALSegmentSize)
	began, told := time.Now(), time.Time{}
	for {
		missing, err := k.cfg.Archive.Missing(ctx, k.facts.SystemID, names)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && len(missing) == 0 {
			return errors.Join(k.proveOwn(ctx, names, otherwise), k.tellArchiving(ctx))
		}
		if time.Since(told) > archiveTell {
			// What is refused once is refused for ever, and nothing behind it comes: there is nothing to wait for.
			if a, err := k.cfg.archiver(ctx, k.conn, k.server); err == nil && a.Cause != "" && pgdata.IsSegmentName(a.Failing) {
				what, hint := a.Trouble()
				k.facts.ForeignWAL = a.Failing
				k.isForeign(cofre.Series(what, hint))
				return otherwise(ctx)
			}
		}
		var why cofre.Message
		if err == nil {
			why = k.whyMissing(ctx, missing)
		} else {
			why = cofre.Say("cluster.archive_unasked", "the archive cannot be asked: {{.error}}", "error", err)
		}
		if time.Since(began) > k.cfg.WALTimeout {
			k.warn(cofre.Say("cluster.wal_included", "the WAL that makes the backup consistent is in the component, because it did not reach the archive within {{.time}}: {{.why}}", "time", k.cfg.WALTimeout, "why", why))
			if err := otherwise(ctx); err != nil {
				return fmt.Errorf("%s; %w", why, err)
			}
			return nil
		}
		if time.Since(told) > archiveTell {
			told = time.Now()
			k.note(cofre.Say("cluster.waiting", "waiting for the WAL archive, at most {{.time}}: {{.why}}", "time", k.cfg.WALTimeout, "why", why))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(archivePoll):
		}
	}
}

// whyMissing says what the server knows about segments that do not arrive.
func (k *capture) whyMissing(ctx context.Context, missing []string) cofre.Message {
	text := cofre.SayN("cluster.segments_missing", len(missing), "segment {{.first}} is not there yet", "{{.n}} segments are not there yet, {{.first}} the first", "first", missing[0])
	if a, err := k.cfg.archiver(ctx, k.conn, k.server); err == nil {
		if what, _ := a.Trouble(); !what.IsZero() {
			return cofre.Series(text, what)
		}
	}
	return text
}

// tellArchiving warns if the server's archiving is in trouble though this backup has what it needs: what comes after
// it will not be there.
func (k *capture) tellArchiving(ctx context.Context) error {
	if k.foreign != "" {
		return nil
	}
	a, err := k.cfg.archiver(ctx, k.conn, k.server)
	if err != nil {
		return err
	}
	if what, hint := a.Trouble(); !what.IsZero() {
		k.warn(cofre.Say("cluster.not_archived", "{{.what}}: what follows this base backup is not archived; {{.hint}}", "what", what, "hint", hint))
	}
	return nil
}

// includeWAL copies the segments that make the backup consistent from pg_wal into the component, with the
// histories of the timelines.
func (k *capture) includeWAL(ctx context.Context, dir string) error {
	for _, name := range segments(k.branches, k.facts.WALSegmentSize) {
		if err := k.includeSegment(ctx, dir, name); err != nil {
			return err
		}
	}
	histories, err := filepath.Glob(filepath.Join(dir, "*.history"))
	if err != nil {
		return err
	}
	for _, h := range histories {
		b, err := datadir.Read(h)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := k.putData(ctx, path.Join("pg_wal", filepath.Base(h)), b); err != nil {
			return err
		}
	}
	k.facts.WALIncluded = true
	return nil
}

func (k *capture) includeSegment(ctx context.Context, dir, name string) error {
	f, err := view.View{Root: dir}.Open(filepath.Join(dir, name), inside.Anyone)
	if gone(err) {
		return cofre.WithHint(fmt.Errorf("WAL segment %s, which the backup needs, is no longer in pg_wal: %w", name, cofre.ErrNotFound),
			cofre.Say("cluster.wal_keep_size", "raise wal_keep_size or max_slot_wal_keep_size above the WAL that a backup's duration makes, or configure a WAL archive"))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != k.facts.WALSegmentSize {
		return fmt.Errorf("WAL segment %s has %d bytes, not %d: %w", name, info.Size(), k.facts.WALSegmentSize, cofre.ErrCorrupt)
	}
	first := make([]byte, pgdata.WALPageSize)
	if _, err := io.ReadFull(f, first); err != nil {
		return err
	}
	// A segment that was recycled for the future has another name; one that has this name and not its content
	// was never written.
	parsed, err := pgdata.ParseWALName(name)
	if err != nil {
		return err
	}
	page, err := pgdata.CheckSegment(parsed, first)
	if err != nil {
		return err
	}
	if page.SystemID != k.facts.SystemID {
		return fmt.Errorf("WAL segment %s is of cluster %s, not %s: %w", name, page.SystemID, k.facts.SystemID, cofre.ErrCorrupt)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	reader := &fileReader{f: f, left: info.Size()}
	e := entryOf(path.Join(physical.DataDir, "pg_wal", name), info)
	e.Layout = cofre.LayoutWidePages // nothing in it changes any more
	if _, err := k.given.Session.Put(ctx, e, reader); err != nil {
		return err
	}
	k.facts.Files = append(k.facts.Files, physical.FileFacts{Path: e.Path, Size: reader.size, CRC32C: reader.crc, Hashes: reader.hashes})
	// As pg_basebackup does: the restored cluster must not archive again what the original has archived.
	return k.putData(ctx, path.Join("pg_wal/archive_status", name+".done"), nil)
}
