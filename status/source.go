package status

import (
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/retention"
)

// Source is how one source stands.
type Source struct {
	ID      cofre.SourceID `json:"source"`
	Verdict Verdict        `json:"verdict"`
	// Restorable is how many components are whole, as far as is known.
	Restorable int `json:"restorable"`
	// From and To are the first and the newest moment that can be restored; zero if there is none, or it is not known. Of a cluster whose WAL is archived From is the
	// first from which nothing is missing up to To: base backups from before a gap can be restored as well, and are counted.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// EveryMoment says that what lies between can be restored, too.
	EveryMoment bool            `json:"every_moment"`
	Gaps        []wal.StatusGap `json:"gaps"`
	// RPO is how old To is: at most so much would be lost. It is meaningless if To is zero.
	RPO       time.Duration `json:"rpo_ns"`
	Objective time.Duration `json:"objective_ns,omitempty"` // 0 if the source is not measured against one
	// Within is the source that brings the same data back as well, and reaches the objective in its place; zero if there is none.
	Within  cofre.SourceID `json:"within,omitzero"`
	Met     bool           `json:"objective_met"`
	Success *Capture       `json:"last_success,omitempty"`
	Failure *Failure       `json:"last_failure,omitempty"` // since then
	Level   cofre.Level    `json:"level,omitempty"`        // the deepest that is proven of the newest component that is whole
	LevelAt time.Time      `json:"level_at,omitzero"`
	// LevelDepth is how deep the drill compared that proved the level; "" if no drill did.
	LevelDepth cofre.DrillDepth `json:"level_depth,omitempty"`
	// Drill is the newest drill, DrilledWell when the newest ended that found nothing, and DrillRed the newest that is red and that nothing has made good.
	Drill       *Drilled  `json:"last_drill,omitempty"`
	DrilledWell time.Time `json:"drilled_well_at,omitzero"`
	DrillRed    *Drilled  `json:"red_drill,omitempty"`
	DrillNext   time.Time `json:"next_drill_due,omitzero"`
	// DrillInterval is from one moment at which a drill is due to the next; 0 without a schedule of drills.
	DrillInterval time.Duration `json:"expected_drill_interval_ns,omitempty"`
	DrillOverdue  time.Duration `json:"drill_overdue_ns,omitempty"` // since one was due first and did not come
	// Recovery is nil if no drill has measured it.
	Recovery *Recovery `json:"recovery,omitempty"`
	Schedule string    `json:"schedule,omitempty"` // "" if none is configured
	NextDue  time.Time `json:"next_due,omitzero"`
	// Interval is from the moment at which it is due next to the one after it; 0 without a schedule.
	Interval time.Duration `json:"expected_interval_ns,omitempty"`
	Overdue  time.Duration `json:"overdue_ns,omitempty"` // since it was due first and did not come
	Frozen   *Frozen       `json:"frozen,omitempty"`     // nothing of it expires
	Kept     int           `json:"kept"`
	Damaged  int           `json:"damaged"` // components that are known to have lost something

	first time.Time // when its first component that is whole was published
}

// Capture is a component that is whole.
type Capture struct {
	Point cofre.PointID `json:"point"`
	At    time.Time     `json:"at"` // when its capture began
	Took  time.Duration `json:"took_ns"`
	Bytes int64         `json:"bytes"`
	New   int64         `json:"new_bytes"`
}

// Failure is why a source could not be captured.
type Failure struct {
	At       time.Time      `json:"at"`
	Run      cofre.RunID    `json:"run,omitempty"`
	Code     cofre.Code     `json:"code,omitempty"`
	Message  string         `json:"message"`
	Messages cofre.Messages `json:"messages,omitempty"`

	partial cofre.PointID // that has it, and not whole
	object  string        // that is not as it is to be
}

// Frozen says since when and why nothing of a source expires.
type Frozen struct {
	Since    time.Time      `json:"since"`
	Why      string         `json:"why"`
	Messages cofre.Messages `json:"messages"`
}

// Bounds by which a source is judged.
const (
	skew      = 5 * time.Minute // between clocks
	late      = time.Hour       // beyond the moment at which a run is due and the time that it takes
	tooFrozen = 3 * 24 * time.Hour
)

// judged is one source under judgement.
type judged struct {
	in   *Input
	to   *Status
	conf Configured
	out  Source
	last cofre.RecoveryPoint // that has the newest component that is whole
	of   cofre.Component
}

func newJudged(in *Input, to *Status, c Configured) *judged {
	return &judged{in: in, to: to, conf: c, out: Source{ID: c.ID, Schedule: c.Schedule, Verdict: OK, Gaps: []wal.StatusGap{}}}
}

// source says how the source stands, and finds what is to be done.
func (j *judged) source() Source {
	before := len(j.to.Findings)
	if !j.in.unknown(AreaRepository, AreaCatalog) {
		j.components()
		j.wal()
		j.failure()
		j.frozen()
		j.objective()
		j.proofs()
		j.drills()
	} else if j.conf.ID.Kind == cofre.KindCluster {
		j.gaps()
	}
	j.due()
	for _, f := range j.to.Findings[before:] {
		j.out.Verdict = Worst(j.out.Verdict, f.Verdict)
	}
	if j.in.unknown(AreaRepository, AreaCatalog) || j.conf.Archives && j.in.unknown(AreaWAL) {
		j.out.Verdict = Worst(j.out.Verdict, Unclear)
	}
	return j.out
}

func (j *judged) find(v Verdict, of Condition, what, next cofre.Message) {
	j.to.find(v, of, j.conf.ID, what, next)
}

// again is the command that backs up the source.
func (j *judged) again() cofre.Message {
	return cofre.Verbatim("cofre backup " + string(j.conf.ID.Kind))
}

// components finds the components that are whole, and what is damaged.
func (j *judged) components() {
	newestLost := 0
	var ahead cofre.RecoveryPoint
	for _, p := range j.in.Points {
		for _, c := range p.Components {
			if c.Kind != j.conf.ID.Kind || c.Name != j.conf.ID.Name {
				continue
			}
			lost := damageOf(j.in.Damage[p.ID], c)
			newestLost = lost
			if lost > 0 {
				j.out.Damaged++
			}
			if c.Partial || lost > 0 {
				continue
			}
			if j.out.Restorable++; j.out.first.IsZero() {
				j.out.first = p.PublishedAt
			}
			if c.StartedAt.After(j.in.Now.Add(skew)) {
				ahead = p // it says nothing of how much would be lost
				continue
			}
			if j.out.From.IsZero() {
				j.out.From = c.StartedAt
			}
			j.last, j.of, j.out.To = p, c, c.StartedAt
		}
	}
	if ahead.ID != "" {
		j.ahead(ahead.StartedAt, cofre.Say("status.disbelieve", "compare date -u here, and where the backup was made; if its clock was ahead, go on without its time: cofre journal acknowledge {{.point}} --why 'its clock was ahead'", "point", ahead.ID))
	}
	if !j.out.To.IsZero() {
		j.out.Success = &Capture{Point: j.last.ID, At: j.of.StartedAt, Took: j.of.EndedAt.Sub(j.of.StartedAt), Bytes: j.of.Bytes, New: j.of.Stored}
	}
	switch {
	case j.out.Restorable == 0 && j.out.Damaged == 0:
		j.find(AtRisk, ConditionDamage, cofre.Say("status.nothing", "nothing can be restored: there is no whole backup of it"), j.again())
	case j.out.Restorable == 0:
		j.find(AtRisk, ConditionDamage, cofre.SayN("status.all_damaged", j.out.Damaged, "nothing can be restored whole: its only backup is damaged", "nothing can be restored whole: all of its {{.n}} backups are damaged"), j.again())
	case newestLost > 0:
		j.find(AtRisk, ConditionDamage, cofre.SayN("status.newest_damaged", newestLost, "the newest backup is damaged: 1 object is lost", "the newest backup is damaged: {{.n}} objects are lost"), j.again())
	case j.out.Damaged > 0:
		j.find(Attention, ConditionDamage, cofre.SayN("status.damaged", j.out.Damaged, "1 older backup is damaged; a backup stores afresh what still exists", "{{.n}} older backups are damaged; a backup stores afresh what still exists"), j.again())
	}
}

// ahead finds a moment that is yet to come. If nothing else can be restored, nobody knows how old what can be is.
func (j *judged) ahead(at time.Time, next cofre.Message) {
	v := Attention
	if j.out.To.IsZero() || j.out.To.Equal(at) {
		v = Unclear
	}
	j.find(v, ConditionClock, cofre.Say("status.ahead", "a backup, or WAL, was stored at {{.at}}, which is yet to come: a clock is wrong, here or there, and how much would be lost is measured without it", "at", at), next)
}

func damageOf(damage []cofre.Finding, c cofre.Component) (n int) {
	for _, f := range damage {
		if f.Kind == c.Kind && f.Name == c.Name {
			n++
		}
	}
	return n
}

// wal extends what base backups reach by the WAL behind them.
func (j *judged) wal() {
	if j.conf.ID.Kind != cofre.KindCluster {
		return
	}
	var from, newest time.Time
	var timeline cofre.Timeline
	var end cofre.LSN
	for _, of := range j.in.WAL {
		if of.Former {
			continue
		}
		for i, w := range of.Windows {
			// The last window of the highest timeline is that of the server as it runs now: what is before it is on the other side of a gap, or of a fork.
			if w.Timeline > timeline || w.Timeline == timeline && w.To >= end {
				from, newest, timeline, end = w.FromAt, of.StoredAt[i], w.Timeline, w.To
			}
		}
		if len(of.Alone) > 0 && j.of.EndedAt.After(newest) {
			from, newest = time.Time{}, j.of.EndedAt // no WAL leads there
		}
	}
	if !newest.IsZero() {
		j.out.EveryMoment = !from.IsZero()
		j.out.To = newest
		if j.out.EveryMoment {
			j.out.From = from
		}
		if a := j.in.Archiver; a != nil && a.Slot == "" && a.Archives() && !a.Oldest.IsZero() && a.Oldest.Before(newest) {
			j.out.To = a.Oldest // what was archived since was written long before
		}
	}
	if newest.After(j.in.Now.Add(skew)) {
		j.ahead(newest, cofre.Say("status.set_clock", "compare date -u here, and where the backup was made; then: cofre backup {{.kind}}", "kind", string(j.conf.ID.Kind)))
	}
	j.gaps()
	if !j.in.unknown(AreaWAL) && j.conf.Archives && j.out.Restorable > 0 && newest.IsZero() {
		j.find(AtRisk, ConditionGap, cofre.Say("status.no_window", "no archived WAL continues a base backup: nothing after the base backups can be recovered"), cofre.Say("status.check_wal", "see why with: cofre check"))
	}
}

// gaps are WAL that is missing, damaged, or does not go on.
func (j *judged) gaps() {
	for _, of := range j.in.WAL {
		for _, g := range of.Gaps {
			j.out.Gaps = append(j.out.Gaps, g)
			if g.Alarm {
				j.find(AtRisk, ConditionGap, g.Message(), cofre.Say("status.after_gap", "nothing behind it can be recovered before there is a new base backup: cofre backup cluster"))
			}
		}
		for _, tli := range of.Orphans {
			j.find(AtRisk, ConditionGap, cofre.SayError(wal.ErrNoHistory(tli)), cofre.Say("status.wal_status", "cofre wal status says more"))
		}
		if of.Origin.Required && of.Origin.Asked {
			j.find(Attention, ConditionSetup, cofre.Say("status.key_waits", "a host signs WAL with a key that nobody has admitted: what it archives is not believed before"), cofre.Verbatim("cofre wal admit"))
		}
		for _, u := range of.Unread {
			j.find(Attention, ConditionDamage, cofre.SayError(u.Err), wal.MoveAway(u.Err))
		}
		for _, r := range of.Repositories {
			switch {
			case r.Err != nil:
				j.find(Attention, ConditionCopy, cofre.Say("status.copy_down", "the copy {{.url}} could not be reached: {{.cause}}", "url", r.URL, "cause", r.Err), cofre.Verbatim("cofre wal status"))
			case len(r.Missing)+len(r.Damaged) > 0:
				j.find(Attention, ConditionCopy, cofre.Say("status.copy_misses", "{{.url}} lacks WAL that another repository has", "url", r.URL), cofre.Verbatim("cofre wal mend"))
			}
		}
	}
	if a := j.in.Archiver; a != nil {
		if what, hint := a.Trouble(); !what.IsZero() {
			j.find(AtRisk, ConditionGap, what, hint)
		}
	}
}

// failure finds why the source could not be captured since it was whole last.
func (j *judged) failure() {
	for _, p := range j.in.Points {
		for _, f := range p.Missing() {
			if f.Kind == j.conf.ID.Kind && f.Object == j.conf.ID.Name && p.StartedAt.After(j.out.successAt()) {
				j.out.Failure = &Failure{At: p.StartedAt, Code: cofre.CodePartial, Message: f.What, Messages: f.Messages}
			}
		}
		j.partial(p)
	}
	if f := j.in.lastFailure(j.conf); f != nil && runs.IsOf(f.What, j.conf.ID.Kind) && f.At.After(j.out.successAt()) && (j.out.Failure == nil || f.At.After(j.out.Failure.At)) {
		j.out.Failure = &Failure{At: f.At, Run: f.ID, Code: f.Code, Message: f.Message, Messages: f.Messages}
		if j.to.LastFailure.ID != f.ID { // that is found once, for all that it was of
			j.find(Attention, ConditionFailure, f.failed(), cofre.Verbatim("cofre runs show "+string(f.ID)))
		}
		return
	}
	if f := j.out.Failure; f != nil && f.partial != "" {
		j.find(Attention, ConditionFailure, cofre.Say("status.partial", "its last backup, at {{.at}}, is not whole: {{.object}}: {{.why}}", "at", f.At, "object", cofre.Verbatim(f.object), "why", f.Messages.Of(f.Message)), cofre.Verbatim("cofre show "+string(f.partial)))
	} else if f != nil {
		j.find(Attention, ConditionFailure, cofre.Say("status.failing", "its last backup failed at {{.at}}: {{.why}}", "at", f.At, "why", f.Messages.Of(f.Message)), j.again())
	}
}

// partial takes a point that has the source in part: it can be restored, and is not what was asked for.
func (j *judged) partial(p cofre.RecoveryPoint) {
	c, ok := p.Component(j.conf.ID.Kind, j.conf.ID.Name)
	if !ok || !c.Partial || !p.StartedAt.After(j.out.successAt()) {
		return
	}
	f := &Failure{At: p.StartedAt, Code: cofre.CodePartial, partial: p.ID}
	for _, found := range p.Findings {
		if found.Kind == c.Kind {
			f.Message, f.Messages, f.object = found.What, found.Messages, found.Object
			break
		}
	}
	j.out.Failure = f
}

func (s Source) successAt() time.Time {
	if s.Success == nil {
		return time.Time{}
	}
	return s.Success.At
}

func (j *judged) frozen() {
	if j.in.Retention == nil {
		return
	}
	i := slices.IndexFunc(j.in.Retention.Sources, func(s retention.Source) bool { return s.ID == j.conf.ID })
	if i < 0 {
		return
	}
	of := j.in.Retention.Sources[i]
	j.out.Kept = of.Kept
	if of.Frozen == nil {
		return
	}
	j.out.Frozen = &Frozen{Since: of.Frozen.Since, Why: of.Frozen.Reason.Text, Messages: cofre.Messages{of.Frozen.Reason}}
	v := Attention
	switch {
	case j.in.Now.Sub(of.Frozen.Since) > tooFrozen:
		v = AtRisk // the disk fills
	case j.out.Failure != nil && of.Frozen.Reason.Code == "retention.failing":
		return // the failure is said already
	}
	j.find(v, ConditionFrozen, cofre.Say("status.frozen", "retention is frozen since {{.since}}: {{.why}}", "since", of.Frozen.Since, "why", of.Frozen.Reason), cofre.Say("status.see_expire", "see what stays, and why, with: cofre expire --dry-run"))
}

// objective measures how much would be lost now. Configuration files are not measured: what they hold changes when somebody changes it.
func (j *judged) objective() {
	if j.out.To.IsZero() {
		return
	}
	j.out.RPO = max(j.in.Now.Sub(j.out.To), 0)
	j.out.Met = true
	if j.in.RPO == 0 || j.conf.ID.Kind == cofre.KindConfig {
		return
	}
	j.out.Objective = j.in.RPO
	if j.within() {
		j.out.Within = j.conf.Within
	}
	if j.out.To.After(j.in.Now.Add(skew)) {
		j.out.Met = false // which is found by itself
		return
	}
	j.out.Met = j.out.RPO <= j.in.RPO
	if j.out.Met || j.out.Within != (cofre.SourceID{}) {
		j.out.Met = true
		return
	}
	j.find(AtRisk, ConditionRPO, cofre.Say("status.rpo", "{{.lost}} of work would be lost now, and {{.objective}} is the objective", "lost", Span(j.out.RPO), "objective", Span(j.in.RPO)), j.again())
}

// within reports whether the source that brings the same data back as well reaches the objective, or is found not to by itself.
func (j *judged) within() bool {
	return j.conf.Within != (cofre.SourceID{}) && slices.ContainsFunc(j.in.Sources, func(c Configured) bool { return c.ID == j.conf.Within && c.Archives })
}

func (j *judged) proofs() {
	if j.out.Success != nil {
		j.out.Level, j.out.LevelAt = j.in.History.levelOf(j.last, j.of)
		if d, ok := j.in.History.drilled[component{j.last.ID, j.of.Root}]; ok {
			j.out.Level, j.out.LevelAt, j.out.LevelDepth = cofre.LevelDrill, d.At, d.Depth
		}
	}
}

// due says when the source is due, and since when it is late.
func (j *judged) due() {
	if j.conf.Next == nil {
		return
	}
	if j.out.NextDue = j.conf.Next(j.in.Now); !j.out.NextDue.IsZero() {
		j.out.Interval = max(j.conf.Next(j.out.NextDue).Sub(j.out.NextDue), 0)
	}
	if j.out.Success == nil {
		return
	}
	was := j.conf.Next(j.out.Success.At)
	after := j.conf.Next(was)
	if was.IsZero() || !j.in.Now.After(was.Add(late+j.out.Success.Took)) {
		return
	}
	j.out.Overdue = j.in.Now.Sub(was)
	v := Attention
	if !after.IsZero() && j.in.Now.After(after.Add(late+j.out.Success.Took)) {
		v = AtRisk // twice in a row
	}
	j.find(v, ConditionLate, cofre.Say("status.overdue", "its newest whole backup is of {{.at}}, and the next one was due at {{.due}}", "at", j.out.Success.At, "due", was), j.again())
}
