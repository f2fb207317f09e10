package recovery

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Tablespace is one that WAL creates.
type Tablespace struct {
	OID  uint32
	Path string    // on the original; empty if it lies in pg_tblspc
	At   cofre.LSN // of the record
	// InPlace are the changes to the WAL that have it made in pg_tblspc; see pgdata.Edit.
	InPlace string
}

// stop is where a recovery ends, and what it has done by then.
type stop struct {
	start, reach cofre.LSN
	consistent   bool
	commitAt     time.Time
	spaces       []Tablespace
	torn         []cofre.Message
}

// act is something that removes files, or makes them unusable, before its transaction ends. Nothing that stops between
// the two is a state that the database was in as far as its users could tell.
type act struct {
	what  string
	xid   uint32
	began cofre.LSN
	// earlier says that it had begun before the base backup had, which is at began.
	earlier bool
	ended   cofre.LSN     // where the record starts that ends its transaction; 0 if it is not known
	done    pgdata.Moment // its commit, if it is known
	// before is the last transaction end before it.
	before pgdata.Moment
}

// markBound is how far apart the two records are, in bytes of WAL, by which DROP DATABASE first marks its database and
// then deletes its row: the row is written to disk in between, and others go on meanwhile.
const markBound = 1 << 20

// ledger follows what is under way while WAL is read.
type ledger struct {
	last    pgdata.Moment // the last transaction end
	ended   pgdata.Moment // the last commit or abort
	marks   map[pgdata.Row]act
	created map[uint32]uint32 // transactions by the OID of the database that they create
	acts    []*act
	spaces  []Tablespace
	seen    cofre.LSN // everything before it was added
	copies  []*dirCopy
	ends    cofre.LSN // the base backup
}

// newLedger begins with what was under way when a base backup had begun.
func newLedger(b BaseBackup) *ledger {
	l := &ledger{marks: map[pgdata.Row]act{}, created: map[uint32]uint32{}, ends: b.Stop}
	for _, d := range b.Dropping {
		l.acts = append(l.acts, &act{what: fmt.Sprintf("DROP DATABASE %q", d.Name), xid: d.XID, began: b.Start, earlier: true})
	}
	return l
}

// State is what a base backup holds at its end, as the WAL says that it carries itself.
type State struct {
	backup BaseBackup
	ledger *ledger
}

// NewState begins a State, to which the moments of the WAL are added.
func NewState(b BaseBackup) *State { return &State{b, newLedger(b)} }

// Add takes the next moment. What lies after the base backup's end is left out.
func (s *State) Add(m pgdata.Moment) {
	if m.Start < s.backup.Stop {
		s.ledger.add(m)
	}
}

// Tablespaces are those that the WAL creates.
func (s *State) Tablespaces() []Tablespace { return s.ledger.spaces }

// Notes name what was being removed at the end.
func (s *State) Notes() (notes []cofre.Message) {
	for _, a := range s.ledger.underWay(s.backup.Stop) {
		notes = append(notes, damaged(a.underWay(s.backup.Stop)))
	}
	return append(notes, s.Torn()...)
}

// Torn is that of a Recovery to the end of the base backup.
func (s *State) Torn() []cofre.Message { return s.ledger.torn() }

// damaged is a note about an act that is under way.
func damaged(underWay cofre.Message) cofre.Message {
	return cofre.Say("recovery.damaged", "{{.act}}; what it removes is damaged in the copy, and can be dropped there", "act", underWay)
}

// underWay says that an act had begun, and not ended at a position.
func (a *act) underWay(at cofre.LSN) cofre.Message {
	if a.earlier {
		return cofre.Say("recovery.under_way_before", "{{.act}}, by transaction {{.xid}}, was under way: it began before the base backup did, at {{.began}}, and had not ended at {{.at}}", "act", a.what, "xid", a.xid, "began", a.began, "at", at)
	}
	return cofre.Say("recovery.under_way", "{{.act}}, by transaction {{.xid}}, was under way: it began at {{.began}} and had not ended at {{.at}}", "act", a.what, "xid", a.xid, "began", a.began, "at", at)
}

// begin returns the act that the record of m belongs to; nil for the old place of a database that has moved, which is
// removed in a transaction that changes nothing.
func (l *ledger) begin(m pgdata.Moment, what string) *act {
	if m.XID == 0 {
		return nil
	}
	for _, a := range l.acts {
		if a.xid == m.XID && a.ended == 0 {
			if !a.earlier { // or else its name is known
				a.what = what
			}
			return a
		}
	}
	a := &act{what: what, xid: m.XID, began: m.Start, before: l.last}
	l.acts = append(l.acts, a)
	return a
}

// end ends what is under way: of one transaction, or, after a crash, all of it.
func (l *ledger) end(m pgdata.Moment) {
	crash := m.Kind == pgdata.MomentEndOfRecovery || m.Shutdown
	for _, a := range l.acts {
		if a.ended == 0 && (crash || a.xid == m.XID) {
			a.ended = m.Start
			if m.Kind == pgdata.MomentCommit {
				a.done = m
			}
		}
	}
}

func (l *ledger) add(m pgdata.Moment) {
	l.seen = m.End
	switch m.Kind {
	case pgdata.MomentCommit, pgdata.MomentAbort:
		l.end(m)
		l.endCopies(m)
		l.last, l.ended = m, m
	case pgdata.MomentPrepare:
		l.last = m
	case pgdata.MomentCheckpoint, pgdata.MomentEndOfRecovery:
		if m.Shutdown || m.Kind == pgdata.MomentEndOfRecovery {
			l.end(m)
		}
	case pgdata.MomentSharedInplace:
		l.marks[m.Row] = act{began: m.Start, before: l.last}
	case pgdata.MomentSharedDelete:
		if mark, ok := l.marks[m.Row]; ok && m.Start-mark.began < markBound {
			if a := l.begin(m, "DROP DATABASE"); a != nil && !a.earlier {
				a.began, a.before = mark.began, mark.before
			}
		}
		delete(l.marks, m.Row)
	case pgdata.MomentDatabaseCreate:
		l.created[m.OID] = m.XID
		l.copy(m)
	case pgdata.MomentDatabaseChange:
		l.change(m)
	case pgdata.MomentDatabaseDrop:
		l.change(m)
		if xid, ok := l.created[m.OID]; !ok || xid != m.XID { // its creation failed
			l.begin(m, fmt.Sprintf("DROP DATABASE of the database with OID %d", m.OID))
		}
	case pgdata.MomentTablespaceDrop:
		l.begin(m, fmt.Sprintf("DROP TABLESPACE of the tablespace with OID %d", m.OID))
	case pgdata.MomentTablespaceCreate:
		l.spaces = append(l.spaces, Tablespace{m.OID, m.Path, m.Start, m.InPlace})
	}
}

// stop is the state that the ledger has reached.
func (l *ledger) stop() stop {
	return stop{commitAt: l.ended.At, spaces: slices.Clone(l.spaces), torn: l.torn()}
}

// underWay are the acts that had begun at a position, and not ended.
func (l *ledger) underWay(at cofre.LSN) (out []*act) {
	for _, a := range l.acts {
		if a.began < at && (a.ended == 0 || a.ended >= at) {
			out = append(out, a)
		}
	}
	return out
}

// follow reads the records of c from its base backup's start, as the server will: to the first that starts at until or
// after it. The way ends where another timeline goes on, or the WAL does.
//
// Errors: *cofre.GapError if a record on the way is damaged; what scan returns.
func (p *planner) follow(c candidate, until cofre.LSN, see func(Found) (more bool)) (last Found, err error) {
	segments := make([]pgdata.Segment, 0, len(c.way.segments))
	for _, s := range c.way.segments {
		if n := len(segments); n > 0 && segments[n-1].Number == s.Number {
			segments = segments[:n-1] // the one that reaches further follows
		}
		segments = append(segments, s)
	}
	until = min(until, c.way.end)
	for f, err := range p.scan(segments, Span{c.backup.Start, until}) {
		if err != nil {
			return f, err
		}
		if last = f; f.Moment.Kind != 0 && f.Moment.Start < c.way.end && !see(f) {
			return last, nil
		}
	}
	if last.LastRecord >= c.way.end { // of the parent, after the fork
		last.LastRecord, last.Reached = last.Before, last.ReachedBefore
	}
	if last.Broken || last.Reached < c.backup.Stop {
		return last, p.broken(c, last)
	}
	return last, nil
}

// broken names the record at which the way of c ends too early.
func (p *planner) broken(c candidate, last Found) error {
	at := cmp.Or(last.End, last.Reached, c.backup.Start)
	s := pgdata.SegmentAt(c.history.TimelineAt(at), at, p.wal.SegmentSize)
	for _, have := range c.way.segments {
		if have.Number == s.Number {
			s = have
		}
	}
	name := s.Name(p.wal.SegmentSize)
	why := cmp.Or(last.Why, "what follows does not follow it")
	gap := &cofre.GapError{Timeline: s.Timeline, From: name, To: name, BreaksAt: at, Why: why, Said: Reason(why)}
	c.way = c.way.until(at, p.wal.SegmentSize)
	c.way.missing, c.way.gap = s, gap
	return p.refuse(c, gap)
}

// toRecord stops with the first record that starts at lsn or after it, or, exclusive, with the one before.
func (p *planner) toRecord(c candidate, lsn cofre.LSN, inclusive bool) (*Recovery, error) {
	l, at := newLedger(c.backup), stop{}
	last, err := p.follow(c, lsn, func(f Found) bool {
		if inclusive || f.Moment.Start < lsn {
			l.add(f.Moment)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	at = l.stop()
	at.start, at.reach = last.LastRecord, last.Reached
	if last.LastRecord < lsn {
		return nil, p.unreachable([]candidate{c}, lastRecordStarts(last.LastRecord))
	}
	if !inclusive {
		at.start, at.reach = last.Before, last.ReachedBefore
	}
	if at.reach <= c.backup.Stop {
		at.start, at.reach, at.consistent = c.backup.Stop, c.backup.Stop, true
	}
	return p.whole(c, at, l)
}

// beforeEnding stops with the last transaction that ended, or was prepared, before the first that is late: so that nothing which belongs to a later one acts, though its records come first. PostgreSQL
// itself looks at times in the records of commits and aborts alone.
func (p *planner) beforeEnding(c candidate, late func(pgdata.Moment) bool) (*Recovery, error) {
	l := newLedger(c.backup)
	at, over := stop{start: c.backup.Stop, reach: c.backup.Stop, consistent: true}, false
	consistent := false
	last, err := p.follow(c, c.way.end, func(f Found) bool {
		m := f.Moment
		if !consistent && m.Start >= c.backup.Stop {
			consistent = true
			s := l.stop()
			s.start, s.reach, s.consistent = c.backup.Stop, c.backup.Stop, true
			at = s
		}
		ends := m.Kind == pgdata.MomentCommit || m.Kind == pgdata.MomentAbort
		if over = over || ends && m.Start >= c.backup.Stop && late(m); over {
			return false
		}
		l.add(m)
		if (ends || m.Kind == pgdata.MomentPrepare && !late(m)) && m.Start >= c.backup.Stop {
			at = l.stop()
			at.start, at.reach = m.Start, f.Reached
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if !over { // it is there, and does not follow what is before it
		return nil, p.broken(c, last)
	}
	return p.whole(c, at, l)
}

// toEnd stops with the last record of all.
func (p *planner) toEnd(c candidate) (*Recovery, error) {
	l := newLedger(c.backup)
	last, err := p.follow(c, c.way.end, func(f Found) bool { l.add(f.Moment); return true })
	if err != nil {
		return nil, err
	}
	if p.endsInWhole(c, last) {
		return nil, p.broken(c, last)
	}
	if err := p.begun(c, last.LastRecord); err != nil {
		return nil, err
	}
	at := l.stop()
	at.start, at.reach = last.LastRecord, last.Reached
	return p.whole(c, at, l)
}

// toConsistency stops where the base backup becomes consistent.
func (p *planner) toConsistency(c candidate) (*Recovery, error) {
	l := newLedger(c.backup)
	if _, err := p.follow(c, c.backup.Stop, func(f Found) bool {
		if f.Moment.Start < c.backup.Stop {
			l.add(f.Moment)
		}
		return true
	}); err != nil {
		return nil, err
	}
	at := l.stop()
	at.start, at.reach, at.consistent = c.backup.Stop, c.backup.Stop, true
	return p.whole(c, at, l)
}

// whole refuses a moment at which something had been removed whose removal had not been committed, and names the
// moments before and after it. Who asks for the end of what there is, is told: nothing better can be had.
func (p *planner) whole(c candidate, at stop, l *ledger) (*Recovery, error) {
	if err := p.lookAhead(c, at, l); err != nil {
		return nil, err
	}
	r := p.recovery(c, at)
	r.Torn, r.Notes = at.torn, append(r.Notes, at.torn...)
	t := p.target
	t.Timeline, t.Exclusive = 0, false
	for _, a := range l.underWay(at.reach) {
		why := a.underWay(at.start)
		if t == (cofre.RecoveryTarget{}) || t.Immediate {
			r.Notes = append(r.Notes, damaged(why))
			continue
		}
		p.older = at.consistent
		return nil, p.torn(c, a, why)
	}
	return r, nil
}

// torn is the refusal of a moment in the middle of an act. The positions that it names were planned.
func (p *planner) torn(c candidate, a *act, why cofre.Message) error {
	p.inside = a
	e := &cofre.UnreachableError{Target: p.target.Message(), Why: why}
	if p.trial {
		return e
	}
	var hint cofre.Message
	name := func(t cofre.RecoveryTarget, before bool) {
		typed := p.typed(t)
		if before {
			e.Nearest = append(e.Nearest, cofre.Say("recovery.nearest_before", "before it: {{.target}}", "target", typed))
			hint = cofre.Say("recovery.before_removal", "to have what it removes: {{.target}}", "target", typed)
			return
		}
		e.Nearest = append(e.Nearest, cofre.Say("recovery.after_removal", "after it: {{.target}}", "target", typed))
		if hint.IsZero() {
			hint = cofre.Say("recovery.after_removal", "after it: {{.target}}", "target", typed)
		}
	}
	before := cofre.RecoveryTarget{LSN: a.before.Start}
	if a.before.Kind == 0 || a.before.Start < c.backup.Stop {
		before = cofre.RecoveryTarget{LSN: a.began, Exclusive: true}
	}
	if t, ok := p.reachable(before); ok {
		name(t, true)
	}
	if a.done.Kind != 0 {
		after := cofre.RecoveryTarget{LSN: a.done.Start}
		for range triesBefore {
			inside, err := p.try(after)
			if err == nil {
				name(after, false)
				break
			}
			if inside == nil || inside.done.Kind == 0 {
				break
			}
			after.LSN = inside.done.Start
		}
	}
	if hint.IsZero() {
		return e
	}
	return cofre.WithHint(e, hint)
}

// lookAhead reads a little more than is replayed: only the next change of a shared row tells whether a mark on it is
// of a DROP DATABASE, and only its commit tells where something that is under way ends.
func (p *planner) lookAhead(c candidate, at stop, l *ledger) error {
	marked := false
	for _, k := range l.marks {
		marked = marked || k.began < at.reach && at.reach-k.began < markBound
	}
	open := l.underWay(at.reach)
	if !marked && !slices.ContainsFunc(open, func(a *act) bool { return a.ended == 0 }) {
		return nil
	}
	var segments []pgdata.Segment
	for _, s := range c.way.segments {
		if s.End(p.wal.SegmentSize) > at.reach && len(segments) < 4 {
			segments = append(segments, s)
		}
	}
	for f, err := range p.scan(segments, Span{}) {
		if err != nil {
			return err
		}
		switch m := f.Moment; {
		case m.Start < max(at.reach, l.seen) || m.Start >= c.way.end:
		case m.Kind == pgdata.MomentSharedDelete, m.Kind == pgdata.MomentCommit, m.Kind == pgdata.MomentAbort:
			l.add(m)
		}
	}
	return nil
}
