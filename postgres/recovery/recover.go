package recovery

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Recovery is a way to a recovery target that has been proven to exist.
type Recovery struct {
	Backup BaseBackup
	Target cofre.RecoveryTarget
	// Timeline is recovery_target_timeline: the one on which Stop lies. Leads is the timeline that was chosen, which may
	// have left that one only later.
	Timeline, Leads cofre.Timeline
	Branches        []pgdata.Branch // the timelines it passes through, from the backup's on
	Segments        []pgdata.Segment
	// Stop is the start of the last record that is replayed: of the commit, abort or prepare before the moment, for a
	// time. It is recovery_target_lsn, inclusive, so that nothing after it acts. If Consistent is set it is where the
	// base backup became consistent, and the recovery ends there: no transaction ended between it and the target.
	Stop       cofre.LSN
	Consistent bool
	// Reach is the position that a server which has replayed it says it is at.
	Reach cofre.LSN
	// CommitAt is the time of the last transaction that ended up to there, if one did since the base backup began.
	CommitAt time.Time
	// Tablespaces are those that the WAL up to there creates, in its order; one may be dropped again.
	Tablespaces []Tablespace
	// Torn names the databases that the recovery makes from files which the base backup may hold as they were later. It is not
	// empty only if no other base backup leads there. The notes have it, too.
	Torn []cofre.Message
	// Notes are what is known about the state there that a person would not expect.
	Notes []cofre.Message
	// Unfinished says that the last segment is not whole: it was being streamed, or its timeline ended in it.
	Unfinished bool
	// Cautious says that what follows is missing or damaged, or was not looked at and is so near that a server which reads ahead
	// asks for it before it has replayed what is here: it must not.
	Cautious bool
	// Others are the timelines that the base backup leads to as well, and that were not chosen.
	Others []cofre.Timeline
}

// Recover finds the way to a target.
//
// Errors: *cofre.UnreachableError if the target is outside of what can be reached, with what is nearest;
// *cofre.GapError, possibly inside one, if missing WAL is what stands between; what scan returns.
func Recover(target cofre.RecoveryTarget, backups []BaseBackup, w *WAL, scan Scan) (*Recovery, error) {
	p := &planner{target: target, wal: w, scan: scan, probed: map[pgdata.Segment]*probe{}}
	for _, b := range backups {
		if w.continues(b) {
			p.backups = append(p.backups, b)
		}
	}
	// Newest first, by where they stop within a timeline and by when across them: names and numbers of another
	// system, or of the time before a failover, say nothing about age.
	slices.SortStableFunc(p.backups, func(a, b BaseBackup) int {
		if a.Timeline == b.Timeline {
			return cmp.Compare(b.Stop, a.Stop)
		}
		return b.StoppedAt.Compare(a.StoppedAt)
	})
	if len(p.backups) == 0 {
		return nil, cofre.WithHint(&cofre.UnreachableError{Target: target.Message(), Why: cofre.Say("recovery.no_base_backup", "there is no base backup of this system")}, cofre.Say("recovery.base_backup", "take one with: cofre backup cluster"))
	}
	found, err := p.plan()
	if err != nil || !found.Backup.Partial && len(found.Torn) == 0 || target.Immediate {
		return found, err
	}
	return p.fromWhole(found), nil
}

// fromWhole returns the way to the same place from a base backup that is whole, if there is one: what is damaged in a newer
// one was still right in it, or its WAL writes it anew. Otherwise it returns the way that was found, with a note.
func (p *planner) fromWhole(found *Recovery) *Recovery {
	q := &planner{target: p.target, wal: p.wal, scan: p.scan, probed: p.probed}
	q.target.Timeline = found.Leads // and never of another history
	for _, b := range p.backups {
		if !b.Partial && b.Point != found.Backup.Point {
			q.backups = append(q.backups, b)
		}
	}
	for len(q.backups) > 0 {
		r, err := q.plan()
		if err != nil || r.Stop != found.Stop && !found.Consistent {
			break
		}
		if len(r.Torn) > 0 {
			q.backups = slices.DeleteFunc(q.backups, func(b BaseBackup) bool { return b.Point == r.Backup.Point })
			continue
		}
		r.Target = found.Target
		r.Notes = append(r.Notes, cofre.Say("recovery.newer_not_whole", "the newer base backup {{.point}} is not whole, and not used: {{.why}}", "point", found.Backup.Point, "why", found.why()))
		return r
	}
	if len(found.Torn) > 0 {
		found.Notes = append(found.Notes, cofre.Say("recovery.only_one", "only base backup {{.point}} leads there", "point", found.Backup.Point))
		return found
	}
	found.Notes = append(found.Notes, cofre.Say("recovery.only_one_not_whole", "only base backup {{.point}} leads there, and it is not whole: {{.why}}", "point", found.Backup.Point, "why", found.why()))
	return found
}

// why says what is not whole.
func (r *Recovery) why() cofre.Message {
	if len(r.Torn) > 0 {
		return cofre.Series(r.Torn...)
	}
	return cofre.Verbatim("cofre show " + string(r.Backup.Point))
}

type planner struct {
	target  cofre.RecoveryTarget
	backups []BaseBackup // newest first
	wal     *WAL
	scan    Scan
	probed  map[pgdata.Segment]*probe
	older   bool // a moment was refused to which an older base backup may lead: this one ended too late for it
	all     []candidate
	trial   bool // what is refused is not told what else there is
	inside  *act // of the moment that was refused
}

// candidate is a base backup with a timeline that it leads to.
type candidate struct {
	backup  BaseBackup
	history pgdata.History
	way     way
}

// plan plans, and each segment that turns out to be unreadable is a gap from then on: what ends before it does not need it, and
// what is behind it is refused as behind any gap.
func (p *planner) plan() (*Recovery, error) {
	for {
		found, err := p.choose()
		lost, ok := errors.AsType[*UnreadableError](err)
		if !ok {
			return found, err
		}
		note := p.wal.Damaged
		if errors.Is(lost.Err, cofre.ErrRefused) {
			note = p.wal.Refused
		}
		if !note(lost.Segment, cofre.OneLine(lost.Err)) {
			return found, err
		}
		p.older, p.inside = false, nil
	}
}

func (p *planner) choose() (*Recovery, error) {
	var candidates []candidate
	for _, b := range p.backups {
		if c, ok := p.lead(b); ok {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) == 0 {
		return nil, p.unreachable(nil, cofre.Say("recovery.no_way_to_timeline", "no base backup leads to timeline {{.timeline}}", "timeline", p.target.Timeline))
	}
	p.all = candidates
	switch t := p.target; {
	case !t.At.IsZero():
		return p.byTime(candidates)
	case t.LSN != 0:
		return p.byLSN(candidates)
	case t.XID != 0 || t.Name != "":
		return p.bySearch(candidates)
	case t.Immediate:
		c := candidates[0]
		if err := p.consistent(c); err != nil {
			return nil, err
		}
		return p.toConsistency(c)
	default:
		c := candidates[0]
		if err := p.consistent(c); err != nil {
			return nil, err
		}
		if c.way.gap != nil {
			return nil, p.gap(c)
		}
		return p.toEnd(c)
	}
}

// lead finds the timeline to recover along from b: the one asked for, or the newest that passes through where
// b stopped.
func (p *planner) lead(b BaseBackup) (candidate, bool) {
	timelines := p.wal.Timelines()
	if p.target.Timeline != 0 {
		timelines = []cofre.Timeline{p.target.Timeline}
	} else if !slices.Contains(timelines, b.Timeline) {
		timelines = append(timelines, b.Timeline)
	}
	for _, tli := range timelines {
		h, ok := p.wal.History(tli)
		if !ok && tli != b.Timeline {
			continue
		}
		if h.Contains(b.Timeline, b.Stop) {
			return candidate{b, h, p.wal.along(h, b.Start)}, true
		}
	}
	return candidate{}, false
}

// consistent reports the gap that keeps a base backup from becoming consistent.
func (p *planner) consistent(c candidate) error {
	if c.way.end >= c.backup.Stop {
		return nil
	}
	if c.way.gap != nil {
		return p.gap(c)
	}
	last := pgdata.SegmentAt(c.backup.Timeline, max(c.backup.Stop, 1)-1, p.wal.SegmentSize)
	return p.refuse(c, &cofre.GapError{Timeline: c.way.missing.Timeline, From: c.way.missing.Name(p.wal.SegmentSize), To: last.Name(p.wal.SegmentSize)})
}

func (p *planner) gap(c candidate) error { return p.refuse(c, c.way.gap) }

// refuse is the refusal of what is behind a gap, with the last moment before it: it was planned, and can be reached.
func (p *planner) refuse(c candidate, gap *cofre.GapError) error {
	err := fmt.Errorf("recover to %s from base backup %s: %w", p.target, c.backup.Point, gap)
	if p.trial {
		return err
	}
	before, ok := p.before(c)
	switch {
	case ok && p.behind(c) != "":
		return cofre.WithHint(err, cofre.Say("recovery.around", "everything before it can be recovered: {{.target}}; what comes after it, from base backup {{.point}} on", "target", before, "point", p.behind(c)))
	case ok:
		return cofre.WithHint(err, cofre.Say("recovery.up_to", "everything before it can be recovered: {{.target}}; what comes after it needs a newer base backup: cofre backup cluster takes one now", "target", before))
	case p.behind(c) != "":
		return cofre.WithHint(err, cofre.Say("recovery.only_behind", "nothing before it can be recovered; what comes after it, from base backup {{.point}} on", "point", p.behind(c)))
	}
	return cofre.WithHint(err, cofre.Say("recovery.inconsistent", "without this WAL the base backup does not become consistent; recover from another one, which cofre list names, and take one now: cofre backup cluster"))
}

// before is the last moment that can be reached before the WAL of c is interrupted, as it is typed: from c, or from an older base
// backup if c does not become consistent.
func (p *planner) before(c candidate) (typed string, ok bool) {
	for _, o := range append([]candidate{c}, p.all...) {
		o.way = o.way.until(c.way.end, p.wal.SegmentSize)
		if t, ok := p.reachable(cofre.RecoveryTarget{LSN: p.lastBefore(o)}); ok {
			return p.typed(t), true
		}
	}
	return "", false
}

// behind is the oldest base backup that does not need what interrupts the WAL of c; "" if there is none.
func (p *planner) behind(c candidate) (point cofre.PointID) {
	for _, o := range p.oldestFirst() {
		if o.backup.Start >= c.way.missing.End(p.wal.SegmentSize) && o.way.end >= o.backup.Stop {
			return o.backup.Point
		}
	}
	return ""
}

// recovery describes the way of c to a stop that was found on it.
func (p *planner) recovery(c candidate, at stop) *Recovery {
	on := p.onto(c, at)
	r := &Recovery{
		Backup: c.backup, Target: p.target, Timeline: on.history.Timeline, Leads: c.history.Timeline,
		Stop: at.start, Reach: at.reach, Consistent: at.consistent, CommitAt: at.commitAt, Tablespaces: at.spaces,
	}
	for _, s := range on.way.segments {
		if s.Start(p.wal.SegmentSize) < at.reach {
			r.Segments = append(r.Segments, s)
		}
	}
	if n := len(r.Segments); n > 0 {
		last := r.Segments[n-1]
		r.Unfinished = !p.wal.Segments[last]
		r.Cautious = on.way.gap != nil || at.reach+readAhead > last.End(p.wal.SegmentSize)
	}
	for _, b := range on.history.Branches() {
		if b.To > c.backup.Start {
			r.Branches = append(r.Branches, b)
		}
	}
	for _, tli := range p.wal.Timelines() {
		if h, ok := p.wal.History(tli); ok && tli != r.Leads && h.Contains(c.backup.Timeline, c.backup.Stop) {
			r.Others = append(r.Others, tli)
		}
	}
	return r
}

// readAhead is more WAL than PostgreSQL decodes ahead of what it replays, in bytes: the default of wal_decode_buffer_size is half of it.
const readAhead = 1 << 20

// onto is c along the timeline on which at lies, if all of its WAL is there. Along one that left it later PostgreSQL reads
// the segment of the fork under the child's name alone, and does not find in it what a prepared transaction has written: the
// end of the recovery is then FATAL. And it would write into the history of the timeline that begins that it had passed the
// fork, so that a base backup of the parent that ended after the stop would seem to lead there.
//
// Source: PostgreSQL, src/backend/access/transam/twophase.c, XlogReadTwoPhaseData; timeline.c, writeTimeLineHistory.
func (p *planner) onto(c candidate, at stop) candidate {
	h, ok := p.wal.History(c.history.TimelineAt(max(at.reach, 1) - 1))
	if !ok || h.Timeline == c.history.Timeline || !h.Contains(c.backup.Timeline, c.backup.Stop) {
		return c
	}
	on := candidate{c.backup, h, p.wal.along(h, c.backup.Start)}
	if on.way.end < at.reach {
		return c
	}
	// Only the segment of the fork is another file, and only the child's was read.
	var last []pgdata.Segment
	for _, s := range on.way.segments {
		if s.End(p.wal.SegmentSize) > at.start && s.Start(p.wal.SegmentSize) < at.reach {
			last = append(last, s)
		}
	}
	var end Found
	for f, err := range p.scan(last, Span{Until: at.start}) {
		if err != nil {
			return c
		}
		end = f
	}
	if end.LastRecord != at.start && !(at.consistent && end.Reached >= at.reach) {
		return c
	}
	return on
}

// byLSN stops at the first record that starts at or after the target.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, recoveryStopsAfter and recoveryStopsBefore.
func (p *planner) byLSN(candidates []candidate) (*Recovery, error) {
	target := p.target.LSN
	i := slices.IndexFunc(candidates, func(c candidate) bool { return c.backup.Stop <= target })
	if i < 0 {
		return nil, p.unreachable(candidates, cofre.Say("recovery.base_backups_end_after", "every base backup ends after it"))
	}
	c := candidates[i]
	if err := p.consistent(c); err != nil {
		return nil, err
	}
	if c.way.end <= target {
		if c.way.gap != nil {
			return nil, p.gap(c)
		}
		return nil, p.unreachable(candidates, cofre.Say("recovery.wal_ends", "the WAL ends at {{.lsn}}", "lsn", c.way.end))
	}
	// Bytes may be there and no record in them: the end of the last segment is often empty.
	last, err := p.firstRecordFrom(c, target)
	if err != nil {
		return nil, err
	}
	if last < target {
		if c.way.gap != nil {
			return nil, p.gap(c)
		}
		return nil, p.unreachable(candidates, lastRecordStarts(last))
	}
	return p.toRecord(c, target, !p.target.Exclusive)
}

// firstRecordFrom returns a position at which a record is known to start that is not before lsn, or the last
// one of all.
func (p *planner) firstRecordFrom(c candidate, lsn cofre.LSN) (cofre.LSN, error) {
	size := p.wal.SegmentSize
	at := slices.IndexFunc(c.way.segments, func(s pgdata.Segment) bool { return s.End(size) > lsn })
	var last cofre.LSN
	for _, s := range c.way.segments[at:] {
		pr, err := p.probe(s, c.way.end)
		if err != nil {
			return 0, err
		}
		if last = max(last, pr.last); last >= lsn {
			return last, nil
		}
	}
	return last, nil
}

// lastBefore is the start of the last record before the WAL of c is interrupted, for a hint; if it cannot be
// read, the end itself is the better answer.
func (p *planner) lastBefore(c candidate) cofre.LSN {
	for _, s := range slices.Backward(c.way.segments) {
		if pr, err := p.probe(s, c.way.end); err == nil && pr.last != 0 {
			return pr.last
		}
	}
	return c.way.end
}

// probe is what one segment holds, read on its own.
type probe struct {
	ends []pgdata.Moment // commits and aborts
	last cofre.LSN       // where its last record starts
}

func (p *planner) probe(s pgdata.Segment, end cofre.LSN) (*probe, error) {
	if pr := p.probed[s]; pr != nil {
		return pr, nil
	}
	pr := &probe{}
	for f, err := range p.scan([]pgdata.Segment{s}, Span{}) {
		if err != nil {
			return nil, err
		}
		// A parent's segment goes on after the fork with what the way does not follow.
		if f.LastRecord < end {
			pr.last = max(pr.last, f.LastRecord)
		}
		if k := f.Moment.Kind; (k == pgdata.MomentCommit || k == pgdata.MomentAbort) && f.Moment.Start < end {
			pr.ends = append(pr.ends, f.Moment)
		}
	}
	p.probed[s] = pr
	return pr, nil
}

// byTime stops with the last transaction that ended by the target. That the WAL reaches to the target is proven by
// one that ended after it.
func (p *planner) byTime(candidates []candidate) (*Recovery, error) {
	r, err := p.byTimeFrom(candidates)
	for err != nil && p.older && len(candidates) > 1 {
		p.older = false
		candidates = candidates[1:]
		if older, olderErr := p.byTimeFrom(candidates); olderErr == nil {
			return older, nil
		}
	}
	return r, err
}

func (p *planner) byTimeFrom(candidates []candidate) (*Recovery, error) {
	target := p.target.At
	late := func(m pgdata.Moment) bool {
		return m.At.After(target) || (p.target.Exclusive && m.At.Equal(target))
	}
	var c candidate
	chosen := false
	for _, c = range candidates {
		if c.backup.StoppedAt.After(target) {
			continue
		}
		if err := p.consistent(c); err != nil {
			return nil, err
		}
		// StoppedAt is of the clock of the host that took the backup, and commit times are of the server's.
		// What the WAL says decides.
		inside, err := p.lateInside(c, late)
		if err != nil {
			return nil, err
		}
		if chosen = !inside; chosen {
			break
		}
	}
	if !chosen {
		return nil, p.unreachable(candidates, cofre.Say("recovery.base_backups_ended_after", "every base backup ended after it"))
	}
	size := p.wal.SegmentSize
	from := slices.IndexFunc(c.way.segments, func(s pgdata.Segment) bool { return s.End(size) > c.backup.Stop })
	if from < 0 {
		from = len(c.way.segments)
	}
	segments := c.way.segments[from:]
	past := func(m pgdata.Moment) bool {
		return m.Start >= c.backup.Stop && late(m)
	}
	// Commit times do not rise strictly with their positions, but over a segment or two they do. From the end
	// backwards to a segment that has commits says whether the target lies within.
	var newest time.Time
	found, old, i := -1, 0, len(segments)-1
	for ; i >= 0 && old < 2 && found < 0; i-- {
		pr, err := p.probe(segments[i], c.way.end)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(pr.ends, past) {
			found = i
		}
		for _, m := range pr.ends {
			if m.Start >= c.backup.Stop && m.At.After(newest) {
				newest = m.At
			}
		}
		if len(pr.ends) > 0 {
			old++
		}
	}
	if found < 0 {
		// The one that is needed may cross from one segment into the next, and no probe of one sees it.
		m, err := p.first(segments[max(0, i):], c.way.end, past)
		if err != nil {
			return nil, err
		}
		if m.Kind != 0 {
			return p.beforeEnding(c, late)
		}
		if c.way.gap != nil {
			return nil, p.gap(c)
		}
		why := cofre.Say("recovery.no_transaction", "the archived WAL has no transaction that ended after the base backup")
		if !newest.IsZero() {
			why = cofre.Say("recovery.last_transaction", "the last transaction in the WAL ended at {{.at}}", "at", stamp(newest))
		}
		return nil, cofre.WithHint(p.unreachable(candidates, why), cofre.Say("recovery.end", "the end of the WAL, without a target, holds everything up to then"))
	}
	return p.beforeEnding(c, late)
}

// lateInside reports whether a transaction that the target excludes ended while the base backup was taken: it
// then does not lead to the target, whatever the clocks said. The newest before Stop decide.
func (p *planner) lateInside(c candidate, late func(pgdata.Moment) bool) (bool, error) {
	size := p.wal.SegmentSize
	for _, s := range slices.Backward(c.way.segments) {
		if s.Start(size) >= c.backup.Stop {
			continue
		}
		pr, err := p.probe(s, c.way.end)
		if err != nil {
			return false, err
		}
		seen := false
		for _, m := range pr.ends {
			if m.Start >= c.backup.Start && m.Start < c.backup.Stop {
				if seen = true; late(m) {
					return true, nil
				}
			}
		}
		if seen {
			return false, nil
		}
	}
	return false, nil
}

// first walks segments for the first transaction end that past accepts; the Kind of the answer is zero if
// there is none.
func (p *planner) first(segments []pgdata.Segment, end cofre.LSN, past func(pgdata.Moment) bool) (pgdata.Moment, error) {
	if len(segments) == 0 {
		return pgdata.Moment{}, nil
	}
	for f, err := range p.scan(segments, Span{}) {
		if err != nil {
			return pgdata.Moment{}, err
		}
		if k := f.Moment.Kind; (k == pgdata.MomentCommit || k == pgdata.MomentAbort) && f.Moment.Start < end && past(f.Moment) {
			return f.Moment, nil
		}
	}
	return pgdata.Moment{}, nil
}

// bySearch reads WAL forwards for a transaction or a restore point, from the newest base backup first.
func (p *planner) bySearch(candidates []candidate) (*Recovery, error) {
	var interrupted []candidate
	searched := map[cofre.Timeline]cofre.LSN{} // from where on each timeline has been searched
	for _, c := range candidates {
		if c.way.gap != nil || c.way.end < c.backup.Stop {
			interrupted = append(interrupted, c)
		}
		if c.way.end < c.backup.Stop {
			continue
		}
		until, ok := searched[c.history.Timeline]
		m, err := p.search(c, until, ok)
		if err != nil {
			return nil, err
		}
		if m.Kind != 0 && p.target.Exclusive {
			return p.beforeEnding(c, func(o pgdata.Moment) bool { return o.Start == m.Start })
		}
		if m.Kind != 0 {
			return p.toRecord(c, m.Start, true)
		}
		searched[c.history.Timeline] = c.backup.Stop
	}
	// It may be in what is missing.
	if len(interrupted) > 0 {
		c := interrupted[0]
		if err := p.consistent(c); err != nil {
			return nil, err
		}
		return nil, p.gap(c)
	}
	return nil, p.unreachable(candidates, cofre.Say("recovery.not_in_wal", "no WAL after a base backup holds it"))
}

// search walks from the end of c's base backup to the end of its WAL, or up to the segment that holds until.
func (p *planner) search(c candidate, until cofre.LSN, bounded bool) (pgdata.Moment, error) {
	size := p.wal.SegmentSize
	var segments []pgdata.Segment
	for _, s := range c.way.segments {
		if s.End(size) > c.backup.Stop && (!bounded || s.Start(size) <= until) {
			segments = append(segments, s)
		}
	}
	for f, err := range p.scan(segments, Span{}) {
		if err != nil {
			return pgdata.Moment{}, err
		}
		m := f.Moment
		if m.Start < c.backup.Stop || m.Start >= c.way.end {
			continue
		}
		switch m.Kind {
		case pgdata.MomentCommit, pgdata.MomentAbort:
			// PostgreSQL compares the lower 32 bits, as the WAL holds no more.
			if p.target.XID != 0 && m.XID == uint32(p.target.XID) {
				return m, nil
			}
		case pgdata.MomentRestorePoint:
			if p.target.Name != "" && m.Name == p.target.Name {
				return m, nil
			}
		}
	}
	return pgdata.Moment{}, nil
}

// unreachable says what could be reached instead, in the flags to type: each of them was planned, and can be.
func (p *planner) unreachable(candidates []candidate, why cofre.Message) error {
	e := &cofre.UnreachableError{Target: p.target.Message(), Why: why}
	if len(candidates) == 0 || p.trial {
		return e
	}
	defer func() { e.Nearest = append(e.Nearest, p.onOthers()...) }()
	var first, last cofre.RecoveryTarget
	var ok bool
	byTime := !p.target.At.IsZero() || p.target.XID != 0 || p.target.Name != ""
	for _, c := range p.oldestFirst() {
		first = cofre.RecoveryTarget{LSN: c.backup.Stop}
		if byTime {
			first = cofre.RecoveryTarget{At: ceil(c.backup.StoppedAt)}
		}
		if first, ok = p.reachable(first); ok {
			e.Nearest = append(e.Nearest, cofre.Say("recovery.nearest_from", "from {{.target}}", "target", p.typed(first)))
			break
		}
	}
	last = cofre.RecoveryTarget{LSN: p.lastBefore(p.all[0])}
	if byTime {
		last = cofre.RecoveryTarget{At: p.newest(p.all[0]).Add(-time.Microsecond)}
	}
	if last, ok = p.reachable(last); ok {
		e.Nearest = append(e.Nearest, cofre.Say("recovery.nearest_to", "to {{.target}}", "target", p.typed(last)))
	}
	if len(e.Nearest) > 0 {
		return e
	}
	end := cofre.RecoveryTarget{Immediate: true}
	if _, err := p.try(end); err == nil {
		e.Nearest = append(e.Nearest, EndOf(p.all[0].backup.Point, p.all[0].backup.StoppedAt, p.typed(end)))
	}
	return e
}

// onOthers are the timelines along which the target itself can be reached, if none was asked for: whoever promoted a copy at an earlier
// moment, and made it the original, finds what came after that moment on the timeline that was left.
func (p *planner) onOthers() (nearest []cofre.Message) {
	if t := p.target; t.Timeline != 0 || t.Immediate || t == (cofre.RecoveryTarget{Exclusive: t.Exclusive}) {
		return nil
	}
	timelines := p.wal.Timelines()
	for _, b := range p.backups {
		timelines = append(timelines, b.Timeline)
	}
	slices.Sort(timelines)
	for _, tli := range slices.Compact(timelines) {
		other := *p
		other.trial, other.inside, other.older = true, nil, false
		other.target.Timeline = tli
		if _, err := other.plan(); err == nil {
			nearest = append(nearest, cofre.Say("recovery.nearest_on", "on timeline {{.timeline}}: {{.target}}", "timeline", tli, "target", other.typed(p.target)))
		}
	}
	return nearest
}

// EndOf is the end of a base backup as a moment that can be reached, with the flags to type.
func EndOf(point cofre.PointID, stopped time.Time, flags string) cofre.Message {
	return cofre.Say("recovery.nearest_end", "the end of base backup {{.point}}, {{.at}}: {{.target}}", "point", point, "at", stamp(stopped), "target", flags)
}

func lastRecordStarts(at cofre.LSN) cofre.Message {
	return cofre.Say("recovery.last_record", "the last record of the WAL starts at {{.lsn}}", "lsn", at)
}

// oldestFirst are the candidates whose base backup becomes consistent.
func (p *planner) oldestFirst() (out []candidate) {
	for _, c := range p.all {
		if c.way.end >= c.backup.Stop {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return a.backup.StoppedAt.Compare(b.backup.StoppedAt) })
	return out
}

// ceil is the first moment at or after t that PostgreSQL can tell: it counts microseconds.
func ceil(t time.Time) time.Time {
	if c := t.Truncate(time.Microsecond); c.Before(t) {
		return c.Add(time.Microsecond)
	}
	return t
}

// triesBefore bounds how many acts, one inside the other, are stepped out of.
const triesBefore = 8

// reachable plans a target, and steps back to before what is under way there.
func (p *planner) reachable(t cofre.RecoveryTarget) (cofre.RecoveryTarget, bool) {
	for range triesBefore {
		inside, err := p.try(t)
		if err == nil {
			return t, true
		}
		if inside == nil || inside.before.Kind == 0 {
			break
		}
		t = cofre.RecoveryTarget{LSN: inside.before.Start}
	}
	return t, false
}

// try plans another target than the one that was asked for; if that lies inside an act, it returns the act.
func (p *planner) try(t cofre.RecoveryTarget) (*act, error) {
	other := *p
	other.target, other.trial, other.inside, other.older = t, true, nil, false
	other.target.Timeline = p.target.Timeline
	_, err := other.plan()
	return other.inside, err
}

// typed is a target as it is typed.
func (p *planner) typed(t cofre.RecoveryTarget) string {
	s := "--lsn " + t.LSN.String()
	switch {
	case !t.At.IsZero():
		s = "--at " + stamp(t.At)
	case t.Immediate:
		s = "--immediate"
	case t.Name != "":
		s = "--name " + shell.Quote(t.Name)
	case t.XID != 0:
		s = fmt.Sprintf("--xid %d", t.XID)
	}
	if t.Exclusive {
		s += " --exclusive"
	}
	if p.target.Timeline != 0 {
		s += fmt.Sprintf(" --timeline %d", p.target.Timeline)
	}
	return s
}

// newest is the last transaction end that can be reached along c.
func (p *planner) newest(c candidate) (at time.Time) {
	for _, s := range slices.Backward(c.way.segments) {
		pr, err := p.probe(s, c.way.end)
		if err != nil {
			return at
		}
		for _, m := range pr.ends {
			if m.At.After(at) && m.Start >= c.backup.Stop {
				at = m.At
			}
		}
		if !at.IsZero() || s.End(p.wal.SegmentSize) <= c.backup.Stop {
			return at
		}
	}
	return at
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
