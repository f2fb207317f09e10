package metrics_test

import (
	"bytes"
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
		`cofre_verdict{verdict="at_risk"} 1`, `cofre_verdict{verdict="ok"} 0`, `cofre_findings{verdict="attention"} 1`, `cofre_running_seconds{job="backup database"} 90`, `cofre_running_seconds{job="prune"} 0`, "cofre_running_seconds{job=\"of \uFFFD\"} 0",
		`cofre_expected_interval_seconds{job="backup database"} 86400`, `cofre_repository_stored_bytes 10`,
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
