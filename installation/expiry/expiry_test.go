package expiry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/retention"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func day(n int, parts ...cofre.Component) cofre.RecoveryPoint {
	at := now.AddDate(0, 0, -n)
	p := cofre.RecoveryPoint{ID: cofre.PointID(at.Format("20060102T150405Z") + "-aaaa"), Installation: "tl", StartedAt: at, PublishedAt: at.Add(time.Minute)}
	for _, c := range parts {
		c.StartedAt = at
		p.Components = append(p.Components, c)
	}
	return p
}

var (
	database = cofre.Component{Kind: cofre.KindDatabase, Name: "app"}
	cluster  = cofre.Component{Kind: cofre.KindCluster, Name: "cluster"}
	files    = cofre.Component{Kind: cofre.KindConfig, Name: "config"}
)

func decideBy(cfg *config.Config, h *expiry.History, points ...cofre.RecoveryPoint) *expiry.Expiry {
	in := expiry.Input(cfg, slices.Values(points), nil, h)
	in.Now, in.Location = now, time.UTC
	return &expiry.Expiry{Plan: retention.Decide(in)}
}

func decide(cfg *config.Config, damage map[cofre.PointID][]cofre.Finding, points ...cofre.RecoveryPoint) *expiry.Expiry {
	in := expiry.Input(cfg, slices.Values(points), damage, &expiry.History{})
	in.Now, in.Location = now, time.UTC
	return &expiry.Expiry{Plan: retention.Decide(in)}
}

func going(e *expiry.Expiry) map[cofre.PointID][]cofre.Kind {
	m := map[cofre.PointID][]cofre.Kind{}
	for _, x := range e.Expiries() {
		for _, s := range x.Sources {
			m[x.Point] = append(m[x.Point], s.Kind)
		}
	}
	return m
}

func of(days int) *config.Config {
	return &config.Config{Database: &config.Database{Keep: config.Keep{Days: days}}, Cluster: &config.Cluster{Keep: config.Keep{Days: 2}}}
}

// Of one point a component goes and another stays; what has no section in the configuration stays.
func TestComponentsGoByThemselves(t *testing.T) {
	var points []cofre.RecoveryPoint
	for n := 6; n >= 0; n-- {
		points = append(points, day(n, database, cluster, files))
	}
	got := going(decide(of(4), nil, points...))
	want := map[cofre.PointID][]cofre.Kind{
		points[0].ID: {cofre.KindCluster, cofre.KindDatabase}, points[1].ID: {cofre.KindCluster, cofre.KindDatabase},
		points[2].ID: {cofre.KindCluster, cofre.KindDatabase}, points[3].ID: {cofre.KindCluster},
	}
	// The base backup of day 2 stays: the first moments of the two days are recovered from it.
	if len(got) != len(want) {
		t.Errorf("of %v go, want %v", got, want)
	}
	for id, kinds := range want {
		if slices.Sort(got[id]); !slices.Equal(got[id], kinds) {
			t.Errorf("of %s go %v, want %v", id, got[id], kinds)
		}
	}
}

// The WAL that stays goes back as far as every moment is promised: not at all if the base backups fail, or if one is from the future.
func TestThePromiseOfWAL(t *testing.T) {
	points := []cofre.RecoveryPoint{day(9, cluster), day(3, cluster), day(1, cluster)}
	e := decide(of(4), nil, points...)
	since, goes := e.Promised()
	if !since.Equal(now.AddDate(0, 0, -2)) || len(goes) != 1 || !goes[points[0].ID] {
		t.Errorf("since %s, without %v", since, goes)
	}
	failed := day(0)
	failed.Findings = []cofre.Finding{{Check: cofre.CheckSource, Kind: cofre.KindCluster, Object: "cluster"}}
	if since, goes := decide(of(4), nil, append(points, failed)...).Promised(); !since.IsZero() || len(goes) != 0 {
		t.Errorf("failing: since %s, without %v", since, goes)
	}
	if since, _ := decide(of(4), nil, append(points, day(-2, cluster))...).Promised(); !since.IsZero() {
		t.Errorf("of the future: since %s", since)
	}
	everything := of(4)
	everything.Cluster.Keep = config.Keep{Everything: true}
	if since, goes := decide(everything, nil, points...).Promised(); !since.IsZero() || len(goes) != 0 {
		t.Errorf("everything: since %s, without %v", since, goes)
	}
}

// What is damaged is no whole component: the last that is whole stays, however old.
func TestWhatIsDamagedIsNotWhole(t *testing.T) {
	points := []cofre.RecoveryPoint{day(50, database), day(40, database), day(1, database)}
	damage := map[cofre.PointID][]cofre.Finding{points[2].ID: {{Check: "content", Kind: cofre.KindDatabase, Name: "app"}}}
	cfg := of(10)
	got := going(decide(cfg, damage, points...))
	if len(got) != 1 || got[points[0].ID] == nil {
		t.Errorf("go: %v", got)
	}
}

// What failed and was captured since then does not fail.
func TestASourceThatComesBackIsNotFrozen(t *testing.T) {
	failed := day(5)
	failed.Findings = []cofre.Finding{{Check: cofre.CheckSource, Kind: cofre.KindDatabase, Object: "app"}}
	e := decide(of(3), nil, day(20, database), failed, day(1, database), day(0, database))
	if len(e.Sources) != 1 || e.Sources[0].Frozen != nil || e.Sources[0].Expired == 0 {
		t.Errorf("%+v", e.Sources)
	}
}

// Since when a source fails is not forgotten as the points expire that lacked it.
func TestFailingSinceTheLastSuccess(t *testing.T) {
	lacks := day(1, files)
	lacks.Findings = []cofre.Finding{{Check: cofre.CheckSource, Kind: cofre.KindDatabase, Object: "app"}}
	for _, s := range decide(of(3), nil, day(40, database), lacks).Sources {
		if s.ID.Kind == cofre.KindDatabase && (s.Frozen == nil || !s.Frozen.Since.Equal(now.AddDate(0, 0, -40))) {
			t.Errorf("frozen: %+v", s.Frozen)
		}
	}
}
