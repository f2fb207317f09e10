package alerts_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/alerts"
	"github.com/trustlayer/cofre/internal/testkit"
)

var update = flag.Bool("update", false, "write the files that are made of the rules")

// values are the first of a series, and what each minute adds.
type values struct{ from, by float64 }

// missing is a series that is not there.
var missing = values{-1, -1}

// ending is a series that is there for ten minutes.
var ending = values{-2, -2}

const (
	target  = `instance="db1:9808",job="cofre"`
	minutes = 400
)

func bare(labels string) string { return strings.Trim(labels, "{}") }

// series is a name with the labels of the target.
func series(name string) string {
	name, labels, _ := strings.Cut(name, "{")
	if labels = bare(labels); labels != "" {
		labels = "," + labels
	}
	return name + "{" + target + labels + "}"
}

// at is when a rule is to fire, and not before.
func (t trial) at(r alerts.Rule) time.Duration { return time.Duration(t.after)*time.Minute + r.For }

// group is a group of promtool's: some series, and what they fire.
type group struct {
	name string
	in   map[string]string
	want []want
}

type want struct {
	at     time.Duration
	rule   string
	alerts []string // each as YAML; none fires nothing
}

func (g group) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %q\n    interval: 1m\n    input_series:\n", g.name)
	for _, name := range slices.Sorted(maps.Keys(g.in)) {
		fmt.Fprintf(&b, "      - {series: '%s', values: '%s'}\n", series(name), g.in[name])
	}
	if len(g.in) == 0 {
		b.WriteString("      []\n")
	}
	b.WriteString("    alert_rule_test:\n")
	for _, w := range g.want {
		fmt.Fprintf(&b, "      - eval_time: %dm\n        alertname: %s\n", w.at/time.Minute, w.rule)
		if len(w.alerts) > 0 {
			fmt.Fprintf(&b, "        exp_alerts:\n          - %s\n", strings.Join(w.alerts, "\n          - "))
		}
	}
	return b.String()
}

// with are the series of a healthy installation, of which some are other ones.
func with(is map[string]values, goneAfter int) map[string]string {
	all := maps.Clone(healthy)
	maps.Copy(all, is)
	in := map[string]string{}
	for name, v := range all {
		switch {
		case v == missing:
		case v == ending:
			in[name] = "100x10 stale"
		case goneAfter > 0:
			in[name] = fmt.Sprintf("%s stale", notation(v, goneAfter-1))
		default:
			in[name] = notation(v, minutes)
		}
	}
	return in
}

func notation(v values, n int) string {
	sign := "+"
	if v.by < 0 {
		sign = ""
	}
	return fmt.Sprintf("%.0f%s%.0fx%d", v.from, sign, v.by, n)
}

// quiet is that no rule fires at a moment, but those that are named, and the one that always does.
func quiet(rules []alerts.Rule, at time.Duration, but ...string) []want {
	var all []want
	for _, r := range rules {
		if slices.Contains(but, r.Name) {
			continue
		}
		w := want{at: at, rule: r.Name}
		if r.Severity == alerts.None {
			w.alerts = []string{expected(r, trial{labels: "-"})}
		}
		all = append(all, w)
	}
	return all
}

var label = regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`)

var value = regexp.MustCompile(`\{\{ \$value \| \w+ \}\}`)

// expected is an alert of a rule, with the sentences that people read.
func expected(r alerts.Rule, t trial) string {
	labels := map[string]string{}
	all := target
	if t.labels == "-" {
		all = ""
	} else if t.labels != "" {
		all += "," + bare(t.labels)
	}
	for _, pair := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(all, -1) {
		labels[pair[1]] = pair[2]
	}
	say := func(s string) string {
		s = label.ReplaceAllStringFunc(s, func(m string) string { return labels[label.FindStringSubmatch(m)[1]] })
		return "'" + strings.ReplaceAll(value.ReplaceAllString(s, t.value), "'", "''") + "'"
	}
	labels["severity"] = string(r.Severity)
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s: %q", k, labels[k]))
	}
	anchor := "/alerts.md#" + strings.ToLower(r.Name)
	return fmt.Sprintf("exp_labels: {%s}\n            exp_annotations: {summary: %s, summary_pt: %s, runbook_url: '%s', runbook_url_pt: '%s'}",
		strings.Join(pairs, ", "), say(r.Says.En), say(r.Says.Pt), alerts.Pages+"en"+anchor, alerts.Pages+"pt-BR"+anchor)
}

// groups are what promtool is to hold of a trial: the fault fires its rule, not before its time, and no other; what is nearly the fault fires none.
func groups(t testing.TB, rules []alerts.Rule, tr trial) []group {
	i := slices.IndexFunc(rules, func(r alerts.Rule) bool { return r.Name == tr.rule })
	if i < 0 {
		t.Fatalf("there is no rule %s, which %q is to fire", tr.rule, tr.fault)
	}
	r := rules[i]
	g := group{name: tr.fault, in: with(tr.is, 0)}
	switch {
	case tr.gone:
		g.in = with(tr.is, tr.after)
	case tr.never:
		g.in = nil
	}
	if r.For > 0 {
		g.want = append(g.want, want{at: tr.at(r) - time.Minute, rule: r.Name})
	}
	g.want = append(g.want, want{at: tr.at(r), rule: r.Name, alerts: []string{expected(r, tr)}})
	g.want = append(g.want, quiet(rules, tr.at(r), append(tr.along, r.Name)...)...)
	if tr.not != "" {
		g.want = append(g.want, quiet(rules, time.Duration(tr.later)*time.Minute, append(tr.along, r.Name)...)...)
	}
	all := []group{g}
	for n, near := range tr.nearly {
		all = append(all, group{name: fmt.Sprintf("nearly: %s, %d", tr.fault, n+1), in: with(near, 0), want: quiet(rules, tr.at(r))})
	}
	return all
}

func testFile(rulesFile string, all []group) string {
	var b strings.Builder
	b.WriteString("# Made by package alerts: go test ./alerts -update writes it anew. Run by: promtool test rules FILE\nrule_files: [" + rulesFile + "]\nevaluation_interval: 1m\ntests:\n")
	for _, g := range all {
		b.WriteString(g.yaml())
	}
	return b.String()
}

func everyGroup(t testing.TB, rules []alerts.Rule) []group {
	all := []group{{name: "all is well", in: with(nil, 0), want: append(quiet(rules, 5*time.Hour), quiet(rules, 10*time.Minute)...)}}
	for _, tr := range trials {
		all = append(all, groups(t, rules, tr)...)
	}
	return all
}

const folder = "../deploy/monitoring/"

// made are the files that the rules make.
func made(t testing.TB) map[string]string {
	rules := alerts.Rules()
	return map[string]string{
		folder + "rules.yml":      alerts.Prometheus(rules),
		folder + "dashboard.json": alerts.Grafana(),
		folder + "rules_test.yml": testFile("rules.yml", everyGroup(t, rules)),
		"../docs/en/alerts.md":    alerts.Page("en", rules),
		"../docs/pt-BR/alerts.md": alerts.Page("pt-BR", rules),
	}
}

func TestFilesAreWhatTheRulesMake(t *testing.T) {
	for file, want := range made(t) {
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s is not what the rules make: go test ./alerts -update writes it anew (%v)", file, err)
		}
	}
}

func promtool(t testing.TB, args ...string) ([]byte, error) {
	return exec.CommandContext(t.Context(), testkit.Prometheus(t, "promtool"), args...).CombinedOutput()
}

// Each rule fires at its fault, when its time has come, and no other does.
func TestEachFaultFiresItsRule(t *testing.T) {
	if out, err := promtool(t, "check", "rules", folder+"rules.yml"); err != nil {
		t.Fatalf("%s", out)
	}
	if out, err := promtool(t, "test", "rules", folder+"rules_test.yml"); err != nil {
		t.Errorf("%s", out)
	}
	for _, r := range alerts.Rules() {
		if r.Severity != alerts.None && !slices.ContainsFunc(trials, func(tr trial) bool { return tr.rule == r.Name }) {
			t.Errorf("%s has no fault that fires it", r.Name)
		}
	}
}

var (
	number     = regexp.MustCompile(`([<>=*] ?|, )(\d+(?:\.\d+)?)`)
	comparison = regexp.MustCompile(` (==|>=|>|<) `)
	matcher    = regexp.MustCompile(`(\w)(=~|!=|=)"`)
	more       = regexp.MustCompile(` (unless|and|or) `)
)

// mutants are a rule with one thing wrong in it each.
func mutants(r alerts.Rule) map[string]alerts.Rule {
	all := map[string]alerts.Rule{}
	expr := func(what string, from, to int, with string) {
		m := r
		m.Expr = r.Expr[:from] + with + r.Expr[to:]
		all[fmt.Sprintf("%s: %s", what, m.Expr)] = m
	}
	for _, at := range number.FindAllStringSubmatchIndex(r.Expr, -1) {
		was := r.Expr[at[4]:at[5]]
		switch n, err := strconv.Atoi(was); {
		case err == nil && n < 100:
			expr("number", at[4], at[5], strconv.Itoa(n+1))
			if n > 1 {
				expr("number", at[4], at[5], strconv.Itoa(n-1))
			}
		default:
			expr("number", at[4], at[5], "("+was+" * 1.06)")
			expr("number", at[4], at[5], "("+was+" * 0.94)")
		}
	}
	for _, at := range comparison.FindAllStringSubmatchIndex(r.Expr, -1) {
		expr("comparison", at[2], at[3], map[string]string{"==": "!=", ">": "<", "<": ">", ">=": "<"}[r.Expr[at[2]:at[3]]])
	}
	for _, at := range matcher.FindAllStringSubmatchIndex(r.Expr, -1) {
		expr("label", at[4], at[5], map[string]string{"=~": "!~", "=": "!=", "!=": "="}[r.Expr[at[4]:at[5]]])
	}
	for _, at := range more.FindAllStringIndex(r.Expr, -1) {
		if !strings.Contains(r.Expr[:at[0]], "(") || strings.Count(r.Expr[:at[0]], "(") == strings.Count(r.Expr[:at[0]], ")") {
			expr("the rest is gone", at[0], len(r.Expr), "")
		}
	}
	m := r
	m.For += time.Minute
	all["for"] = m
	if r.For > 0 {
		m = r
		m.For -= time.Minute
		all["shorter for"] = m
	}
	m = r
	m.Severity = "page"
	all["severity"] = m
	m = r
	m.Says.En, m.Says.Pt = r.Says.Pt, r.Says.En
	all["sentence"] = m
	return all
}

// equal are mutants that say the same as the rule, with why.
var equal = map[string]string{
	"number: predict_linear(cofre_pg_wal_free_bytes[1h], 7200) < 1": "a byte more or less is free",
}

// A test that a wrong rule passes proves nothing: each rule, with one thing wrong in it, fails its test.
func TestAWrongRuleFailsItsTest(t *testing.T) {
	rules := alerts.Rules()
	for _, r := range rules {
		if r.Severity == alerts.None {
			continue
		}
		wrong := mutants(r)
		wrong["nothing is wrong"] = r
		all := []alerts.Rule{r}
		if r.Name == "CofreAtRisk" { // it goes by what the others do
			all = slices.Clone(rules)
		}
		names := map[string]string{}
		for i, what := range slices.Sorted(maps.Keys(wrong)) {
			m := wrong[what]
			m.Name = fmt.Sprintf("M%d%s", i, r.Name)
			names[what], all = m.Name, append(all, m)
		}
		in := []group{{name: "all is well", in: with(nil, 0), want: []want{{at: r.For + 10*time.Minute, rule: r.Name}}}}
		for _, tr := range trials {
			// What others are tried with tells nothing but of rules that go by the same.
			if tr.rule == r.Name || tr.not == r.Name || slices.Contains(tr.along, r.Name) || tr.rule[:len("CofreXXX")] == r.Name[:len("CofreXXX")] {
				in = append(in, groups(t, rules, tr)...)
			}
		}
		for i := range in { // each of the wrong ones is held against what the right one does
			var mine []want
			for _, w := range in[i].want {
				if w.rule != r.Name {
					continue
				}
				for _, name := range names {
					mine = append(mine, want{at: w.at, rule: name, alerts: w.alerts})
				}
			}
			in[i].want = mine
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "rules.yml"), regexp.MustCompile(`#m\d+cofre`).ReplaceAllString(alerts.Prometheus(all), "#cofre"))
		write(t, filepath.Join(dir, "test.yml"), testFile("rules.yml", in))
		out, _ := promtool(t, "test", "rules", filepath.Join(dir, "test.yml"))
		failed := func(what string) bool { return strings.Contains(string(out), "alertname: "+names[what]+",") }
		if failed("nothing is wrong") || !strings.Contains(string(out), "alertname: M") {
			t.Errorf("%s: the right rule fails, or none does:\n%s", r.Name, out)
			continue
		}
		for what := range wrong {
			if what != "nothing is wrong" && !failed(what) && equal[what] == "" {
				t.Errorf("%s passes its tests with this wrong: %s", r.Name, what)
			}
		}
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
