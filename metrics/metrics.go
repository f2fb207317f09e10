// Package metrics says how an installation stands, to Prometheus: the four names of the guide, and cofre_* in base units. It computes nothing: what it
// says is what package status says, so that it is right also after a restart, and if CronJobs take the backups.
//
// Read Write, then standing and source.
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
	Window       time.Duration // 0 if it has none
	RunningSince time.Time     // zero if it does not run
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
		c.job(j, say)
	}
	say("cofre_status_known", "1 if it could be looked at how the installation stands; 0 says that everything else of it is missing here.", is(c.Status != nil))
	if s := c.Status; s != nil {
		standing(c.Now, s, say)
	}
}

// job says how a job stands. Its label is task: what Prometheus scrapes has a label job already.
func (c collector) job(j Job, say sayer) {
	if j.Interval > 0 {
		say("cofre_expected_interval_seconds", "From one moment at which the task is due to the next.", j.Interval.Seconds(), "task", j.Name)
	}
	if !j.NextAt.IsZero() {
		say("cofre_next_due_timestamp_seconds", "When the task is due next.", unix(j.NextAt), "task", j.Name)
	}
	if j.Window > 0 {
		say("cofre_window_seconds", "How long the task may take by its window.", j.Window.Seconds(), "task", j.Name)
	}
	running := 0.0
	if !j.RunningSince.IsZero() {
		running = c.Now.Sub(j.RunningSince).Seconds()
	}
	say("cofre_running_seconds", "How long this agent has been doing the task; 0 if it does not.", running, "task", j.Name)
}

// sayer says one number. Its labels are names and values in turn.
type sayer func(name, help string, value float64, labels ...string)

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
