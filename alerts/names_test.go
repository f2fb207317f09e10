package alerts_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-jsonnet"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/alerts"
	"github.com/trustlayer/cofre/metrics"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/status"
)

// everything is all that is ever said: of a status that knows everything, of which nothing is well.
func everything(t testing.TB) map[string][]string {
	now := time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)
	a := archiving.Archiver{Mode: "on", Waiting: 1, Oldest: now, Behind: 1, Room: 1}
	of := status.Source{
		ID: cofre.SourceID{Kind: cofre.KindCluster, Name: "c"}, Success: &status.Capture{At: now}, Failure: &status.Failure{At: now}, To: now, From: now, Objective: time.Hour,
		LevelAt: now, Level: cofre.LevelContent, Interval: time.Hour, Overdue: time.Hour, Frozen: &status.Frozen{Since: now},
		Drill: &status.Drilled{At: now, Steps: []cofre.DrillStep{{Step: cofre.DrillRestore}}}, DrilledWell: now, DrillInterval: time.Hour, Recovery: &status.Recovery{Error: new(0.1)},
	}
	s := &status.Status{
		At: now, Verdict: status.AtRisk, Sources: []status.Source{of}, RTO: time.Hour, Archiver: &a, Holds: 1, HoldEnds: now, Unread: now, Window: time.Hour,
		WAL: []wal.Holding{{URL: "/a"}, {URL: "/b", Err: errors.New("away")}}, Checkpoint: "cofre/x 7 " + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		Repository: status.Repository{Bytes: 1, Free: 1, Added: 1, Within: time.Hour, Largest: 1, FullIn: time.Hour},
		Verified:   &status.Verification{At: now, Reached: cofre.LevelContent}, Coverage: &status.Coverage{},
	}
	streamed := *s
	streamed.Archiver = &archiving.Archiver{Slot: "cofre"}
	all := map[string][]string{}
	for _, s := range []*status.Status{s, &streamed} {
		var b bytes.Buffer
		if err := metrics.Write(&b, metrics.Input{Now: now, Status: s, Jobs: []metrics.Job{{Name: "backup cluster", Interval: time.Hour, NextAt: now, Window: time.Hour}}}); err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, said(b.String()))
	}
	return all
}

var labelName = regexp.MustCompile(`(\w+)="`)

// said are the names of a scrape, with the names of their labels.
func said(scrape string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(scrape) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(strings.Fields(line)[0], "{")
		var labels []string
		for _, m := range labelName.FindAllStringSubmatch(rest+line[len(strings.Fields(line)[0]):], -1) {
			labels = append(labels, m[1])
		}
		slices.Sort(labels)
		all[name] = labels
	}
	return all
}

var metricName = regexp.MustCompile(`\b(?:cofre|backup)_[a-z0-9_]+\b`)

// Rules, dashboard and pages name what is said, and the pages all of it.
func TestNamesAreOfMetricsThatExist(t *testing.T) {
	all := everything(t)
	named := func(where, text string) map[string]bool {
		t.Helper()
		found := map[string]bool{}
		for _, name := range metricName.FindAllString(text, -1) {
			found[name] = true
			if _, ok := all[name]; !ok {
				t.Errorf("%s: %s is said by nobody", where, name)
			}
		}
		return found
	}
	for _, r := range alerts.Rules() {
		if len(named(r.Name, r.Expr)) == 0 && r.Severity != alerts.None {
			t.Errorf("%s goes by no metric of cofre", r.Name)
		}
	}
	named("dashboard", alerts.Grafana())
	for _, page := range []string{"../docs/en/monitoring.md", "../docs/pt-BR/monitoring.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		told := named(page, string(text))
		for name := range all {
			if !told[name] {
				t.Errorf("%s says nothing of %s", page, name)
			}
		}
	}
	// The faults are tried with series as they are scraped.
	tried := slices.Collect(maps.Keys(healthy))
	for _, tr := range trials {
		tried = slices.AppendSeq(tried, maps.Keys(tr.is))
	}
	for _, series := range tried {
		for name, labels := range said(series + " 0") {
			if want, ok := all[name]; !ok || !slices.Equal(labels, want) {
				t.Errorf("%s has the labels %v, and is tried with %v", name, want, labels)
			}
		}
	}
}

// What a runbook has people paste are commands that exist.
func TestCommandsOfTheRunbookExist(t *testing.T) {
	page, err := os.ReadFile("../docs/en/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts.Rules() {
		for _, text := range []string{r.Says.En, r.Says.Pt, r.Cause.En, r.Cause.Pt, r.Check.En, r.Check.Pt} {
			if text == "" || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: no sentence: %q", r.Name, text)
			}
		}
		if len(r.Do) == 0 {
			t.Errorf("%s has no command", r.Name)
		}
		for _, line := range r.Do {
			words := strings.Fields(strings.TrimPrefix(line, "time "))
			for i, w := range words {
				if strings.HasPrefix(w, "-") {
					words = words[:i]
					break
				}
			}
			command := strings.TrimSuffix(strings.Join(words, " "), " cluster")
			if words[0] == "cofre" && !strings.Contains(string(page), "`"+command) && !strings.Contains(string(page), "`"+strings.TrimPrefix(command, "cofre wal ")+"`") {
				t.Errorf("%s: %s is no command of docs/en/commands.md", r.Name, command)
			}
		}
	}
}

func TestTheMixinHasRulesAndDashboard(t *testing.T) {
	vm := jsonnet.MakeVM()
	vm.Importer(&jsonnet.FileImporter{JPaths: []string{folder}})
	text, err := vm.EvaluateAnonymousSnippet("try.jsonnet", `local m = import 'mixin.libsonnet';
{
  rules: [r.alert for g in m.prometheusAlerts.groups for r in g.rules],
  exprs: [r.expr for g in m.prometheusAlerts.groups for r in g.rules],
  panels: [p.title for p in m.grafanaDashboards['cofre.json'].panels],
}`)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Rules, Exprs, Panels []string }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	var names, exprs []string
	for _, r := range alerts.Rules() {
		names, exprs = append(names, r.Name), append(exprs, r.Expr)
	}
	if !slices.Equal(got.Rules, names) || !slices.Equal(got.Exprs, exprs) {
		t.Errorf("the mixin has the rules %v", got.Rules)
	}
	for _, want := range []string{"Recoverability", "Backups", "WAL", "Verification", "Drills", "Repository", "Agent"} {
		if !slices.Contains(got.Panels, want) {
			t.Errorf("the dashboard has no row %s", want)
		}
	}
}
