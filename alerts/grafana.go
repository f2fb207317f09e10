package alerts

import (
	"encoding/json"
	"strings"
)

// row is one line of panels of the dashboard.
type row struct {
	title  string
	panels []panel
}

// panel shows one thing.
type panel struct {
	title, kind, unit string // kind is stat or timeseries
	queries           []query
}

type query struct{ expr, legend string }

// here is what every query of the dashboard is bounded by: the agents that are chosen.
const here = `{job=~"$job",instance=~"$instance"}`

const bySource = "{{kind}} {{source}}"

func rows() []row {
	of := func(metric string) string { return metric + here }
	age := func(metric string) string { return "time() - " + metric + here }
	return []row{
		{"Recoverability", []panel{
			{"Verdict", "stat", "none", []query{{of("cofre_verdict") + " == 1", "{{verdict}}"}}},
			{"Would be lost now (RPO)", "timeseries", "s", []query{{of("cofre_rpo_seconds"), bySource}, {of("cofre_rpo_target_seconds"), "target " + bySource}}},
			{"Last whole backup", "stat", "s", []query{{age("backup_last_success_timestamp"), bySource}}},
			{"Recovery window begins", "stat", "dateTimeFromNow", []query{{"1000 * " + of("cofre_recovery_window_start_timestamp_seconds"), bySource}}},
			{"Recovery window ends", "stat", "dateTimeFromNow", []query{{"1000 * " + of("cofre_recovery_window_end_timestamp_seconds"), bySource}}},
			{"Backups that can be restored", "stat", "none", []query{{of("cofre_backups_restorable"), bySource}, {of("cofre_backups_damaged"), "damaged " + bySource}}},
			{"Points gone", "stat", "none", []query{{of("cofre_recovery_points_gone"), ""}}},
			{"Objective for a restore (RTO)", "stat", "s", []query{{of("cofre_rto_target_seconds"), ""}}},
		}},
		{"Backups", []panel{
			{"Failed", "stat", "none", []query{{of("cofre_backup_failed"), bySource}}},
			{"Overdue", "timeseries", "s", []query{{of("cofre_backup_overdue_seconds"), bySource}}},
			{"Duration", "timeseries", "s", []query{{of("backup_duration_seconds"), bySource}}},
			{"Size", "timeseries", "bytes", []query{{of("backup_size_bytes"), bySource}, {of("cofre_backup_new_bytes"), "new " + bySource}}},
			{"Reached the repository", "timeseries", "none", []query{{of("backup_s3_upload_success"), bySource}}},
			{"Expected interval", "stat", "s", []query{{of("cofre_backup_expected_interval_seconds"), bySource}}},
		}},
		{"WAL", []panel{
			{"Gaps", "stat", "none", []query{{of("cofre_wal_open_gaps"), "open {{source}}"}, {of("cofre_wal_gaps"), "all {{source}}"}}},
			{"Files that wait", "timeseries", "none", []query{{of("cofre_wal_ready_segments"), "{{source}}"}, {of("cofre_wal_behind_segments"), "behind {{source}}"}}},
			{"Archiving fails", "stat", "none", []query{{of("cofre_wal_archiving_failing"), "{{source}}"}}},
			{"Streamed", "stat", "none", []query{{of("cofre_wal_streamed"), "{{source}}"}}},
			{"Time until pg_wal is full", "timeseries", "s", []query{{of("cofre_pg_wal_free_bytes") + " / (-deriv(" + of("cofre_pg_wal_free_bytes") + "[1h]) > 0)", "{{source}}"}}},
			{"Copies lack", "timeseries", "none", []query{{of("cofre_wal_repository_gaps"), "{{repository}}"}, {of("cofre_wal_repository_damaged_segments"), "damaged {{repository}}"}}},
		}},
		{"Verification", []panel{
			{"Not read back for", "timeseries", "s", []query{{age("cofre_unverified_since_timestamp_seconds"), "age"}, {of("cofre_verification_window_seconds"), "window"}}},
			{"Findings", "stat", "none", []query{{of("cofre_verification_open_findings"), "open"}, {of("cofre_last_verification_findings"), "last"}}},
			{"Read back within the window", "timeseries", "percentunit", []query{{of("cofre_verification_coverage_ratio"), "share"}}},
			{"Newest backup, by level", "stat", "s", []query{{age("cofre_backup_verified_timestamp_seconds"), "{{level}} " + bySource}}},
			{"Whole repository, by level", "stat", "s", []query{{age("cofre_last_verification_timestamp_seconds"), "{{level}}"}}},
		}},
		{"Drills", []panel{
			{"Red", "stat", "none", []query{{of("cofre_drill_red"), bySource}, {of("cofre_drill_last_red"), "last " + bySource}, {of("cofre_drill_last_findings"), "findings " + bySource}}},
			{"Last drill that found nothing", "stat", "s", []query{{age("cofre_drill_last_success_timestamp_seconds"), bySource}, {age("cofre_drill_last_timestamp_seconds"), "any " + bySource}}},
			{"Overdue", "timeseries", "s", []query{{of("cofre_drill_overdue_seconds"), bySource}, {of("cofre_drill_expected_interval_seconds"), "interval " + bySource}}},
			{"Duration", "timeseries", "s", []query{{of("cofre_drill_duration_seconds"), bySource}, {of("cofre_drill_step_seconds"), "{{step}} " + bySource}}},
			{"A recovery takes (RTO)", "timeseries", "s", []query{{of("cofre_rto_seconds"), bySource}, {of("cofre_rto_measured_seconds"), "measured " + bySource}, {of("cofre_rto_target_seconds"), "target"}}},
			{"Predicted wrong by", "timeseries", "percentunit", []query{{of("cofre_rto_error_ratio"), bySource}}},
		}},
		{"Repository", []panel{
			{"Size and free space", "timeseries", "bytes", []query{{of("cofre_repository_stored_bytes"), "stored"}, {of("cofre_repository_free_bytes"), "free"}, {of("cofre_repository_largest_backup_bytes"), "largest backup"}}},
			{"Growth", "timeseries", "Bps", []query{{of("cofre_repository_growth_bytes_per_second"), "growth"}}},
			{"Full in", "stat", "s", []query{{of("cofre_repository_full_seconds"), ""}}},
			{"Retention frozen", "stat", "none", []query{{of("cofre_retention_frozen"), bySource}}},
			{"Holds", "stat", "none", []query{{of("cofre_holds"), "holds"}}},
			{"Next hold ends", "stat", "s", []query{{of("cofre_next_hold_end_timestamp_seconds") + " - time()", ""}}},
			{"Journal", "timeseries", "none", []query{{of("cofre_journal_entries"), "entries"}}},
			{"Journal consistent, root", "stat", "none", []query{{of("cofre_journal_consistent"), "consistent"}, {of("cofre_journal_root"), "root"}}},
		}},
		{"Agent", []panel{
			{"Running", "timeseries", "s", []query{{of("cofre_running_seconds"), "{{task}}"}, {of("cofre_window_seconds"), "window {{task}}"}}},
			{"Next due", "stat", "dateTimeFromNow", []query{{"1000 * " + of("cofre_next_due_timestamp_seconds"), "{{task}}"}}},
			{"Could be looked at", "stat", "none", []query{{of("cofre_status_known"), "status"}, {of("cofre_area_known"), "{{area}}"}}},
			{"Findings of status", "timeseries", "none", []query{{of("cofre_findings"), "{{verdict}}"}}},
			{"Version", "stat", "none", []query{{of("cofre_build_info"), "{{version}}"}}},
		}},
	}
}

// Grafana is the dashboard, to be imported.
func Grafana() string {
	type object = map[string]any
	source := object{"type": "prometheus", "uid": "${datasource}"}
	id, y := 0, 0
	panels := []any{}
	for _, r := range rows() {
		id++
		panels = append(panels, object{"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []any{}, "gridPos": object{"x": 0, "y": y, "w": 24, "h": 1}})
		y++
		for i, p := range r.panels {
			const across, height = 4, 6
			if i > 0 && i%across == 0 {
				y += height
			}
			id++
			targets := []any{}
			for n, q := range p.queries {
				targets = append(targets, object{"refId": string(rune('A' + n)), "expr": q.expr, "legendFormat": q.legend, "datasource": source})
			}
			made := object{
				"id": id, "type": p.kind, "title": p.title, "datasource": source, "targets": targets,
				"gridPos":     object{"x": i % across * (24 / across), "y": y, "w": 24 / across, "h": height},
				"fieldConfig": object{"defaults": object{"unit": p.unit}, "overrides": []any{}},
			}
			if p.kind == "stat" {
				made["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "textMode": "value_and_name", "colorMode": "none"}
			}
			panels = append(panels, made)
		}
		y += 6
	}
	chosen := func(name, query string) object {
		return object{"name": name, "type": "query", "datasource": source, "query": object{"query": query, "refId": name}, "definition": query, "refresh": 2, "multi": true, "includeAll": true, "current": object{"text": "All", "value": "$__all"}}
	}
	var b strings.Builder
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	err := to.Encode(object{
		"title": "cofre", "uid": "cofre", "tags": []string{"cofre", "backup"}, "schemaVersion": 39, "version": 1, "editable": true, "refresh": "1m", "timezone": "browser",
		"time": object{"from": "now-24h", "to": "now"}, "panels": panels, "annotations": object{"list": []any{}}, "links": []any{},
		"templating": object{"list": []any{
			object{"name": "datasource", "type": "datasource", "query": "prometheus", "current": object{}},
			chosen("job", "label_values(cofre_build_info, job)"),
			chosen("instance", `label_values(cofre_build_info{job=~"$job"}, instance)`),
		}},
	})
	if err != nil {
		panic("alerts: internal error: " + err.Error()) // it is made of maps and strings
	}
	return b.String()
}
