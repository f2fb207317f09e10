package recovery

import (
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// CREATE DATABASE with STRATEGY file_copy, the only one up to 14, and ALTER DATABASE SET TABLESPACE copy a directory, and their
// record has the replay copy it again: from what is there then. While a base backup is taken its files are as they were at
// any moment up to its end. If they were changed, or removed, between the record and that end, the replay copies what came
// later, or only parts of it, and no WAL mends the copy.
//
// Source: PostgreSQL, src/backend/commands/dbcommands.c, CreateDatabaseUsingFileCopy, movedb and dbase_redo;
// https://www.postgresql.org/docs/18/continuous-archiving.html, Caveats.

// dirCopy is such a record in a base backup.
type dirCopy struct {
	from, to pgdata.DatabaseDir
	xid      uint32 // 0 of a move, which has none yet
	at       cofre.LSN
	done     bool      // committed: the copy is in use
	changed  cofre.LSN // where from was changed before the base backup had ended; 0 if it was not
}

func (l *ledger) copy(m pgdata.Moment) {
	if m.CopiedFrom != (pgdata.DatabaseDir{}) && m.Start < l.ends {
		l.copies = append(l.copies, &dirCopy{from: m.CopiedFrom, to: m.Dirs[0], xid: m.XID, at: m.Start})
	}
}

// change takes a change of a directory, or its removal, with which a copy is forgotten that went there.
func (l *ledger) change(m pgdata.Moment) {
	for _, c := range l.copies {
		if c.changed == 0 && m.Start < l.ends && slices.Contains(m.Dirs, c.from) {
			c.changed = m.Start
			c.done = c.done || c.xid == 0 && m.Kind == pgdata.MomentDatabaseDrop // what was moved is removed once that is committed
		}
	}
	if m.Kind == pgdata.MomentDatabaseDrop {
		l.copies = slices.DeleteFunc(l.copies, func(c *dirCopy) bool { return slices.Contains(m.Dirs, c.to) })
	}
}

// endCopies is the commit or abort of the transaction that made copies.
func (l *ledger) endCopies(m pgdata.Moment) {
	for _, c := range l.copies {
		c.done = c.done || c.xid == m.XID && m.Kind == pgdata.MomentCommit
	}
}

// torn names the databases that the replay has copied from what was changed.
func (l *ledger) torn() (out []cofre.Message) {
	for _, c := range l.copies {
		if !c.done || c.changed == 0 {
			continue
		}
		what := cofre.Say("recovery.database_copied", "the database with OID {{.to}} was copied from the one with OID {{.from}}", "to", c.to.Database, "from", c.from.Database)
		if c.to.Database == c.from.Database {
			what = cofre.Say("recovery.database_moved", "the database with OID {{.oid}} was moved to another tablespace", "oid", c.to.Database)
		}
		out = append(out, cofre.Say("recovery.torn", "{{.what}} at {{.at}}, while the base backup was taken, and its source was changed at {{.changed}}, before the base backup ended: what a recovery makes of it may be damaged", "what", what, "at", c.at, "changed", c.changed))
	}
	return out
}
