package status

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
)

// failed says of a run how it failed.
func (r *Run) failed() cofre.Message {
	switch {
	case r.Code == cofre.CodeKilled:
		return cofre.Say("status.run_killed", "the last backup, which began at {{.at}}, was killed", "at", r.At)
	case r.Message == "":
		return cofre.Say("status.run_failed_code", "the last backup failed at {{.at}}: {{.code}}", "at", r.At, "code", string(r.Code))
	}
	return cofre.Say("status.run_failed", "the last backup failed at {{.at}}: {{.code}}: {{.why}}", "at", r.At, "code", string(r.Code), "why", r.Messages.Of(r.Message))
}

// judge finds what is of no single source.
func (s *Status) judge(in Input) {
	if f := s.LastFailure; f != nil {
		s.find(Attention, ConditionFailure, cofre.SourceID{}, f.failed(), cofre.Verbatim("cofre runs show "+string(f.ID)))
	}
	if n := len(in.Gone); n > 0 {
		s.find(AtRisk, ConditionJournal, cofre.SourceID{}, cofre.SayN("status.point_gone", n,
			"recovery point {{.point}} was published, did not expire, and is not in the catalog",
			"{{.n}} recovery points, {{.point}} first, were published, did not expire, and are not in the catalog", "point", in.Gone[0]),
			cofre.Say("status.point_gone_next", "see which with: cofre verify; bring the repository's files back from a copy; if a point is lost for good, say so: cofre journal acknowledge {{.point}} --why 'lost'", "point", in.Gone[0]))
	}
	if o := in.Overtaken; len(o) == 2 {
		s.find(Attention, ConditionClock, cofre.SourceID{}, o[0], o[1])
	}
	if in.Repository.Unsealed {
		s.find(Attention, ConditionSetup, cofre.SourceID{}, cofre.Say("status.not_sealed", "the seals of the repository could be written by whoever holds the storage"), cofre.Verbatim("cofre seal"))
	}
	s.verification(in)
	s.space()
	for _, u := range in.Unknown {
		s.unread(u)
	}
	if len(in.Sources) == 0 {
		s.find(Attention, ConditionSetup, cofre.SourceID{}, cofre.Say("status.no_source", "no source is configured"), cofre.Say("backup.no_source", "configure a source: database, cluster, storage or config"))
	}
}

func (s *Status) verification(in Input) {
	if in.unknown(AreaJournal) || len(in.Points) == 0 {
		return
	}
	window := cmp.Or(in.Window, DefaultWindow)
	verify := cofre.Verbatim("cofre verify --level content")
	h := in.History
	switch v := h.found; {
	case v != nil && !s.backedUpSince(v.At):
		s.find(AtRisk, ConditionDamage, cofre.SourceID{}, cofre.SayN("status.found", v.Findings, "the verification of {{.at}} had 1 finding", "the verification of {{.at}} had {{.n}} findings", "at", v.At), cofre.Say("status.heal", "see what it is, and what helps: cofre verify; a backup stores afresh what still exists: cofre backup"))
	case v != nil:
		s.find(Attention, ConditionDamage, cofre.SourceID{}, cofre.SayN("status.found_before", v.Findings, "the verification of {{.at}} had 1 finding; there was a backup since", "the verification of {{.at}} had {{.n}} findings; there was a backup since", "at", v.At), verify)
	case h.read.IsZero() && in.Now.Sub(in.Points[0].PublishedAt) > window:
		s.find(Attention, ConditionUnproven, cofre.SourceID{}, cofre.Say("status.never_verified", "nothing was ever read back"), verify)
	case !h.read.IsZero() && in.Now.Sub(h.read) > window:
		s.find(Attention, ConditionUnproven, cofre.SourceID{}, cofre.Say("status.verified_long_ago", "what is stored was last read back at {{.at}}", "at", h.read), verify)
	}
}

// backedUpSince reports whether each source was captured whole after a moment: a backup of one stores nothing of another afresh.
func (s *Status) backedUpSince(at time.Time) bool {
	return !slices.ContainsFunc(s.Sources, func(of Source) bool { return !of.successAt().After(at) })
}

// Bounds by which the free space is judged.
const (
	fullSoon   = 14 * 24 * time.Hour
	fullAtOnce = 2 * 24 * time.Hour
)

func (s *Status) space() {
	r := s.Repository
	next := cofre.Say("status.make_room", "see what may go with: cofre expire --dry-run; then give its space back: cofre prune")
	switch {
	case r.Free < 0:
	case r.Largest > 0 && r.Free < 2*r.Largest:
		s.find(AtRisk, ConditionSpace, cofre.SourceID{}, cofre.Say("status.no_room", "{{.free}} are free where the repository is, and one backup added {{.largest}}", "free", Bytes(r.Free), "largest", Bytes(r.Largest)), next)
	case r.FullIn > 0 && r.FullIn < fullAtOnce:
		s.find(AtRisk, ConditionSpace, cofre.SourceID{}, cofre.Say("status.full_at_once", "the place of the repository is full in {{.time}}: {{.free}} are free", "time", Span(r.FullIn), "free", Bytes(r.Free)), next)
	case r.FullIn > 0 && r.FullIn < fullSoon:
		s.find(Attention, ConditionSpace, cofre.SourceID{}, cofre.Say("status.full_soon", "the place of the repository is full in {{.time}}, if nothing goes: {{.free}} are free", "time", Span(r.FullIn), "free", Bytes(r.Free)), next)
	}
}

// unread is what could not be read, and what is therefore not known.
func (s *Status) unread(u Unknown) {
	what := map[Area]cofre.Message{
		AreaRepository: cofre.Say("status.unread_repository", "the repository could not be opened, so nobody knows what can be restored: {{.why}}", "why", u.Err),
		AreaCatalog:    cofre.Say("status.unread_catalog", "the catalog could not be read, so nobody knows what can be restored: {{.why}}", "why", u.Err),
		AreaPoints:     cofre.Say("status.points_hidden", "recovery points may be hidden, and nothing expires: {{.why}}", "why", u.Err),
		AreaJournal:    cofre.Say("status.unread_journal", "the journal could not be read whole, so nobody knows what failed and what was proven: {{.why}}", "why", u.Err),
		AreaWAL:        cofre.Say("status.unread_wal", "the archived WAL could not be looked at, so nobody knows which moments can be recovered: {{.why}}", "why", u.Err),
		AreaServer:     cofre.Say("status.unread_server", "the server could not be asked whether it archives: {{.why}}", "why", u.Err),
		AreaSpace:      cofre.Say("status.unread_space", "how much is free could not be asked: {{.why}}", "why", u.Err),
		AreaSize:       cofre.Say("status.unread_size", "what the repository holds could not be added up: {{.why}}", "why", u.Err),
	}[u.Area]
	verdict, of := Unclear, ConditionUnread
	if (u.Area == AreaJournal || u.Area == AreaPoints) && (errors.Is(u.Err, cofre.ErrFindings) || errors.Is(u.Err, cofre.ErrCorrupt)) {
		verdict, of = AtRisk, ConditionJournal // somebody, or something, has changed what is never changed
	}
	next := cofre.HintOf(u.Err)
	if next.IsZero() {
		next = cofre.Say("status.ask_doctor", "see what stands in the way: cofre doctor")
	}
	s.find(verdict, of, cofre.SourceID{}, what, next)
	f := &s.Findings[len(s.Findings)-1]
	f.Area, f.Code = u.Area, cofre.CodeOf(u.Err)
}

// Growth is the time over which it is added up what was added.
const Growth = 30 * 24 * time.Hour

// grown adds up what was added to the repository lately, and says how long the free space lasts.
func grown(in Input) Repository {
	r := in.Repository
	if in.unknown(AreaRepository, AreaCatalog, AreaWAL) || len(in.Points) == 0 {
		r.Added = -1
		return r
	}
	since := in.Now.Add(-Growth)
	r.Within = min(Growth, in.Now.Sub(in.Points[0].StartedAt))
	for _, p := range in.Points {
		if p.StartedAt.Before(since) {
			continue
		}
		r.Added += p.Stored()
		r.Largest = max(r.Largest, p.Stored())
	}
	r.Added += r.WALAdded
	// The first backups fill an empty repository: what they add says nothing of those that follow.
	if r.Free < 0 || r.Added <= 0 || r.Within < 2*24*time.Hour {
		return r
	}
	if times := float64(r.Free) / float64(r.Added); times < 1000 {
		r.FullIn = max(time.Duration(times*float64(r.Within)), time.Second)
	}
	return r
}
