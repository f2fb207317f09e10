// Package alerts says when somebody is to be called, and what to do then: one table of rules, from which the files of deploy/monitoring and the pages
// docs/*/alerts.md are made. Prometheus decides by these files; cofre itself does not.
//
// A rule goes by metrics that package metrics says, and by nothing else. What is not known is not said there, so a rule on a value is silent about it: that
// something is not known has rules of its own (CofreAgentAbsent, CofreStatusUnknown, CofreRepositoryUnreachable, CofreAreaUnknown).
//
// Read Rules first. prometheus.go writes the rules, grafana.go the dashboard, pages.go the runbook.
package alerts
