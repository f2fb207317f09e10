package alerts

import (
	"fmt"
	"strings"
	"time"
)

// Pages is where the runbook is read.
const Pages = "https://github.com/trustlayer/cofre/blob/main/docs/"

// Prometheus is the file of rules, for rule_files of Prometheus.
func Prometheus(rules []Rule) string {
	var b strings.Builder
	b.WriteString("# Made by package alerts: go test ./alerts -update writes it anew.\ngroups:\n  - name: cofre\n    rules:\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n", r.Name, quote(r.Expr))
		if r.For > 0 {
			fmt.Fprintf(&b, "        for: %s\n", span(r.For))
		}
		fmt.Fprintf(&b, "        labels:\n          severity: %s\n        annotations:\n", r.Severity)
		for _, a := range r.annotations() {
			fmt.Fprintf(&b, "          %s: %s\n", a[0], quote(a[1]))
		}
	}
	return b.String()
}

func (r Rule) annotations() [][2]string {
	anchor := "/alerts.md#" + strings.ToLower(r.Name)
	return [][2]string{{"summary", r.Says.En}, {"summary_pt", r.Says.Pt}, {"runbook_url", Pages + "en" + anchor}, {"runbook_url_pt", Pages + "pt-BR" + anchor}}
}

// quote is a text as YAML has it between single quotes.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// span is a time as Prometheus writes it.
func span(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
