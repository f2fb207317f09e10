package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/policy"
)

const head = `name: tl
repository: {url: "s3://backups/tl?endpoint=https://s3.example.com&region=sa-east-1", password: env:PW}
`

func termsOf(t *testing.T, text string) policy.Terms {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cofre.yaml")
	if err := os.WriteFile(path, []byte(head+text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return policy.Of(cfg)
}

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// whole has every source of a preset.
func whole(t *testing.T, class string) string {
	t.Helper()
	text := policy.Preset(class)
	text = strings.Replace(text, `responsible: "…"`, `responsible: operations, elsewhere: the bucket is replicated to another seat`, 1)
	text = strings.Replace(text, "database: {", "database: {url: 'postgres://cofre@db/tl', ", 1)
	text = strings.Replace(text, "cluster: {", "cluster: {url: 'postgres://cofre@db/postgres', ", 1)
	text = strings.Replace(text, "storage: {", "storage: {folder: {path: /srv/storage}, ", 1)
	return strings.Replace(text, "config: {", "config: {paths: [/etc/tl], ", 1)
}

// A preset fulfils its class, whatever the season in which it is looked at, and no stricter one.
func TestPresetsFulfilTheirClass(t *testing.T) {
	stricter := map[string]string{config.ClassImportant: config.ClassCritical, config.ClassOrdinary: config.ClassImportant}
	for _, class := range []string{config.ClassCritical, config.ClassImportant, config.ClassOrdinary} {
		terms := termsOf(t, whole(t, class))
		for month := range 12 {
			if short := terms.Shortfalls(now.AddDate(0, month, 0)); len(short) > 0 {
				t.Errorf("%s, %d months later: %v", class, month, short)
			}
		}
		if stricter[class] == "" {
			continue
		}
		if terms.Class = stricter[class]; len(terms.Shortfalls(now)) == 0 {
			t.Errorf("what fulfils %s fulfils %s", class, terms.Class)
		}
	}
	if policy.Preset("other") != "" {
		t.Error("a class that is unknown has a preset")
	}
}

// Each thing that falls short of a class is named by its key, and nothing else is.
func TestWhatFallsShortIsNamed(t *testing.T) {
	for _, c := range []struct{ was, is, code string }{
		{"rpo: 1h", "rpo: 2h", "policy.short_rpo"},
		{"objectives: {rpo: 1h, rto: 4h}\n", "", "policy.short_rpo"},
		{`schedule: "0 2 * * *", keep: {daily: 30`, `schedule: "0 2 * * 1-5", keep: {daily: 30`, "policy.short_schedule"},
		{`storage: {folder: {path: /srv/storage}, schedule: "@hourly", `, `storage: {folder: {path: /srv/storage}, `, "policy.short_schedule"},
		{`config: {paths: [/etc/tl], schedule: "@hourly"`, `config: {paths: [/etc/tl], schedule: "30 8-20 * * *"`, "policy.short_schedule"},
		{"wal: archive, ", "", "policy.short_wal"},
		{"keep: {daily: 90, monthly: 12}", "keep: {daily: 90, monthly: 11}", "policy.short_keep"},
		{`drill: "0 4 1 * *"`, `drill: "0 4 1 */2 *"`, "policy.short_drill"},
		{"serve: {drill: \"0 4 1 * *\"}\n", "", "policy.short_drill"},
		{", elsewhere: the bucket is replicated to another seat", "", "policy.short_copy"},
		{", responsible: operations", "", "policy.short_responsible"},
	} {
		text := whole(t, config.ClassCritical)
		if !strings.Contains(text, c.was) {
			t.Fatalf("%q is not in %s", c.was, text)
		}
		var codes []string
		for _, m := range termsOf(t, strings.Replace(text, c.was, c.is, 1)).Shortfalls(now) {
			codes = append(codes, m.Code)
		}
		// Without WAL the dumps alone keep what was done.
		if want := c.code; strings.Join(codes, " ") != want && !(want == "policy.short_wal" && strings.Join(codes, " ") == "policy.short_schedule policy.short_schedule policy.short_wal") {
			t.Errorf("%q instead of %q: %v", c.is, c.was, codes)
		}
	}
}

// What was signed and what runs are compared key by key; the order of a file, and words that mean the same, are no difference.
func TestDifferences(t *testing.T) {
	text := whole(t, config.ClassCritical)
	signed := termsOf(t, text)
	lines := strings.SplitAfter(text, "\n")
	same := termsOf(t, lines[len(lines)-2]+strings.Join(lines[:len(lines)-2], ""))
	if d := policy.Differences(signed, same); len(d) > 0 || signed.Digest() != same.Digest() {
		t.Errorf("%v", d)
	}
	for was, c := range map[string][2]string{
		"monthly: 12}}\ncluster":      {"monthly: 6}}\ncluster", "database.keep.monthly: signed is 12, and running is 6"},
		"rto: 4h":                     {"rto: 1d", "objectives.rto: signed is 4h, and running is 1d"},
		`serve: {drill: "0 4 1 * *"}`: {"serve: {verify: never, drill: \"0 4 1 * *\"}", "serve.verify: signed is 0 6 * * *, and running is -"},
		`schedule: "0 3 * * 0", wal`:  {`wal`, "cluster.schedule: signed is 0 3 * * 0, and running is by hand"},
		"responsible: operations, ":   {"", "policy.responsible: signed is operations, and running is -"},
		`storage: {folder: {path: /srv/storage}, schedule: "@hourly", keep: {hourly: 48, daily: 30, monthly: 12}}` + "\n": {"", "storage.keep.daily"},
	} {
		if !strings.Contains(text, was) {
			t.Fatalf("%q is not in %s", was, text)
		}
		running := termsOf(t, strings.Replace(text, was, c[0], 1))
		d := policy.Differences(signed, running)
		if signed.Digest() == running.Digest() || len(d) == 0 || !strings.HasPrefix(d[0].Text, c[1]) {
			t.Errorf("%q: %v", c[0], d)
		}
	}
}

// Whatever is promised is said, in every form of a configuration.
func TestText(t *testing.T) {
	read := func(terms policy.Terms, by *policy.Signed) string {
		var b strings.Builder
		for _, m := range terms.Text(by) {
			b.WriteString(m.Text + "\n")
		}
		return b.String()
	}
	terms := termsOf(t, whole(t, config.ClassCritical))
	got := read(terms, &policy.Signed{Number: 3, By: "Maria", At: now, Entry: 17})
	for _, want := range []string{
		"# Backup policy of tl", "Version 3", "signed by Maria on 2026-11-28, in entry 17", "`0 2 * * *`", "back to any moment", "one of each of 12 months; one of each of 12 weeks",
		"s3://backups/tl", "at which cofre does not look: the bucket is replicated", "AES-256-GCM", "`0 4 1 * *`", "at most 1h of work", "operations", "every 365d",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	got = read(termsOf(t, "config: {paths: [/etc/tl], keep: {everything: true}}\nserve: {verify: never}\n"), nil)
	for _, want := range []string{"signed by nobody", "when somebody, or another scheduler, says so", "everything, without an end", "no second place", "read back only when", "tested only when", "`objectives` is not set", "`policy.responsible` is not set"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
