package settings

import (
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// TestSettings has one recovery target at most, last, and never less than the control file demands.
func TestSettings(t *testing.T) {
	r := Recovery{Target: cofre.RecoveryTarget{LSN: 0x16B374D848, Timeline: 2}, RestoreCommand: `cp '/a\b' %p`, EndCommand: "rm -rf spool"}
	var lines []string
	for _, s := range r.settings(physical.Summary{Settings: map[string]string{"max_connections": "300", "max_wal_senders": "3"}}, &pgdata.Control{MaxConnections: 100, MaxWALSenders: 10}) {
		lines = append(lines, s.String())
	}
	for _, want := range []string{
		`restore_command = 'cp ''/a\\b'' %p'`, "recovery_target_lsn = '16/B374D848'", "recovery_target_time = ''",
		"recovery_target_timeline = '2'", "recovery_target_action = 'pause'", "max_connections = '300'", "max_wal_senders = '10'",
		"recovery_end_command = 'rm -rf spool'",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if at := slices.Index(lines, "recovery_target_lsn = '16/B374D848'"); at < slices.Index(lines, "recovery_target_xid = ''") {
		t.Error("an empty target comes after the one that is used")
	}
	// How far the server reads ahead is what the plan has looked at, whatever the original had.
	for _, c := range []struct {
		major int
		plan  *recovery.Recovery
		want  string
	}{
		{15, &recovery.Recovery{}, "wal_decode_buffer_size = '512kB'"},
		{18, &recovery.Recovery{Cautious: true}, "recovery_prefetch = 'off'"},
		{14, &recovery.Recovery{}, ""},
		{18, nil, ""},
	} {
		r, got := Recovery{RestoreCommand: "true", Plan: c.plan}, ""
		for _, s := range r.settings(physical.Summary{Major: c.major}, &pgdata.Control{}) {
			if s.name == "wal_decode_buffer_size" || s.name == "recovery_prefetch" {
				got += s.String()
			}
		}
		if got != c.want {
			t.Errorf("%d, %+v: %q, want %q", c.major, c.plan, got, c.want)
		}
	}
	// ALTER SYSTEM has resolved the include; a line of the original's that is the same stays.
	flat := "archive_mode = 'off'\nwork_mem = '5MB'\narchive_mode = 'off'\nlisten_addresses = ''\n"
	if got := string(withoutCopied([]byte(flat), []byte("# of ours\narchive_mode = 'off'\nlisten_addresses = ''\n"))); got != "archive_mode = 'off'\nwork_mem = '5MB'\n" {
		t.Errorf("without what ALTER SYSTEM has copied: %q", got)
	}
	for setting, want := range map[string]string{
		"pg_stat_statements, pg_cron":      `"pg_stat_statements"`,
		`"$libdir/pg_net.so",auto_explain`: `"auto_explain"`,
		"their_own":                        "", "kept": `"kept"`,
	} {
		if got := loaded(libraries(setting, []string{"kept"})); got != want {
			t.Errorf("of the libraries %s a copy loads %s, want %s", setting, got, want)
		}
	}
	auto := []byte("work_mem = '5MB'")
	if got := string(withoutInclude(withInclude(withInclude(auto)))); got != "work_mem = '5MB'\n" {
		t.Errorf("postgresql.auto.conf became %q", got)
	}
}
