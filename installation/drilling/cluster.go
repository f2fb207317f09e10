package drilling

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/drilled"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// Recovery is how a cluster gets to the moment that is drilled.
type Recovery struct {
	Point   cofre.PointID // of the base backup
	Target  cofre.RecoveryTarget
	Plan    *recovery.Recovery // nil if the WAL in the base backup itself is all there is
	Command string             // that fetches WAL
	Moment  *Moment            // how it was drawn; nil of the newest
	Config  *config.Config
}

// Recovered is where a drilled recovery ended, and where it was to end.
type Recovered struct {
	Target   string         `json:"target"`
	Planned  cofre.LSN      `json:"planned_lsn,omitempty"`
	LSN      cofre.LSN      `json:"lsn,omitempty"`
	Timeline cofre.Timeline `json:"timeline,omitempty"` // that the promoted copy began
	Segments int            `json:"segments,omitempty"` // of WAL
	Pages    int64          `json:"pages,omitempty"`    // whose checksums were compared
	Drawn    *Moment        `json:"drawn,omitempty"`
}

// openCluster prepares the folder that the cluster is restored and recovered in.
func (d *Drill) openCluster(c cofre.Component) error {
	s, err := physical.ParseSummary(c.Facts)
	if err != nil {
		return err
	}
	d.cluster = &cluster{summary: s, superuser: cmp.Or(s.Superuser, "postgres"), bin: d.o.BinDir}
	r, way := d.Result, d.o.Recovery
	r.TakenAt, r.Recovery = s.StoppedAt, &Recovered{Target: way.Target.String(), Drawn: way.Moment}
	if p := way.Plan; p != nil {
		r.Recovery.Planned, r.Recovery.Segments = p.Reach, len(p.Segments)
		if !p.CommitAt.IsZero() {
			r.TakenAt = p.CommitAt
		}
		for _, t := range p.Tablespaces {
			if t.Path != "" && t.InPlace == "" {
				return cofre.Fail(cofre.Say("drill.made_outside", "the WAL creates tablespace {{.oid}} in {{.dir}}, and cannot be made to create it in the folder of the drill", "oid", t.OID, "dir", t.Path), cofre.ErrPreflight)
			}
		}
	}
	if d.cluster.bin == "" {
		if d.cluster.bin, err = postgres.BinDir(s.Major); err != nil {
			return cofre.WithHint(cofre.Fail(cofre.Say("drill.no_cluster_server", "this machine does not have PostgreSQL {{.major}}, of which the cluster is", "major", s.Major), cofre.ErrPreflight), cofre.HintOf(err))
		}
	}
	if err := throwaway.Reaches(d.o.Rooms.base()); err != nil {
		return cofre.WithHint(err, cofre.Say("drill.other_folder", "set drill.directory to a folder that it can reach, as /var/tmp"))
	}
	if err := d.enter(); err != nil {
		return err
	}
	folder := d.room.record.Folder
	owner, err := drilled.Give(folder)
	if err != nil {
		return err
	}
	spaces := map[string]string{}
	for _, t := range s.Tablespaces {
		oid := strconv.FormatUint(uint64(t.OID), 10)
		spaces[oid] = filepath.Join(folder, "tablespace-"+oid)
	}
	end := ""
	if way.Command != "" {
		end = "rm -rf " + datadir.SpoolDir
	}
	d.cluster.Target = restoring.NewTarget(restoring.Options{
		Dir: drilled.DataDir(folder), Tablespaces: spaces, Jobs: sources.Parallel(d.o.Jobs), Owner: owner,
		Recovery: way.Target, Plan: way.Plan, Action: settings.ActionPromote, RestoreCommand: way.Command, EndCommand: end,
	})
	d.Target = d.cluster.Target
	r.Server = &Server{Major: s.Major, Folder: folder}
	return nil
}

// cluster is what a drill of one knows.
type cluster struct {
	*restoring.Target
	summary   physical.Summary
	superuser string
	bin       string
	promoted  bool // it was recovered, and shut down
}

// planCluster is the plan of the restore as that of a drill.
func (d *Drill) planCluster(plan *cofre.Plan) *cofre.Plan {
	s, r := d.cluster.summary, d.Result
	own := cofre.NewPlan(cofre.Say("drill.title_cluster", "drill cluster {{.system}} of PostgreSQL {{.major}}, from base backup {{.point}} to {{.target}}, in {{.folder}}",
		"system", s.SystemID, "major", s.Major, "point", r.Point, "target", d.aim(), "folder", d.room.record.Folder))
	own = d.around(own, plan)
	own.Note(cofre.Say("drill.note_contained", "its server has a socket in that folder and no network address, no archiving, no subscriptions, no foreign servers, no workers and no preloaded libraries, whatever its configuration says; tablespaces lie in that folder, also those that the WAL creates"))
	return own
}

// aim is what is recovered to, in words.
func (d *Drill) aim() cofre.Message {
	switch m := d.o.Recovery.Moment; {
	case m != nil:
		return cofre.Say("drill.aim_drawn", "a moment that was drawn, {{.lsn}}", "lsn", m.LSN)
	case d.o.Recovery.Plan != nil:
		return cofre.Say("drill.aim_newest", "the newest moment, {{.lsn}}", "lsn", d.o.Recovery.Plan.Stop)
	}
	return cofre.Say("drill.aim_own", "the end of the base backup")
}

// Recover runs the server of a cluster that was restored until it is where the plan promised, and promotes it: that it does not come there, or not
// with everything, is a finding. Of what is no cluster there is nothing to recover.
//
// Errors: those of the server; ctx's.
func (d *Drill) Recover(ctx context.Context, obs cofre.Observer, _ *cofre.Outcome) error {
	if d.cluster == nil {
		return nil
	}
	defer d.took(cofre.DrillRecover, time.Now())
	folder, way := d.room.record.Folder, d.o.Recovery
	data := drilled.DataDir(folder)
	if err := drilled.Contained(folder); err != nil {
		return err
	}
	environ, _ := walstore.Environment(way.Config)
	if way.Command != "" {
		if err := walorigin.LeaveKeys(ctx, way.Config, data); err != nil {
			return err
		}
	}
	done, err := recovering.Run(ctx, recovering.Options{
		DataDir: data, BinDir: d.cluster.bin, In: folder, Recovery: way.Target, Plan: way.Plan, Action: settings.ActionPromote, Superuser: d.cluster.superuser,
		Settings: drilled.Recovering(d.cluster.summary.Major), Env: environ, Observer: obs,
	})
	if elsewhere, ok := errors.AsType[*cofre.UnreachableError](err); ok {
		d.fault(CheckRecovery, drilled.Fault{Object: way.Target.String(), Said: elsewhere.Why})
		return nil
	}
	if err != nil {
		return err
	}
	d.Result.Recovery.LSN, d.Result.Recovery.Timeline = done.LSN, done.Timeline
	for _, u := range done.Unusable {
		obs.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(u.Message()))
	}
	for _, torn := range d.cluster.Torn() {
		d.fault(CheckRecovery, drilled.Fault{Object: way.Target.String(), Said: torn})
	}
	d.cluster.promoted = done.Promoted
	return errors.Join(done.Server.Close(), walorigin.ForgetSpool(ctx, data))
}

// The checks of a drilled cluster, as findings name them.
const (
	CheckRecovery  = "recovery"  // that it is where the plan promised, and whole
	CheckPages     = "pages"     // by their checksums
	CheckStructure = "structure" // of tables and indexes
	CheckDatabase  = "database"  // that it can be used
)

// fault makes a finding.
func (d *Drill) fault(check string, f drilled.Fault) {
	d.add(cofre.Finding{Check: check, Kind: d.Result.Source.Kind, Name: d.Result.Source.Name, Object: f.Object}.Saying(f.Said))
}

// looked adds a comparison to the proof.
func (d *Drill) looked(p *cofre.Proof, what, want, got cofre.Message, ok bool) {
	p.Checks = append(p.Checks, cofre.NewChecked(what, want, got, ok))
}

// inspect looks at a cluster that was recovered, and shut down: every page, every table and index, every database.
//
// Errors: those of the programs and of the server.
func (d *Drill) inspect(ctx context.Context, proof *cofre.Proof) error {
	if !d.cluster.promoted {
		return nil // which is a finding
	}
	r := d.Result
	d.looked(proof, cofre.Say("drill.what_recovered", "the position that the recovery ended at"), cofre.Say("drill.as_planned", "as planned"), cofre.Say("drill.as_planned", "as planned"), true)
	if err := d.readPages(ctx, proof); err != nil {
		return err
	}
	began := time.Now()
	var err error
	d.server, err = drilled.StartCluster(ctx, drilled.ClusterOptions{
		Options: drilled.Options{BinDir: d.cluster.bin, Dir: d.room.record.Folder, Ready: d.o.Ready}, Major: d.cluster.summary.Major, Superuser: d.cluster.superuser,
	})
	if err != nil {
		return err
	}
	d.took(cofre.DrillServer, began)
	if v, err := postgres.VersionOf(ctx, d.cluster.bin+"/postgres"); err == nil {
		r.Server.Version = v.String()
	}
	names, err := d.useDatabases(ctx, proof)
	if err != nil {
		return err
	}
	if err := d.readStructure(ctx, proof); err != nil {
		return err
	}
	d.database, err = d.asked(names)
	return err
}

// readPages compares the checksums of all pages.
func (d *Drill) readPages(ctx context.Context, proof *cofre.Proof) error {
	if !d.cluster.summary.DataChecksums {
		proof.Omits(cofre.Say("drill.no_checksums", "pages by their checksums: the cluster has none (pg_checksums --enable)"))
		return nil
	}
	defer d.took(cofre.DrillPages, time.Now())
	end := d.doing(cofre.Say("drill.task_pages", "read every page"))
	pages, damaged, err := drilled.Pages(ctx, d.cluster.bin, drilled.DataDir(d.room.record.Folder))
	end(err)
	if err != nil {
		return err
	}
	d.Result.Recovery.Pages = pages
	d.looked(proof, cofre.Say("drill.what_pages", "the checksums of {{.n}} pages", "n", pages), faults(0), faults(len(damaged)), len(damaged) == 0)
	for _, f := range damaged {
		d.fault(CheckPages, f)
	}
	return nil
}

// readStructure has every table and index looked at.
func (d *Drill) readStructure(ctx context.Context, proof *cofre.Proof) error {
	defer d.took(cofre.DrillStructure, time.Now())
	end := d.doing(cofre.Say("drill.task_structure", "look at every table and index"))
	damaged, unchecked, err := drilled.Structure(ctx, d.server, sources.Parallel(d.o.Jobs))
	end(err)
	if err != nil {
		return err
	}
	if !unchecked.IsZero() {
		proof.Omits(unchecked)
		return nil
	}
	d.looked(proof, cofre.Say("drill.what_structure", "the structure of tables and indexes"), faults(0), faults(len(damaged)), len(damaged) == 0)
	for _, f := range damaged {
		d.fault(CheckStructure, f)
	}
	return nil
}

// useDatabases connects to each database, and takes its foreign servers away. One that cannot be used is a finding.
func (d *Drill) useDatabases(ctx context.Context, proof *cofre.Proof) (names []string, err error) {
	all, err := drilled.Databases(ctx, d.server)
	if err != nil {
		return nil, err
	}
	unusable := 0
	for _, db := range all {
		_, err := drilled.Mute(ctx, d.server.Config(db.Name))
		said, refused := postgres.Refused(err)
		switch {
		case refused:
			unusable++
			d.fault(CheckDatabase, drilled.Fault{Object: db.Name, Said: cofre.Verbatim(said)})
		case err != nil:
			return nil, err
		case !db.Template:
			names = append(names, db.Name)
		}
	}
	d.looked(proof, cofre.SayN("drill.what_databases", len(all), "1 database that is connected to", "{{.n}} databases that are connected to"), faults(0), faults(unusable), unusable == 0)
	return names, nil
}

// asked is the database that the questions of the configuration are of: the one that is configured, or the only one.
//
// Errors: cofre.ErrConfig if there are questions, and none or several that they could be of.
func (d *Drill) asked(names []string) (string, error) {
	if cfg := d.o.Recovery.Config; cfg.Database != nil {
		if name := sources.ID(cfg, cofre.KindDatabase).Name; slices.Contains(names, name) {
			return name, nil
		}
	}
	own := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "postgres" })
	switch {
	case len(own) == 1:
		return own[0], nil
	case len(d.o.Questions) == 0 || len(own) == 0:
		return "postgres", nil
	}
	return "", cofre.WithHint(cofre.Fail(cofre.SayN("drill.which_database", len(own), "the cluster has 1 database, and nothing says that drill.checks and drill.row_security are of it", "the cluster has {{.n}} databases, and nothing says of which drill.checks and drill.row_security are"), cofre.ErrConfig),
		cofre.Say("drill.name_database", "name it in database.url"))
}

// doing tells that something is done, until end is called.
func (d *Drill) doing(what cofre.Message) (end func(error)) {
	task := cofre.Event{Type: cofre.TypeTaskBegan}.Doing(what)
	d.o.Observer.Observe(task)
	return func(err error) {
		task.Type, task.Err = cofre.TypeTaskEnded, err
		d.o.Observer.Observe(task)
	}
}

// faults is how many there are, in words.
func faults(n int) cofre.Message {
	return cofre.SayN("drill.faults", n, "1 fault", "{{.n}} faults")
}
