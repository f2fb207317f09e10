package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Answer is what a fetch found out about a file.
type Answer int

// The answers. Only Absent may be told to PostgreSQL as the end of WAL; see Exit.
const (
	Unknown   Answer = iota // a repository could not be asked, or what it gave is not the file
	Delivered               // the file is where it was asked for, whole and durable
	Absent                  // every repository was asked, one is the right one, and none has the file nor anything after it
	Gap                     // the file is not there, and WAL that comes after it is
)

// String is the answer in one word.
func (a Answer) String() string {
	return [...]string{"unknown", "delivered", "absent", "gap"}[a]
}

// Exit is the exit status of restore_command for an answer. PostgreSQL takes 0 as delivered, any of 1 to 125 as the end
// of WAL, at which it promotes, and more than 125, or a signal, as a reason to stop. So that no failure is taken for the
// end, only Absent is 1; all else is 126.
//
// Source: PostgreSQL, src/backend/access/transam/xlogarchive.c, RestoreArchivedFile.
func (a Answer) Exit() int {
	switch a {
	case Delivered:
		return 0
	case Absent:
		return 1
	}
	return 126
}

// ExitOfStandby is Exit for standbys alone, which ask again: there every failure is 1, because otherwise a repository that
// is down for a minute would end the standby.
func (a Answer) ExitOfStandby() int { return min(a.Exit(), 1) }

// Fetcher brings archived files back, as restore_command asks for them.
//
// A fetch goes one way: from the spool, or from the first repository that has the file (fetch_ask.go); checked against
// its name (fetch_place.go); edited; written; and then the segments after it are fetched ahead (fetch_ahead.go).
type Fetcher struct {
	Store    cofre.Store
	Identity wal.Identity
	// Unusable is why Store could not be opened, if it could not; then there are Copies.
	Unusable error
	// Copies are asked for what Store does not have or cannot give: if it cannot be reached, or if what it holds is
	// damaged. None is opened before it is needed.
	Copies []*Copy
	// Warn, if set, is told why something had to come from a copy.
	Warn func(cofre.Message)

	// System is the cluster that is recovered; zero takes what pg_control of the data directory says.
	System cofre.SystemID

	// Spool is a folder of the host for segments that are fetched before they are asked for; empty fetches only
	// what is asked for. It must be on the file system of the data directory, so that delivering is a rename.
	Spool string
	// Prefetch is how many segments may lie in Spool; 0 takes 16.
	Prefetch int
	// Background, if set, is called once a segment was delivered and starts a process that calls
	// f.PrefetchAfter(name); without it Fetch brings the next segments itself, before it returns.
	Background func(name string) error
	// Claim is the timeline that is recovered to, if its number is given: a history above it is asked for to find a
	// number for the timeline that begins, which is then reserved. Used is a number up to which all are used, whatever is
	// archived: there are base backups of it.
	Claim, Used cofre.Timeline
	// Edits are made to what is delivered; see pgdata.Edit.
	Edits []pgdata.Edit
	// Whole refuses segments that are not whole. Without it the streamed beginning of a segment, or the last
	// one of a timeline that ended, is delivered in its place, filled up with zeros: recovery ends in it.
	Whole bool
}

// Fetch delivers the archived file of the given name at path, as restore_command asks with %f and %p: relative to
// the data directory, in which the command runs. The file appears at path whole and durable, or not at all.
//
// Errors: none if the answer is Delivered, and only then. Of Absent it wraps cofre.ErrNotFound; of Gap it is a
// *cofre.GapError; of Unknown it is cofre.ErrNoRepo if the store is reached and holds no repository, or no WAL of this
// system; cofre.ErrWrongKey; cofre.ErrCorrupt; the store's; the disk's.
func (f *Fetcher) Fetch(ctx context.Context, name, path string) (Answer, error) {
	answer, err := f.fetch(ctx, name, path)
	if err != nil {
		err = fmt.Errorf("fetch %s: %w", name, err)
	}
	return answer, err
}

func (f *Fetcher) fetch(ctx context.Context, text, path string) (Answer, error) {
	name, err := pgdata.ParseWALName(text)
	if err != nil {
		return Unknown, err
	}
	system, err := f.system()
	if err != nil {
		return Unknown, cofre.WithHint(fmt.Errorf("find out which cluster it is of: %w", err), cofre.Say("wal.fetch_directory", "restore_command = 'cofre wal fetch %f %p' runs in the data directory"))
	}
	spools := name.Kind == pgdata.WALSegment && f.Spool != ""
	if spools {
		delivered, err := f.deliverSpooled(system, name, path)
		if err != nil {
			return Unknown, err
		}
		if delivered {
			f.ahead(ctx, system, name, fromSpool)
			return Delivered, nil
		}
	}
	got := f.content(ctx, system, name, path)
	if got.answer != Delivered {
		return got.answer, got.err
	}
	if err := f.deliver(name, got.content, path); err != nil {
		return Unknown, err
	}
	if spools {
		f.ahead(ctx, system, name, fromStore)
	}
	return Delivered, nil
}

// ServerHas reports whether a recovery to the timeline claim asks for a history that the server has in pg_wal, or that there never
// is: the answer is Absent, whatever a repository holds. The last question before a promotion is of this kind, and the
// worst to fail: the server has removed recovery.signal by then, and would start again without its target.
//
// Source: PostgreSQL, src/backend/access/transam/xlog.c, StartupXLOG; timeline.c, writeTimeLineHistory.
func ServerHas(claim cofre.Timeline, text, path string) bool {
	name, err := pgdata.ParseWALName(text)
	if err != nil || claim == 0 || name.Kind != pgdata.WALHistory {
		return false
	}
	if name.Timeline == 1 {
		return true
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), name.String()))
	if err != nil {
		return false
	}
	_, err = pgdata.ParseHistory(name.Timeline, b)
	return err == nil
}

// ErrAbsent is the error of such an answer.
var ErrAbsent = errAbsent

// system is the cluster that is recovered.
func (f *Fetcher) system() (cofre.SystemID, error) {
	if f.System != 0 {
		return f.System, nil
	}
	c, err := wal.ReadControl(pgdata.ControlFile)
	if err != nil {
		return 0, err
	}
	return c.SystemID, nil
}

// content is what is delivered under a name. path is where to.
func (f *Fetcher) content(ctx context.Context, system cofre.SystemID, name pgdata.WALName, path string) reply {
	if name.Kind != pgdata.WALHistory {
		return f.ask(ctx, system, name)
	}
	_, err := os.Stat(filepath.Join(filepath.Dir(path), name.String()))
	has := reply{answer: Absent, err: errAbsent} // the server has it, and takes that
	if f.Claim != 0 && name.Timeline > f.Claim {
		// A server that ends its recovery asks for the history that it has just written when it reads what a prepared
		// transaction left, and what is delivered replaces it.
		if err == nil {
			return has
		}
		return f.probed(ctx, system, name.Timeline)
	}
	if got := f.ask(ctx, system, name); got.answer != Gap || err != nil {
		return got
	}
	return has
}

// deliver makes the edits that fall into a segment and puts the file at path. Other files are left as they are.
func (f *Fetcher) deliver(name pgdata.WALName, content []byte, path string) error {
	if len(f.Edits) > 0 && name.Kind == pgdata.WALSegment {
		s, err := name.Segment(int64(len(content)))
		if err != nil {
			return err
		}
		if err := pgdata.Apply(f.Edits, s, content); err != nil {
			return err
		}
	}
	return writeFile(path, content)
}

// writeFile makes path hold content, whole and durable. A crash before that leaves a file that nobody reads.
func writeFile(path string, content []byte) error {
	return diskFull(durable.WriteFile(path, 0o600, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}))
}

func diskFull(err error) error {
	if err = durable.Full(err); errors.Is(err, cofre.ErrDiskFull) {
		return cofre.WithHint(err, cofre.Say("wal.space", "free space on the disk that this is on: df -h"))
	}
	return err
}
