// Package walhealth says what keeps archived WAL from being of use, from what was found of it. It reads nothing.
package walhealth

import (
	"cmp"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// Status says which moments can be recovered, and how archiving is.
type Status struct {
	Systems []wal.Status // by system identifier; what can be recovered is what the repository and its copies have together
	// Archiver is what the configured server says of its archiving: nil if no WAL of a server is configured, or if the
	// server could not be asked, which ArchiverErr then says.
	Archiver    *archiving.Archiver
	ArchiverErr error
	// KeyErr says that nobody reads what one of the repositories holds, because its key for WAL is damaged or gone.
	KeyErr error
}

// Trouble is the worst of what keeps archived WAL from being of use, nil if nothing does: nothing can be recovered, WAL is
// missing or of nobody, the server does not archive, a copy is down.
//
// Errors: *cofre.UnreachableError, *cofre.GapError, cofre.ErrFindings; those of a copy.
func (s *Status) Trouble() error {
	recoverable := false
	var gap, orphan, down error
	for i := range s.Systems {
		of := &s.Systems[i]
		recoverable = recoverable || len(of.Windows)+len(of.Alone) > 0
		gap, orphan, down = cmp.Or(gap, alarming(of.Gaps)), cmp.Or(orphan, orphaned(of.Orphans)), cmp.Or(down, unreached(of.Repositories))
	}
	if !recoverable {
		hint := cofre.Say("wal.begin", "begin with: cofre backup cluster")
		if way := cofre.HintOf(unproven(s.Systems)); !way.IsZero() {
			hint = cofre.Series(way, hint) // the WAL may be there, and not be believed
		}
		return cofre.WithHint(&cofre.UnreachableError{Why: cofre.Say("wal.no_base_backup", "there is no base backup that archived WAL continues, or that carries its own WAL")}, hint)
	}
	if s.KeyErr != nil {
		return cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, s.KeyErr), cofre.HintOf(s.KeyErr))
	}
	if err := unproven(s.Systems); err != nil {
		return err
	}
	if err := cmp.Or(gap, orphan, damagedHere(s.Systems), unread(s.Systems)); err != nil {
		return err
	}
	if s.Archiver != nil {
		if what, hint := s.Archiver.Trouble(); !what.IsZero() {
			return cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, cofre.Fail(what)), hint)
		}
	}
	return down
}

// damagedHere finds a segment that one of several repositories has lost, though another may have it: the first is then no
// longer what it is there for.
func damagedHere(systems []wal.Status) error {
	for _, of := range systems {
		for _, r := range of.Repositories {
			if len(r.Damaged) > 0 {
				return cofre.WithHint(fmt.Errorf("%w: segment %s is damaged in %s", cofre.ErrFindings, r.Damaged[0], r.URL), cofre.Say("wal.damaged_here",
					"store it afresh from the server or from another repository with: cofre backup cluster; if that says that nobody has it: cofre wal acknowledge {{.segment}} {{.segment}} --why 'damaged in the repository'", "segment", r.Damaged[0]))
			}
		}
	}
	return nil
}

// unproven finds WAL that nobody has signed who is believed, and records of whom to believe that were taken away.
func unproven(systems []wal.Status) error {
	for _, of := range systems {
		for _, err := range of.Origin.Refusals {
			return cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, err), cofre.HintOf(err))
		}
		for _, object := range of.Origin.Gone {
			return cofre.WithHint(fmt.Errorf("%w: %s was there, and is not any more", cofre.ErrFindings, object), origin.PutBack(object))
		}
		for _, a := range of.Forgotten {
			return cofre.WithHint(cofre.Fail(a.GoneMessage(of.System), cofre.ErrFindings), wal.AgainMessage(a.GoneMessage(of.System)))
		}
	}
	return nil
}

// unread finds an object beside the segments that says nothing any more.
func unread(systems []wal.Status) error {
	for _, of := range systems {
		for _, u := range of.Unread {
			return cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, u.Err), wal.MoveAway(u.Err))
		}
	}
	return nil
}

func alarming(gaps []wal.StatusGap) error {
	for i := range gaps {
		if g := &gaps[i]; g.Alarm && g.Damaged() {
			return cofre.WithHint(&g.GapError, cofre.Say("wal.damaged_here",
				"store it afresh from the server or from another repository with: cofre backup cluster; if that says that nobody has it: cofre wal acknowledge {{.segment}} {{.segment}} --why 'damaged in the repository'", "segment", g.From))
		} else if g.Alarm {
			return cofre.WithHint(&g.GapError, cofre.Say("wal.acknowledge", "take a base backup with: cofre backup cluster; or, if the loss is known: cofre wal acknowledge {{.from}} {{.to}} --why …", "from", g.From, "to", g.To))
		}
	}
	return nil
}

func orphaned(timelines []cofre.Timeline) error {
	if len(timelines) == 0 {
		return nil
	}
	return wal.ErrNoHistory(timelines[0])
}

func unreached(repositories []wal.Holding) error {
	for i, h := range repositories {
		if h.Err != nil {
			return fmt.Errorf("copies[%d]: %w", i-1, h.Err)
		}
	}
	return nil
}
