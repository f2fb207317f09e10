// Package metrics says how an installation stands, to Prometheus: the four names of the guide, and cofre_* in base units. It computes nothing: what it
// says is what package status says, so that it is right also after a restart, and if CronJobs take the backups.
//
// Read Write.
package metrics

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/trustlayer/cofre/status"
)

// Job is one thing that an agent does by a schedule, as it stands now.
type Job struct {
	Name         string        // "backup database"
	Interval     time.Duration // from one moment at which it is due to the next; 0 if there is none
	NextAt       time.Time
	RunningSince time.Time // zero if it does not run
}

// Input is what is said.
type Input struct {
	Now     time.Time
	Version string
	Status  *status.Status // nil if it could not be computed
	Jobs    []Job
}

// Write writes everything in the text format of Prometheus.
//
// Errors: those of writing.
func Write(w io.Writer, in Input) error {
	r := prometheus.NewRegistry()
	if err := r.Register(collector{in}); err != nil {
		return err
	}
	families, err := r.Gather()
	for _, f := range families {
		_, written := expfmt.MetricFamilyToText(w, f)
		err = errors.Join(err, written)
	}
	return err
}

type collector struct{ Input }

// Describe describes nothing: which metrics there are depends on what is known.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect says everything.
func (c collector) Collect(to chan<- prometheus.Metric) {
	say := func(name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "\uFFFD")) // others would end the process
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, value, values...)
	}
	say("cofre_build_info", "1, with the version of cofre.", 1, "version", c.Version, "goversion", runtime.Version())
	for _, j := range c.Jobs {
		if j.Interval > 0 {
			say("cofre_expected_interval_seconds", "From one moment at which the job is due to the next.", j.Interval.Seconds(), "job", j.Name)
		}
		if !j.NextAt.IsZero() {
			say("cofre_next_due_timestamp_seconds", "When the job is due next.", unix(j.NextAt), "job", j.Name)
		}
		running := 0.0
		if !j.RunningSince.IsZero() {
			running = c.Now.Sub(j.RunningSince).Seconds()
		}
		say("cofre_running_seconds", "How long this agent has been doing the job; 0 if it does not.", running, "job", j.Name)
	}
	say("cofre_status_known", "1 if it could be looked at how the installation stands; 0 says that everything else of it is missing here.", is(c.Status != nil))
	if s := c.Status; s != nil {
		c.standing(s, say)
	}
}

type sayer func(name, help string, value float64, labels ...string)

func (c collector) standing(s *status.Status, say sayer) {
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
	for _, of := range s.Sources {
		if !of.To.IsZero() { // it grows between two looks
			of.RPO = max(c.Now.Sub(of.To), 0)
		}
		if of.Overdue > 0 {
			of.Overdue += max(c.Now.Sub(s.At), 0)
		}
		source(of, say)
	}
	if r := s.Repository; r.Bytes >= 0 {
		say("cofre_repository_stored_bytes", "What the repository holds.", float64(r.Bytes))
	}
	if r := s.Repository; r.Free >= 0 {
		say("cofre_repository_free_bytes", "What is free where the repository is.", float64(r.Free))
	}
	if r := s.Repository; r.Added >= 0 && r.Within > 0 {
		say("cofre_repository_growth_bytes_per_second", "What was added to the repository, over the last 30 days at most.", float64(r.Added)/r.Within.Seconds())
	}
	if v := s.Verified; v != nil {
		say("cofre_last_verification_timestamp_seconds", "When the whole repository was verified last.", unix(v.At), "level", string(v.Reached))
		say("cofre_last_verification_findings", "What the last verification of the whole repository found.", float64(v.Findings))
	}
	if v := s.Coverage; v != nil {
		say("cofre_verification_coverage_ratio", "How much of what is stored was read back within verify.window.", v.Share)
	}
}

func source(of status.Source, say sayer) {
	name, kind := of.ID.Name, string(of.ID.Kind)
	each := func(metric, help string, value float64, more ...string) {
		say(metric, help, value, append([]string{"source", name, "kind", kind}, more...)...)
	}
	if c := of.Success; c != nil {
		each("backup_last_success_timestamp", "When the newest backup that is whole was captured.", unix(c.At.Add(c.Took)))
		each("backup_duration_seconds", "How long the newest backup that is whole took.", c.Took.Seconds())
		each("backup_size_bytes", "What the newest backup that is whole holds.", float64(c.Bytes))
		each("cofre_backup_new_bytes", "What the newest backup that is whole added to the repository.", float64(c.New))
	}
	each("backup_s3_upload_success", "1 if the newest attempt at a backup has reached the repository whole, 0 if not.", is(of.Success != nil && of.Failure == nil))
	if !of.To.IsZero() {
		each("cofre_rpo_seconds", "How old the newest moment is that can be restored.", of.RPO.Seconds())
		each("cofre_recovery_window_start_timestamp_seconds", "The first moment that can be restored.", unix(of.From))
		each("cofre_recovery_window_end_timestamp_seconds", "The newest moment that can be restored.", unix(of.To))
	}
	if of.Objective > 0 {
		each("cofre_rpo_target_seconds", "How much work may be lost.", of.Objective.Seconds())
	}
	if !of.LevelAt.IsZero() {
		each("cofre_backup_verified_timestamp_seconds", "When the newest backup that is whole was proven, and how deep.", unix(of.LevelAt), "level", string(of.Level))
	}
	if of.Success != nil || of.Overdue > 0 { // otherwise it is not known since when
		each("cofre_backup_overdue_seconds", "Since when a backup is due and has not come; 0 if none is.", of.Overdue.Seconds())
	}
	each("cofre_backups_restorable", "Backups that can be restored whole.", float64(of.Restorable))
	each("cofre_backups_damaged", "Backups that are known to have lost something.", float64(of.Damaged))
	each("cofre_wal_gaps", "Gaps in the archived WAL.", float64(len(of.Gaps)))
	each("cofre_retention_frozen", "1 if nothing of the source expires.", is(of.Frozen != nil))
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
