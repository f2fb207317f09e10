package metrics

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/status"
)

// areas are what a status is made of, each of which can be unknown by itself.
var areas = []status.Area{
	status.AreaRepository, status.AreaCatalog, status.AreaPoints, status.AreaJournal, status.AreaWAL, status.AreaServer, status.AreaSpace, status.AreaSize,
}

// known reports whether all of these areas could be read. Where the catalog could not, not every other area says so by itself.
func known(s *status.Status, of ...status.Area) bool {
	of = append(of, status.AreaRepository, status.AreaCatalog)
	return !slices.ContainsFunc(s.Findings, func(f status.Finding) bool { return f.Area != "" && slices.Contains(of, f.Area) })
}

// standing says how the installation stands.
func standing(now time.Time, s *status.Status, say sayer) {
	say("cofre_status_timestamp_seconds", "When this was looked at.", unix(s.At))
	for _, v := range []status.Verdict{status.OK, status.Attention, status.Unclear, status.AtRisk} {
		n := 0.0
		for _, f := range s.Findings {
			if f.Verdict == v {
				n++
			}
		}
		say("cofre_verdict", "1 for the verdict of cofre status, 0 for the others.", is(s.Verdict == v), "verdict", string(v))
		if v != status.OK {
			say("cofre_findings", "Things that cofre status names.", n, "verdict", string(v))
		}
	}
	for _, a := range areas {
		if ok := known(s, a); ok || slices.ContainsFunc(s.Findings, func(f status.Finding) bool { return f.Area == a }) {
			say("cofre_area_known", "1 if this area of what a status is made of could be read, 0 if not.", is(ok), "area", string(a))
		}
	}
	for _, of := range s.Sources {
		if !of.To.IsZero() { // it grows between two looks
			of.RPO = max(now.Sub(of.To), 0)
		}
		if of.Overdue > 0 {
			of.Overdue += max(now.Sub(s.At), 0)
		}
		if of.DrillOverdue > 0 {
			of.DrillOverdue += max(now.Sub(s.At), 0)
		}
		source(s, of, say)
	}
	if s.RTO > 0 {
		say("cofre_rto_target_seconds", "How long a restore may take.", s.RTO.Seconds())
	}
	archiver(s, say)
	repository(s, say)
	verification(s, say)
	record(s, say)
}

// source says how one source stands.
func source(s *status.Status, of status.Source, say sayer) {
	each := func(metric, help string, value float64, labels ...string) {
		say(metric, help, value, append([]string{"source", of.ID.Name, "kind", string(of.ID.Kind)}, labels...)...)
	}
	if c := of.Success; c != nil {
		each("backup_last_success_timestamp", "When the newest backup that is whole was captured.", unix(c.At.Add(c.Took)))
		each("backup_duration_seconds", "How long the newest backup that is whole took.", c.Took.Seconds())
		each("backup_size_bytes", "What the newest backup that is whole holds.", float64(c.Bytes))
		each("cofre_backup_new_bytes", "What the newest backup that is whole added to the repository.", float64(c.New))
	}
	if of.Failure != nil || known(s, status.AreaJournal) {
		each("backup_s3_upload_success", "1 if the newest attempt at a backup has reached the repository whole, 0 if not.", is(of.Success != nil && of.Failure == nil))
		each("cofre_backup_failed", "1 if the newest attempt at a backup failed, or left something out.", is(of.Failure != nil))
	}
	if f := of.Failure; f != nil {
		each("cofre_backup_last_failure_timestamp_seconds", "When the newest attempt at a backup failed.", unix(f.At))
	}
	if !of.To.IsZero() {
		each("cofre_rpo_seconds", "How old the newest moment is that can be restored.", of.RPO.Seconds())
		each("cofre_recovery_window_start_timestamp_seconds", "The first moment that can be restored.", unix(of.From))
		each("cofre_recovery_window_end_timestamp_seconds", "The newest moment that can be restored.", unix(of.To))
		each("cofre_recovery_window_continuous", "1 if every moment of the recovery window can be restored, 0 if only those of backups.", is(of.EveryMoment))
	}
	if of.Objective > 0 && of.Within == (cofre.SourceID{}) {
		each("cofre_rpo_target_seconds", "How much work may be lost; missing if another source brings the same data back.", of.Objective.Seconds())
	}
	if !of.LevelAt.IsZero() {
		say("cofre_backup_verified_timestamp_seconds", "When the newest backup that is whole was proven, and how deep.", unix(of.LevelAt), "source", of.ID.Name, "kind", string(of.ID.Kind), "level", string(of.Level))
	}
	drilled(s, of, each)
	if of.Interval > 0 {
		each("cofre_backup_expected_interval_seconds", "From one moment at which a backup is due to the next.", of.Interval.Seconds())
	}
	if of.Success != nil || of.Overdue > 0 { // otherwise it is not known since when
		each("cofre_backup_overdue_seconds", "Since when a backup is due and has not come; 0 if none is.", of.Overdue.Seconds())
	}
	if known(s) {
		each("cofre_backups_restorable", "Backups that can be restored whole.", float64(of.Restorable))
		each("cofre_backups_damaged", "Backups that are known to have lost something.", float64(of.Damaged))
	}
	if of.ID.Kind == cofre.KindCluster && known(s, status.AreaWAL) {
		open := 0.0
		for _, g := range of.Gaps {
			open += is(g.Alarm)
		}
		each("cofre_wal_gaps", "Gaps in the archived WAL.", float64(len(of.Gaps)))
		each("cofre_wal_open_gaps", "Gaps in the archived WAL for which the present cannot be recovered, and that nobody has acknowledged.", open)
	}
	if known(s, status.AreaPoints, status.AreaJournal) {
		each("cofre_retention_frozen", "1 if nothing of the source expires.", is(of.Frozen != nil))
		if f := of.Frozen; f != nil {
			each("cofre_retention_frozen_since_timestamp_seconds", "Since when nothing of the source expires.", unix(f.Since))
		}
	}
}

// archiver says what the server says of its archiving.
func archiver(s *status.Status, say sayer) {
	i := slices.IndexFunc(s.Sources, func(of status.Source) bool { return of.ID.Kind == cofre.KindCluster })
	a := s.Archiver
	if i < 0 || a == nil {
		return
	}
	each := func(metric, help string, value float64) {
		say(metric, help, value, "source", s.Sources[i].ID.Name, "kind", string(cofre.KindCluster))
	}
	what, _ := a.Trouble()
	if a.Slot != "" {
		each("cofre_wal_streamed", "1 if somebody streams the WAL from the slot, 0 if not.", is(a.Streamed))
	} else {
		each("cofre_wal_archiving_failing", "1 if the server's archiving fails, is stuck or is far behind.", is(!what.IsZero()))
	}
	if a.Waiting >= 0 {
		each("cofre_wal_ready_segments", "Files of WAL that wait to be archived.", float64(a.Waiting))
	}
	if !a.Oldest.IsZero() {
		each("cofre_wal_ready_since_timestamp_seconds", "Since when the first file of WAL waits to be archived.", unix(a.Oldest))
	}
	if a.Behind >= 0 {
		each("cofre_wal_behind_segments", "Whole segments between the last that was archived and the one that is written.", float64(a.Behind))
	}
	if a.Room >= 0 {
		each("cofre_pg_wal_free_bytes", "What is free where the server's pg_wal is.", float64(a.Room))
	}
}

// repository says how the place is where bytes rest, and what copies lack.
func repository(s *status.Status, say sayer) {
	r := s.Repository
	if r.Bytes >= 0 {
		say("cofre_repository_stored_bytes", "What the repository holds.", float64(r.Bytes))
	}
	if r.Free >= 0 {
		say("cofre_repository_free_bytes", "What is free where the repository is.", float64(r.Free))
	}
	if r.Added >= 0 && r.Within > 0 {
		say("cofre_repository_growth_bytes_per_second", "What was added to the repository, over the last 30 days at most.", float64(r.Added)/r.Within.Seconds())
		say("cofre_repository_largest_backup_bytes", "The most that one backup has added to the repository lately.", float64(r.Largest))
	}
	if r.FullIn > 0 {
		say("cofre_repository_full_seconds", "How long the free space lasts if it goes on like this and nothing is pruned.", r.FullIn.Seconds())
	}
	for _, h := range s.WAL {
		say("cofre_wal_repository_reachable", "1 if the WAL in this repository or copy could be looked at.", is(h.Err == nil), "repository", h.URL)
		if h.Err == nil {
			say("cofre_wal_repository_gaps", "Stretches of WAL that this repository or copy lacks and another has.", float64(len(h.Missing)), "repository", h.URL)
			say("cofre_wal_repository_damaged_segments", "Segments that cannot be read in this repository or copy.", float64(len(h.Damaged)), "repository", h.URL)
		}
	}
}

// verification says what was read back, and what that found.
func verification(s *status.Status, say sayer) {
	say("cofre_verification_window_seconds", "The time within which everything is to be read back.", s.Window.Seconds())
	if !s.Unread.IsZero() && known(s, status.AreaJournal) {
		say("cofre_unverified_since_timestamp_seconds", "When everything was to be read back last, or when the first backup was made if it never was.", unix(s.Unread))
	}
	if v := s.Verified; v != nil {
		say("cofre_last_verification_timestamp_seconds", "When the whole repository was verified last.", unix(v.At), "level", string(v.Reached))
		say("cofre_last_verification_findings", "What the last verification of the whole repository found.", float64(v.Findings))
	}
	if known(s, status.AreaJournal) {
		n := 0.0
		if s.Found != nil {
			n = float64(s.Found.Findings)
		}
		say("cofre_verification_open_findings", "What verification found, and no verification that looks as deep has found gone since.", n)
	}
	if v := s.Coverage; v != nil {
		say("cofre_verification_coverage_ratio", "How much of what is stored was read back within verify.window.", v.Share)
	}
}

// record says what the journal says: what is held, what is gone, and a witness of the journal itself, which Prometheus keeps where nobody who rewrites
// the journal reaches it.
func record(s *status.Status, say sayer) {
	bad := slices.ContainsFunc(s.Findings, func(f status.Finding) bool { return f.Area == status.AreaJournal && f.Verdict == status.AtRisk })
	if bad || s.Checkpoint != "" && known(s, status.AreaJournal) {
		say("cofre_journal_consistent", "1 if the journal continues what this machine knows of it, 0 if it was changed.", is(!bad))
	}
	if c, err := journal.ParseCheckpoint(s.Checkpoint); err == nil && c.Size > 0 {
		say("cofre_journal_entries", "Entries of the journal.", float64(c.Size))
		say("cofre_journal_root", "The first 48 bits of the hash over the whole journal, as a number.", float64(binary.BigEndian.Uint64(c.Root[:8])>>16))
	}
	if !known(s, status.AreaJournal) {
		return
	}
	say("cofre_recovery_points_gone", "Recovery points that were published, did not expire, and are not in the catalog.", float64(s.Gone))
	say("cofre_holds", "Holds that have not ended.", float64(s.Holds))
	if !s.HoldEnds.IsZero() {
		say("cofre_next_hold_end_timestamp_seconds", "When the next hold ends.", unix(s.HoldEnds))
	}
}
