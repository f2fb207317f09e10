package metrics_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/metrics"
	"github.com/trustlayer/cofre/status"
)

func TestWhatIsSaid(t *testing.T) {
	now := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	in := metrics.Input{
		Now: now, Version: "1.2", Jobs: []metrics.Job{{Name: "of \xff"}, {Name: "backup database", Interval: 24 * time.Hour, NextAt: now.Add(time.Hour), RunningSince: now.Add(-90 * time.Second)}, {Name: "prune"}},
		Status: &status.Status{At: now, Verdict: status.AtRisk, Findings: []status.Finding{{Verdict: status.AtRisk}, {Verdict: status.Attention}}, Repository: status.Repository{Bytes: 10, Free: -1, Added: -1}, Sources: []status.Source{
			{ID: cofre.SourceID{Kind: cofre.KindDatabase, Name: "a\"b\n"}, Success: &status.Capture{At: now.Add(-time.Hour), Took: time.Minute, Bytes: 7, New: 3}, To: now.Add(-time.Hour), From: now.Add(-time.Hour), RPO: time.Hour, Objective: time.Hour, Frozen: &status.Frozen{}},
			{ID: cofre.SourceID{Kind: cofre.KindConfig, Name: "config"}, Failure: &status.Failure{}, Overdue: time.Minute},
		}},
	}
	var b bytes.Buffer
	if err := metrics.Write(&b, in); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`backup_last_success_timestamp{kind="database",source="a\"b\n"} 1.79578446e+09`, `backup_duration_seconds{kind="database",source="a\"b\n"} 60`, `backup_size_bytes{kind="database",source="a\"b\n"} 7`,
		`backup_s3_upload_success{kind="database",source="a\"b\n"} 1`, `backup_s3_upload_success{kind="config",source="config"} 0`,
		`cofre_rpo_seconds{kind="database",source="a\"b\n"} 3600`, `cofre_backup_overdue_seconds{kind="config",source="config"} 60`, `cofre_retention_frozen{kind="database",source="a\"b\n"} 1`,
		`cofre_verdict{verdict="at_risk"} 1`, `cofre_verdict{verdict="ok"} 0`, `cofre_findings{verdict="attention"} 1`, `cofre_running_seconds{task="backup database"} 90`, `cofre_running_seconds{task="prune"} 0`, "cofre_running_seconds{task=\"of \uFFFD\"} 0",
		`cofre_expected_interval_seconds{task="backup database"} 86400`, `cofre_repository_stored_bytes 10`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s is not said", want)
		}
	}
	for _, not := range []string{"cofre_repository_free_bytes", "growth", `backup_last_success_timestamp{kind="config"`, `cofre_rpo_seconds{kind="config"`} {
		if strings.Contains(b.String(), not) {
			t.Errorf("%s is said, and not known", not)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
	// Whether a backup is late is not known of a source of which no backup is.
	b.Reset()
	if err := metrics.Write(&b, metrics.Input{Now: now, Status: &status.Status{At: now, Sources: []status.Source{{ID: cofre.SourceID{Kind: cofre.KindConfig, Name: "config"}}}}}); err != nil || strings.Contains(b.String(), "cofre_backup_overdue_seconds") {
		t.Errorf("of a source without a backup: %v\n%s", err, b.String())
	}
	b.Reset()
	if err := metrics.Write(&b, metrics.Input{Now: now}); err != nil || !strings.Contains(b.String(), "cofre_build_info") || strings.Contains(b.String(), "cofre_verdict") {
		t.Errorf("without a status: %v\n%s", err, b.String())
	}
}

// What nobody knows is not said: a 0 for it would be a lie that no rule can tell from a fact.
func TestWhatIsNotKnownIsNotSaid(t *testing.T) {
	now := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	cluster := status.Source{ID: cofre.SourceID{Kind: cofre.KindCluster, Name: "c"}}
	for name, c := range map[string]struct {
		area  status.Area
		v     status.Verdict
		says  []string
		never []string
	}{
		"all is":                 {says: []string{`cofre_area_known{area="journal"} 1`, `cofre_backups_restorable{kind="cluster",source="c"} 0`, `cofre_backup_failed{kind="cluster",source="c"} 0`, `cofre_wal_open_gaps{kind="cluster",source="c"} 0`, "cofre_recovery_points_gone 0", "cofre_journal_consistent 1", "cofre_journal_entries 7"}},
		"the repository is not":  {status.AreaRepository, status.Unclear, []string{`cofre_area_known{area="repository"} 0`}, []string{`area="journal"`, "cofre_backups_", "backup_s3_upload_success", "cofre_backup_failed", "cofre_wal_", "cofre_retention_frozen", "cofre_recovery_points_gone", "cofre_journal_consistent", "open_findings"}},
		"the journal is not":     {status.AreaJournal, status.Unclear, []string{`cofre_area_known{area="journal"} 0`, "cofre_backups_restorable"}, []string{"backup_s3_upload_success", "cofre_backup_failed", "cofre_retention_frozen", "cofre_recovery_points_gone", "cofre_journal_consistent", "open_findings", "unverified_since"}},
		"the journal is changed": {status.AreaJournal, status.AtRisk, []string{"cofre_journal_consistent 0"}, nil},
		"the WAL is not":         {status.AreaWAL, status.Unclear, []string{`cofre_area_known{area="wal"} 0`, `cofre_area_known{area="journal"} 1`, "cofre_backup_failed"}, []string{"cofre_wal_open_gaps", "cofre_wal_gaps"}},
	} {
		s := &status.Status{At: now, Sources: []status.Source{cluster}, Repository: status.Repository{Free: -1}, Unread: now, Checkpoint: "cofre/x 7 " + base64.StdEncoding.EncodeToString(make([]byte, 32))}
		if c.area != "" {
			s.Findings = []status.Finding{{Verdict: c.v, Area: c.area}}
		}
		var b bytes.Buffer
		if err := metrics.Write(&b, metrics.Input{Now: now, Status: s}); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.says {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: %s is not said", name, want)
			}
		}
		for _, not := range c.never {
			for line := range strings.Lines(b.String()) {
				if !strings.HasPrefix(line, "#") && strings.Contains(line, not) {
					t.Errorf("%s: said, and not known: %s", name, line)
				}
			}
		}
	}
}

// A source whose data another brings back is not measured against the objective: a rule would call a healthy one at risk.
func TestTheObjectiveIsOfWhoHasToReachIt(t *testing.T) {
	now := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	of := status.Source{ID: cofre.SourceID{Kind: cofre.KindDatabase, Name: "d"}, Objective: time.Hour, Within: cofre.SourceID{Kind: cofre.KindCluster, Name: "c"}}
	var b bytes.Buffer
	if err := metrics.Write(&b, metrics.Input{Now: now, Status: &status.Status{At: now, Sources: []status.Source{of}}}); err != nil || strings.Contains(b.String(), "cofre_rpo_target_seconds") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
