package basebackup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// A segment of the right name in the archive may be another cluster's: of a clone, or of a second recovery that took the
// same timeline. A restore would replay it without a word. So a base backup that relies on the archive compares what is
// there with what the server has; if that differs it carries its own WAL and says that no archive is to be used with it.

// timelineNow is the timeline that the server writes; 0 if it writes none.
func (k *capture) timelineNow(ctx context.Context) (cofre.Timeline, error) {
	if k.server.InRecovery {
		return 0, nil
	}
	var segment string
	if err := k.conn.QueryRow(ctx, "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())").Scan(&segment); err != nil {
		return 0, fmt.Errorf("read the timeline of the cluster: %w", err)
	}
	w, err := pgdata.ParseWALName(segment)
	return w.Timeline, err
}

// proveHistory makes sure that the archive has the history of the timeline that the server writes, and archives it if
// it is missing: a server that was promoted while it archived nothing never hands it over.
func (k *capture) proveHistory(ctx context.Context) error {
	if k.cfg.Archive == nil {
		return nil
	}
	tli, err := k.timelineNow(ctx)
	if err != nil || tli <= 1 {
		return err
	}
	content, err := k.historyContent(ctx, tli)
	if err != nil {
		k.warn(cofre.Say("cluster.history_unknown", "it is not known whether the history of timeline {{.timeline}} is archived: {{.error}}", "timeline", tli, "error", err))
		return nil
	}
	name := pgdata.HistoryName(tli)
	if _, err := pgdata.ParseHistory(tli, content); err != nil {
		k.isForeign(cofre.SayError(err))
		return nil
	}
	own, err := k.cfg.Archive.Holds(ctx, k.facts.SystemID, name, content)
	if errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) {
		if err = k.cfg.Archive.Put(ctx, k.facts.SystemID, name, content); err == nil {
			k.note(cofre.Say("cluster.history_archived", "{{.file}} was not in the archive, or was damaged there, and is archived now: nothing is recovered along timeline {{.timeline}} without it", "file", name, "timeline", tli))
			return nil
		}
		own = false
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		k.isForeign(cofre.Say("cluster.history_uncompared", "{{.file}} cannot be compared with the archive's: {{.error}}", "file", name, "error", err))
	case !own:
		k.isForeign(cofre.Say("cluster.history_foreign", "{{.file}} in the archive is of another cluster, which took timeline {{.timeline}} too", "file", name, "timeline", tli))
	}
	return nil
}

// proveReadable makes sure that what is archived can be read. A base backup that relied on an archive which nobody reads would not
// restore: it carries its own WAL instead.
func (k *capture) proveReadable(ctx context.Context) error {
	if k.cfg.Archive == nil {
		return nil
	}
	err := k.cfg.Archive.Readable(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if k.unreadable = err != nil; k.unreadable {
		k.warn(cofre.Say("cluster.archive_unreadable", "the archived WAL cannot be read: {{.cause}}. The component carries its own WAL, and restores to the end of the backup. {{.hint}}", "cause", err, "hint", cofre.HintOf(err)))
	}
	return nil
}

// mend has the archive store afresh what is known to be damaged in it. What nobody has any more is told of: recovery from older
// base backups ends before it.
func (k *capture) mend(ctx context.Context) error {
	if k.cfg.Archive == nil || k.foreign != "" {
		return nil
	}
	healed, lost, err := k.cfg.Archive.Mend(ctx, k.facts.SystemID, k.segmentContent)
	for _, what := range healed {
		k.note(what)
	}
	for _, what := range lost {
		k.warn(what)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		k.warn(cofre.Say("cluster.wal_not_healed", "what is damaged in the archive could not be stored afresh: {{.why}}", "why", err))
	}
	return nil
}

// isForeign records that the archive is of no use to this backup.
func (k *capture) isForeign(why cofre.Message) {
	k.foreign = why.Text
	k.warn(cofre.Say("cluster.foreign", "the WAL in the archive is not this cluster's: {{.why}}. The component carries its own WAL and restores to the end of the backup, no further. "+
		"Recover this cluster once more with cofre restore cluster, which takes a timeline of its own, or give it a repository of its own", "why", why))
}

// historyContent reads the history of a timeline from the server.
func (k *capture) historyContent(ctx context.Context, tli cofre.Timeline) ([]byte, error) {
	if k.walDir != "" {
		return datadir.Read(filepath.Join(k.walDir, pgdata.HistoryName(tli)))
	}
	var content []byte
	err := k.replicating(ctx, func(pg *pgconn.PgConn) error {
		res, err := pg.Exec(ctx, fmt.Sprintf("TIMELINE_HISTORY %d", tli)).ReadAll()
		if err != nil {
			return err
		}
		if len(res) != 1 || len(res[0].Rows) != 1 || len(res[0].Rows[0]) != 2 {
			return errors.New("the server's answer has no row")
		}
		content = append([]byte{}, res[0].Rows[0][1]...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask the server for the history of timeline %d: %w", tli, err)
	}
	return content, nil
}

// proveOwn compares the segments that the backup needs, as they are in the archive, with the server's: all that it still
// has if the data directory is visible, and else the last, in which the backup ended.
func (k *capture) proveOwn(ctx context.Context, names []string, otherwise func(context.Context) error) error {
	if k.walDir == "" {
		names = names[len(names)-1:]
	}
	compared := false
	for _, name := range names {
		content, err := k.segmentContent(ctx, name)
		if gone(err) {
			continue // archived, and recycled since
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			k.warn(cofre.Say("cluster.segment_uncompared", "segment {{.segment}} in the archive was not compared with the server's: {{.error}}", "segment", name, "error", err))
			return nil
		}
		own, err := k.cfg.Archive.Holds(ctx, k.facts.SystemID, name, content)
		if errors.Is(err, cofre.ErrCorrupt) {
			if err = k.cfg.Archive.Put(ctx, k.facts.SystemID, name, content); err == nil {
				own = true
				k.note(cofre.Say("cluster.wal_healed", "segment {{.name}} was damaged in the archive, and is stored afresh", "name", name))
			}
		}
		if err != nil {
			return fmt.Errorf("compare segment %s with the archive's: %w", name, err)
		}
		if !own {
			// A file that was recycled while it was read is no witness.
			if again, err := k.segmentContent(ctx, name); err != nil || !bytes.Equal(again, content) {
				continue
			}
			k.facts.ForeignWAL = name
			k.isForeign(cofre.Say("cluster.segment_foreign", "segment {{.segment}} there is another", "segment", name))
			return otherwise(ctx)
		}
		compared = true
	}
	if !compared {
		k.warn(cofre.Say("cluster.none_compared", "no segment in the archive could be compared with the server's, which has recycled them"))
	}
	return nil
}

// segmentContent reads a segment from the server.
func (k *capture) segmentContent(ctx context.Context, name string) ([]byte, error) {
	if k.walDir != "" {
		return datadir.Read(filepath.Join(k.walDir, name))
	}
	size := k.facts.WALSegmentSize
	s, err := pgdata.ParseSegment(name, size)
	if err != nil {
		return nil, err
	}
	content := make([]byte, 0, size)
	err = k.replicating(ctx, func(pg *pgconn.PgConn) error {
		pg.Frontend().SendQuery(&pgproto3.Query{String: fmt.Sprintf("START_REPLICATION PHYSICAL %s TIMELINE %d", s.Start(size), s.Timeline)})
		if err := pg.Frontend().Flush(); err != nil {
			return err
		}
		for int64(len(content)) < size {
			msg, err := pg.ReceiveMessage(ctx)
			if err != nil {
				return err
			}
			switch m := msg.(type) {
			case *pgproto3.ErrorResponse:
				return pgconn.ErrorResponseToPgError(m)
			case *pgproto3.CopyDone:
				return errors.New("the server ended the stream before the segment")
			case *pgproto3.CopyData:
				// w, where the data starts, where the WAL ends, the time: 8 bytes each.
				//
				// Source: https://www.postgresql.org/docs/18/protocol-replication.html, XLogData
				const header = 1 + 3*8
				if len(m.Data) > header && m.Data[0] == 'w' {
					content = append(content, m.Data[header:]...)
				}
			}
		}
		content = content[:size]
		return nil
	})
	return content, err
}

// replicating does something on a session of its own for replication.
func (k *capture) replicating(ctx context.Context, do func(*pgconn.PgConn) error) error {
	conn, err := postgres.Connect(ctx, k.cfg.Server.WithSettings(map[string]string{"replication": "true"}))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBound)
		defer cancel()
		_ = conn.Close(ctx) // it has given what it was for
	}()
	return do(conn.PgConn())
}
