package recovery_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// told is a world whose records have names.
type told struct {
	*world
	at map[string]pgdata.Moment
}

func newTold() *told {
	t := &told{newWorld(), map[string]pgdata.Moment{}}
	t.backup(1000)
	return t
}

func (w *told) note(name string) {
	all := w.commits[w.tli]
	w.at[name] = all[len(all)-1]
}

// commit is one of a transaction that has nothing to do with anything.
func (w *told) commit(name string) {
	w.write(100)
	w.note(name)
}

func (w *told) record(name string, m pgdata.Moment) {
	w.tick()
	if m.Kind == pgdata.MomentCommit || m.Kind == pgdata.MomentAbort || m.Kind == pgdata.MomentPrepare {
		m.At = w.clock
	}
	w.put(64, m)
	w.note(name)
}

func row(n uint16) pgdata.Row { return pgdata.Row{File: 1262, Number: n} }

// mark, row and files are the records of DROP DATABASE of a transaction, in this order.
func (w *told) mark(name string, xid uint32) {
	w.record(name, pgdata.Moment{Kind: pgdata.MomentSharedInplace, Row: row(uint16(xid))})
}

func (w *told) deleted(name string, xid uint32) {
	w.record(name, pgdata.Moment{Kind: pgdata.MomentSharedDelete, Row: row(uint16(xid)), XID: xid})
}

func (w *told) files(name string, xid uint32) {
	w.record(name, pgdata.Moment{Kind: pgdata.MomentDatabaseDrop, OID: 20000 + xid, XID: xid})
}

func (w *told) ends(name string, xid uint32) {
	w.record(name, pgdata.Moment{Kind: pgdata.MomentCommit, XID: xid})
}

func (w *told) to(name string) cofre.RecoveryTarget {
	return cofre.RecoveryTarget{LSN: w.at[name].Start}
}

// recovered asks for the position of each record by its name, and expects the recovery to stop with it.
func (w *told) recovered(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if r, err := recovery.Recover(w.to(name), w.backups, &w.wal, w.scan); err != nil || r.Stop != w.at[name].Start {
			t.Errorf("to %s: %+v, %v", name, r, err)
		}
	}
}

// refused asks for the position of each record by its name, and expects what comes before and after it to be named; empty for none.
func (w *told) refused(t *testing.T, before, after string, names ...string) {
	t.Helper()
	for _, name := range names {
		w.refusedTarget(t, name, w.to(name), before, after)
	}
}

func (w *told) refusedTarget(t *testing.T, name string, target cofre.RecoveryTarget, before, after string) {
	t.Helper()
	r, err := recovery.Recover(target, w.backups, &w.wal, w.scan)
	var unreachable *cofre.UnreachableError
	if !errors.As(err, &unreachable) {
		t.Errorf("to %s: %+v, %v", name, r, err)
		return
	}
	var want []string
	hint := ""
	if before != "" {
		want = append(want, "before it: --lsn "+w.at[before].Start.String())
		hint = "to have what it removes: --lsn " + w.at[before].Start.String()
	}
	if after != "" {
		want = append(want, "after it: --lsn "+w.at[after].Start.String())
		if hint == "" {
			hint = "after it: --lsn " + w.at[after].Start.String()
		}
	}
	var got []string
	for _, n := range unreachable.Nearest {
		got = append(got, n.Text)
	}
	if !slices.Equal(got, want) || cofre.Hint(err) != hint {
		t.Errorf("to %s: nearest %q, hint %q\nwant %q, %q", name, got, cofre.Hint(err), want, hint)
	}
}

// TestNoMomentInsideADrop: from the mark on its row to its commit nothing is a state that the users of the database could see, in whichever way
// the moment is asked for; the last end of a transaction before it and its own commit are.
func TestNoMomentInsideADrop(t *testing.T) {
	w := newTold()
	w.commit("first")
	w.mark("mark", 9000)
	w.commit("between")
	w.deleted("row", 9000)
	w.commit("other")
	w.files("files", 9000)
	w.commit("late")
	w.ends("drop", 9000)
	w.commit("last")
	w.commit("more")
	w.archive()
	w.recovered(t, "first", "drop", "last")
	inside := []string{"mark", "between", "row", "other", "files", "late"}
	w.refused(t, "first", "drop", inside...)
	for _, name := range []string{"between", "other", "late"} {
		w.refusedTarget(t, "the time of "+name, cofre.RecoveryTarget{At: w.at[name].At}, "first", "drop")
		w.refusedTarget(t, "the transaction of "+name, cofre.RecoveryTarget{XID: uint64(w.at[name].XID)}, "first", "drop")
	}
	w.refusedTarget(t, "before the drop", cofre.RecoveryTarget{XID: 9000, Exclusive: true}, "first", "drop")
	if r, err := recovery.Recover(cofre.RecoveryTarget{XID: 9000}, w.backups, &w.wal, w.scan); err != nil || r.Stop != w.at["drop"].Start {
		t.Errorf("the drop itself: %+v, %v", r, err)
	}
	// What is prepared is a state to come back to, too.
	w = newTold()
	w.commit("first")
	w.record("prepared", pgdata.Moment{Kind: pgdata.MomentPrepare, XID: 8000})
	w.mark("mark", 9000)
	w.deleted("row", 9000)
	w.ends("drop", 9000)
	w.commit("last")
	w.archive()
	w.refused(t, "prepared", "drop", "mark", "row")
}

// TestNotEveryChangeOfASharedRowIsADrop: VACUUM marks rows in the same way, a mark that is long past belongs to nothing, and rows are deleted by others.
func TestNotEveryChangeOfASharedRowIsADrop(t *testing.T) {
	w := newTold()
	w.mark("vacuum", 9000)
	w.commit("first")
	w.deleted("another row", 9001)
	w.commit("second")
	w.ends("its end", 9001)
	w.commit("last")
	w.archive()
	w.recovered(t, "vacuum", "first", "another row", "second", "its end")

	w = newTold()
	w.mark("long before", 9000)
	w.commit("first")
	for range 17 {
		w.write(1 << 16)
	}
	w.commit("second")
	w.deleted("row", 9000)
	w.commit("third")
	w.ends("its end", 9000)
	w.commit("last")
	w.archive()
	w.recovered(t, "long before", "first", "second", "row", "third", "its end")
}

// TestWhatACrashEnds: what was under way when the server stopped never commits. A checkpoint of a server that runs ends nothing.
func TestWhatACrashEnds(t *testing.T) {
	for name, c := range map[string]struct {
		record pgdata.Moment
		ends   bool
	}{
		"a crash":           {pgdata.Moment{Kind: pgdata.MomentCheckpoint, Shutdown: true}, true},
		"a promotion":       {pgdata.Moment{Kind: pgdata.MomentEndOfRecovery}, true},
		"only a checkpoint": {pgdata.Moment{Kind: pgdata.MomentCheckpoint}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTold()
			w.commit("first")
			w.mark("mark", 9000)
			w.deleted("row", 9000)
			w.files("files", 9000)
			w.commit("inside")
			w.record("checkpoint", c.record)
			w.commit("second")
			w.commit("last")
			w.archive()
			w.recovered(t, "first")
			w.refused(t, "first", "", "mark", "row", "files", "inside")
			if c.ends {
				w.recovered(t, "checkpoint", "second")
			} else {
				w.refused(t, "first", "", "checkpoint", "second")
			}
		})
	}
}

// TestDropsInsideOneAnother: each is one of its own, and what is named is outside all of them.
func TestDropsInsideOneAnother(t *testing.T) {
	w := newTold()
	w.commit("first")
	w.mark("mark of one", 9000)
	w.deleted("row of one", 9000)
	w.files("files of one", 9000)
	w.commit("in one")
	w.mark("mark of two", 9001)
	w.deleted("row of two", 9001)
	w.files("files of two", 9001)
	w.commit("in both")
	w.ends("one", 9000)
	w.commit("in two")
	w.ends("two", 9001)
	w.commit("last")
	w.commit("more")
	w.archive()
	w.refused(t, "first", "two", "in one", "in both", "files of one", "one", "in two")
	w.recovered(t, "first", "two", "last")

	w = newTold()
	w.commit("first")
	w.mark("mark of one", 9000)
	w.deleted("row of one", 9000)
	w.ends("one", 9000)
	w.commit("between")
	w.mark("mark of two", 9001)
	w.deleted("row of two", 9001)
	w.ends("two", 9001)
	w.commit("last")
	w.archive()
	w.refused(t, "first", "one", "row of one")
	w.refused(t, "between", "two", "row of two")
	w.recovered(t, "one", "between", "two")
}

// TestADropThatBeganBeforeTheBaseBackup is known from the base backup, by name: there is nothing before it, and its commit is named.
func TestADropThatBeganBeforeTheBaseBackup(t *testing.T) {
	w := &told{newWorld(), map[string]pgdata.Moment{}}
	w.dropping = []recovery.Dropping{{OID: 29000, Name: "victim", XID: 9000}}
	w.backup(1000)
	w.dropping = nil
	w.commit("inside")
	w.files("files", 9000)
	w.commit("late")
	w.ends("drop", 9000)
	w.commit("last")
	w.archive()
	w.refused(t, "", "drop", "inside", "files", "late")
	w.recovered(t, "drop")
	r, err := recovery.Recover(cofre.RecoveryTarget{Immediate: true}, w.backups, &w.wal, w.scan)
	want := fmt.Sprintf(`DROP DATABASE "victim", by transaction 9000, was under way: it began before the base backup did, at %s, and had not ended at %s; what it removes is damaged in the copy, and can be dropped there`, w.backups[0].Start, w.backups[0].Stop)
	if err != nil || len(r.Notes) != 1 || r.Notes[0].Text != want {
		t.Errorf("%+v, %v\nwant the note %s", r, err, want)
	}
}

// TestDamageOnTheWayIsAGap: however the moment is asked for, nothing behind a damaged record is reached, and what is before it is.
func TestDamageOnTheWayIsAGap(t *testing.T) {
	w := newTold()
	w.commit("first")
	w.commit("damaged")
	w.commit("target")
	w.write(2 * size)
	w.commit("last")
	w.archive()
	w.damaged = map[cofre.LSN]bool{w.at["damaged"].Start: true}
	for name, target := range map[string]cofre.RecoveryTarget{
		"a position": w.to("target"), "a position, exclusive": {LSN: w.at["target"].Start, Exclusive: true}, "the end": {},
		"a time": {At: w.at["target"].At}, "a time, exclusive": {At: w.at["target"].At, Exclusive: true},
	} {
		r, err := recovery.Recover(target, w.backups, &w.wal, w.scan)
		var gap *cofre.GapError
		if !errors.As(err, &gap) || gap.BreaksAt != w.at["damaged"].Start {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	w.recovered(t, "first")
}

// TestWhatLiesBehindTheMoment tells a drop from other changes of the row. If it cannot be read, the mark alone is no reason to refuse: VACUUM makes it, too,
// and the copy is asked about its databases.
func TestWhatLiesBehindTheMoment(t *testing.T) {
	w := newTold()
	w.write(size / 2)
	w.commit("first")
	w.mark("mark", 9000)
	w.commit("between")
	for w.end[1] < 2*size {
		w.write(1 << 16)
	}
	w.deleted("row", 9000)
	w.ends("drop", 9000)
	w.commit("last")
	w.archive()
	w.refused(t, "first", "drop", "mark", "between")
	behind := pgdata.SegmentAt(1, w.at["between"].Start, size).Next()
	w.rotten = map[pgdata.Segment]bool{behind: true}
	w.recovered(t, "first", "mark", "between")
}

// TestTheEndOfABaseBackupKnowsWhatItsOwnWALMakes: a time before the next transaction is the end of the base backup, with its tablespaces.
func TestTheEndOfABaseBackupKnowsWhatItsOwnWALMakes(t *testing.T) {
	w := newTold()
	b := w.backups[0]
	inside := pgdata.Moment{Kind: pgdata.MomentTablespaceCreate, OID: 24000, Path: "/srv/space", XID: 9000, Start: b.Start + 100, End: b.Start + 164, InPlace: "0/1:0000"}
	ends := pgdata.Moment{Kind: pgdata.MomentCommit, XID: 9000, Start: b.Start + 200, End: b.Start + 240, At: b.StartedAt}
	w.commits[1] = slices.Insert(w.commits[1], 0, inside, ends)
	w.tick()
	w.commit("first")
	w.commit("last")
	w.archive()
	want := []recovery.Tablespace{{OID: 24000, Path: "/srv/space", At: inside.Start, InPlace: inside.InPlace}}
	for name, target := range map[string]cofre.RecoveryTarget{
		"a time": {At: w.at["first"].At, Exclusive: true}, "the end of the base backup": {Immediate: true},
		"before the first": {XID: uint64(w.at["first"].XID), Exclusive: true},
	} {
		r, err := recovery.Recover(target, w.backups, &w.wal, w.scan)
		if err != nil || !r.Consistent || r.Stop != b.Stop || !slices.Equal(r.Tablespaces, want) || !r.CommitAt.Equal(ends.At) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
