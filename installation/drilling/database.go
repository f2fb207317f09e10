package drilling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/drilled"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/restore"
)

// Result is what a drill did, and found. Later fields are zero if it did not get so far.
type Result struct {
	What    string           `json:"what"`
	Point   cofre.PointID    `json:"point"`
	Source  cofre.SourceID   `json:"source"`
	TakenAt time.Time        `json:"taken_at"` // the moment that was brought back
	Drawn   string           `json:"drawn_by,omitempty"`
	BeganAt time.Time        `json:"began_at"`
	EndedAt time.Time        `json:"ended_at,omitzero"`
	Server  *Server          `json:"server,omitempty"`
	Plan    *cofre.Plan      `json:"plan,omitempty"`
	Depth   cofre.DrillDepth `json:"depth,omitempty"`
	Proof   *cofre.Proof     `json:"proof,omitempty"`
	// Recovery is where that of a cluster ended; nil of what is none.
	Recovery *Recovered       `json:"recovery,omitempty"`
	Answers  []drilled.Answer `json:"answers"`

	Findings []cofre.Finding   `json:"findings"`
	Steps    []cofre.DrillStep `json:"steps"`
	Kept     *Kept             `json:"kept,omitempty"`
	Swept    []Record          `json:"swept,omitempty"` // what earlier drills had left, and this one has removed

	root  cofre.ObjectID
	bytes int64
}

// Server is a drilled one.
type Server struct {
	Major   int    `json:"major"`
	Version string `json:"version"`
	Folder  string `json:"folder"`
}

// Kept is a drilled server that was left running.
type Kept struct {
	URL    string    `json:"url,omitempty"`
	Folder string    `json:"folder"`
	Until  time.Time `json:"until"`
}

// Took is how long the drill took.
func (r *Result) Took() time.Duration { return r.EndedAt.Sub(r.BeganAt) }

// Red reports whether something was found.
func (r *Result) Red() bool { return len(r.Findings) > 0 }

// damaged makes a finding of why a component could not be restored, unless what is lost of it was found before.
func (r *Result) damaged(obs cofre.Observer, why error) {
	if r.Red() {
		return
	}
	f := cofre.Finding{Check: "content", Kind: r.Source.Kind, Name: r.Source.Name, Object: r.Source.Label()}.Saying(cofre.SayError(why))
	r.Findings = append(r.Findings, f)
	cofre.Tell(obs, cofre.FindingMade{Finding: f})
}

// fact is what observers are told of the result.
func (r *Result) fact() cofre.DrillEnded {
	f := cofre.DrillEnded{Point: r.Point, Source: r.Source, Root: r.root, Drawn: r.Drawn, Depth: r.Depth, Bytes: r.bytes, Asked: len(r.Answers), Steps: r.Steps}
	if r.Server != nil {
		f.Major = r.Server.Major
	}
	if r.Proof != nil {
		f.Compared, f.Differ = len(r.Proof.Checks), len(r.Proof.Differing().Checks)
	}
	for _, a := range r.Answers {
		if !a.OK {
			f.Wrong++
		}
	}
	return f
}

// Questions are those of a configuration.
func Questions(d config.Drill) []drilled.Question {
	var all []drilled.Question
	for i, c := range d.Checks {
		all = append(all, drilled.Question{Name: cmp.Or(c.Name, fmt.Sprintf("drill.checks[%d]", i)), SQL: c.SQL, Command: c.Command, Timeout: c.Timeout.Duration})
	}
	for i, p := range d.RowSecurity {
		q := drilled.Question{
			Name: cmp.Or(p.Name, fmt.Sprintf("drill.row_security[%d]", i)), Role: p.Role, Query: p.Query, Rows: p.Rows, Value: p.Value, Denied: p.Denied, Timeout: p.Timeout.Duration,
		}
		if p.Claims != "" {
			q.Settings = append(q.Settings, [2]string{"request.jwt.claims", p.Claims})
		}
		for _, s := range p.Settings {
			q.Settings = append(q.Settings, [2]string{s.Name, s.Value})
		}
		all = append(all, q)
	}
	return all
}

// Drill is a drill under way: what a restore is asked to restore into.
type Drill struct {
	Result    *Result
	o         Job
	room      *room
	server    *throwaway.Server
	component logical.Component
	muted     *drilled.Muted
	cluster   *cluster // nil of what is none
	database  string   // of a cluster, that is asked
	cofre.Target
}

// openDatabase starts the server.
func (d *Drill) openDatabase(ctx context.Context, repo Repository, c cofre.Component) error {
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		return err
	}
	if d.component, err = logical.OpenComponent(ctx, tree); err != nil {
		return err
	}
	facts := d.component.Facts
	r := d.Result
	r.TakenAt = facts.TakenAt
	major := logical.MajorOf(facts.ServerVersion)
	bin := d.o.BinDir
	if bin == "" {
		if bin, err = postgres.BinDir(major); err != nil {
			return cofre.WithHint(cofre.Fail(cofre.Say("drill.no_server", "this machine does not have PostgreSQL {{.major}}, with which the database was captured", "major", major), cofre.ErrPreflight), cofre.HintOf(err))
		}
	}
	if err := throwaway.Reaches(d.o.Rooms.base()); err != nil {
		return cofre.WithHint(err, cofre.Say("drill.other_folder", "set drill.directory to a folder that it can reach, as /var/tmp"))
	}
	if err := d.enter(); err != nil {
		return err
	}
	task := cofre.Event{Type: cofre.TypeTaskBegan, Total: 1, Unit: cofre.UnitItems}.Doing(cofre.Say("drill.task_server", "start PostgreSQL {{.major}}", "major", major))
	d.o.Observer.Observe(task)
	began := time.Now()
	d.server, err = drilled.Start(ctx, drilled.Options{BinDir: bin, Dir: d.room.record.Folder, Ready: d.o.Ready})
	if err == nil {
		err = drilled.Tablespaces(ctx, d.server, d.tablespaces())
	}
	task.Type, task.Done, task.Err = cofre.TypeTaskEnded, 1, err
	d.o.Observer.Observe(task)
	if err != nil {
		return err
	}
	d.took(cofre.DrillServer, began)
	r.Server = &Server{Major: d.server.Major, Folder: d.room.record.Folder}
	if v, err := postgres.VersionOf(ctx, bin+"/postgres"); err == nil {
		r.Server.Version = v.String()
	}
	o := restoring.Options{Jobs: sources.Parallel(d.o.Jobs)}
	o.Server, o.Roles, o.Check = d.server.Config("postgres"), true, restoring.CheckChecksum
	// A new server has this one database, and the captured one may have its name.
	o.Replace = facts.Database.Name == "postgres"
	o.Defined = func(ctx context.Context, staged postgres.Config) (err error) {
		d.muted, err = drilled.Mute(ctx, staged)
		return err
	}
	d.Target = restoring.NewTarget(o)
	return nil
}

// Repository is what a drill reads.
type Repository interface {
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
}

// tablespaces are those that the archive names, and the server has to have.
func (d *Drill) tablespaces() []string {
	need := map[string]bool{d.component.Facts.Database.Tablespace: true}
	for _, e := range d.component.TOC.Entries {
		need[d.component.Decode(e.Tablespace)] = true
	}
	delete(need, "")
	delete(need, "pg_default")
	return slices.Sorted(maps.Keys(need))
}

func (d *Drill) took(step cofre.DrillStage, since time.Time) {
	d.Result.Steps = append(d.Result.Steps, cofre.DrillStep{Step: step, Took: time.Since(since)})
}

// Plan is that of the restore, between what comes before it and after it.
//
// Errors: those of the restore's.
func (d *Drill) Plan(ctx context.Context, c cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	plan, err := d.Target.Plan(ctx, c, tree)
	if err != nil {
		return nil, err
	}
	if d.cluster != nil {
		return d.planCluster(plan), nil
	}
	if d.server == nil {
		return d.titled(plan), nil
	}
	own := cofre.NewPlan(cofre.Say("drill.title", "drill database {{.database}} of {{.source}}, captured {{.taken}}, in PostgreSQL {{.major}} of its own",
		"database", d.component.Facts.Database.Name, "source", c.Name, "taken", d.component.Facts.TakenAt, "major", d.server.Major))
	own.Do(cofre.Say("step.start", "start"), cofre.Say("drill.step_server", "PostgreSQL {{.major}} in {{.folder}}", "major", d.server.Major, "folder", d.room.record.Folder), cofre.Say("drill.step_contained", "on a socket in that folder, without archiving, subscriptions, foreign servers and preloaded libraries"))
	return d.around(own, plan), nil
}

// staying are notes on a restore about what stays on a server, or a directory, that stays.
var staying = []string{"database.roles_stay", "database.interrupted", "library.quarantine", "library.left", "library.not_known", "cluster.auto_conf"}

// around puts the steps of a restore between what comes before and after it.
func (d *Drill) around(own, plan *cofre.Plan) *cofre.Plan {
	own.Point, own.Bytes, own.Problems = plan.Point, plan.Bytes, plan.Problems
	own.Steps, own.Messages = append(own.Steps, plan.Steps...), append(own.Messages, plan.Messages...)
	for _, note := range plan.Notes {
		m := plan.Messages.Of(note)
		if !slices.Contains(staying, m.Code) {
			own.Note(m)
		}
	}
	if d.cluster != nil {
		own.Do(cofre.Say("step.check", "check"), cofre.Say("drill.step_look", "pages, tables and indexes, and each database"), cofre.Message{})
	}
	serves := d.server != nil || d.cluster != nil
	if n := len(d.o.Questions); n > 0 && serves {
		own.Do(cofre.Say("step.ask", "ask"), cofre.SayN("drill.step_questions", n, "1 question of the configuration", "{{.n}} questions of the configuration"), cofre.Message{})
	}
	all := cofre.Say("drill.step_folder", "the folder")
	if serves {
		all = cofre.Say("drill.step_all", "the server and its folder")
	}
	if d.o.Keep > 0 {
		own.Do(cofre.Say("step.keep", "keep"), all, cofre.Say("drill.step_until", "for {{.time}}", "time", d.o.Keep.String()))
	} else {
		own.Do(cofre.Say("step.remove", "remove"), all, cofre.Message{})
	}
	return own
}

// Stage is the restore's.
//
// Errors: those of the restore's.
func (d *Drill) Stage(ctx context.Context, obs cofre.Observer) error {
	defer d.took(cofre.DrillRestore, time.Now())
	return d.Target.Stage(ctx, obs)
}

// Check is the restore's, with the foreign-data wrappers as they were captured.
//
// Errors: those of the restore's.
func (d *Drill) Check(ctx context.Context, obs cofre.Observer) (proof *cofre.Proof, err error) {
	defer d.took(cofre.DrillCompare, time.Now())
	if !d.muted.Some() {
		return d.Target.Check(ctx, obs)
	}
	err = d.muted.Undo(ctx, func() error {
		proof, err = d.Target.Check(ctx, obs)
		return err
	})
	if err != nil {
		return nil, err
	}
	unread(proof)
	return proof, nil
}

// unread takes that a materialized view is empty for no difference if it reads a foreign table, itself or through another one.
func unread(proof *cofre.Proof) {
	const filling = "statement of materialized view data "
	var empty []string
	why := cofre.Say("drill.differs_foreign", "it reads a foreign server, which a drill does not touch")
	for i, c := range proof.Checks {
		name, ok := strings.CutPrefix(c.What, filling)
		if ok && !c.OK && (strings.Contains(c.Got, drilled.NoHandler) || len(empty) > 0 && strings.Contains(c.Got, "has not been populated")) {
			empty = append(empty, "materialized view "+name+": populated")
			proof.Checks[i] = c.Because(why)
		}
	}
	for i, c := range proof.Checks {
		if !c.OK && slices.Contains(empty, strings.ReplaceAll(c.What, `"`, "")) {
			proof.Checks[i] = c.Because(why)
		}
	}
}

// Keep leaves a copy that differs for the rest of the drill.
//
// Errors: those of the restore's.
func (d *Drill) Keep(ctx context.Context, proof *cofre.Proof) (cofre.KeptCopy, error) {
	if k, ok := d.Target.(cofre.Keeper); ok {
		return k.Keep(ctx, proof)
	}
	return cofre.KeptCopy{Name: d.room.record.Folder, Drop: "cofre drill clean"}, nil
}

// Run restores into the drilled server, compares, and asks. What differs and what has another answer than the right one is in Result.Findings,
// not an error.
//
// Errors: those of restore.Run but that the copy differs; those of the connection.
func (d *Drill) Run(ctx context.Context, repo Repository, req restore.Request) error {
	req.Target, req.Observer = d, within(d.o.Observer)
	req.Confirm = func(plan *cofre.Plan) error {
		d.Result.Plan = plan
		if d.o.Planned == nil {
			return nil
		}
		return d.o.Planned(plan)
	}
	res, err := restore.Run(ctx, repo, req)
	d.Result.Plan, d.Result.Proof = res.Plan, res.Proof
	database := d.component.Facts.Database.Name
	if err == nil && d.cluster != nil {
		if err := d.inspect(ctx, res.Proof); err != nil {
			return err
		}
		database = d.database
	}
	switch {
	case res.Kept != nil:
		database = res.Kept.Name
	case res.Outcome == nil && err != nil:
		return err
	case res.Outcome != nil && err != nil && !errors.Is(err, cofre.ErrPartial):
		return err
	}
	if res.Outcome != nil {
		for _, c := range res.Outcome.Left {
			if !slices.Contains(notHeld, c.Messages.Of(c.Got).Code) {
				d.find(c)
				continue
			}
			res.Proof.Omits(cofre.Say("drill.not_held", "{{.object}}, which the folder of the drill does not hold: {{.got}}", "object", c.Messages.Of(c.What), "got", c.Messages.Of(c.Got)))
		}
	}
	d.Result.Depth = depthOf(res.Proof)
	for _, c := range res.Proof.Differing().Checks {
		if d.cluster == nil { // what a cluster has is found one by one
			d.find(c)
		}
	}
	for _, c := range res.Proof.Accepted() { // by reasons of the restore's own
		d.o.Observer.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(cofre.Say("drill.accepted", "differs, and is no finding: {{.what}}: {{.why}}", "what", c.Messages.Of(c.What), "why", c.Messages.Of(c.Accepted))))
	}
	if err := d.ask(ctx, database); err != nil {
		return err
	}
	if d.o.Keep == 0 {
		return nil
	}
	return d.leave(ctx, database)
}

// notHeld are why something is left that is no fault of what was captured: a folder, or this user, does not hold it.
var notHeld = []string{"bucket.tags_lost", "bucket.tags_unknown", "files.xattr_lost"}

// depthOf is how deep a proof goes.
func depthOf(p *cofre.Proof) cofre.DrillDepth {
	switch {
	case p.Counted:
		return cofre.DrilledCounted
	case p.Part || p.Of != "" || p.Unkeyed || len(p.NotCompared) > 0:
		return cofre.DrilledPart
	}
	return cofre.DrilledEverything
}

// find makes a finding of what differs.
func (d *Drill) find(c cofre.Checked) {
	f := cofre.Finding{Check: "drill", Kind: d.Result.Source.Kind, Name: d.Result.Source.Name, Object: c.What}
	what := cofre.Say("drill.differs", "captured {{.want}}, restored {{.got}}", "want", short(c, c.Want), "got", short(c, c.Got))
	if c.Want == "as captured" {
		what = short(c, c.Got)
	}
	d.add(f.Saying(what))
}

func (d *Drill) add(f cofre.Finding) {
	d.Result.Findings = append(d.Result.Findings, f)
	cofre.Tell(d.o.Observer, cofre.FindingMade{Finding: f})
}

// short is one side of a comparison, as much of it as a line has room for.
func short(c cofre.Checked, text string) cofre.Message {
	m := c.Messages.Of(text)
	if m.Code != "" {
		return m
	}
	return cofre.Verbatim(restore.Short(m.Text))
}

func (d *Drill) ask(ctx context.Context, database string) error {
	if len(d.o.Questions) == 0 || d.server == nil {
		return nil
	}
	defer d.took(cofre.DrillAsk, time.Now())
	task := cofre.Event{Type: cofre.TypeTaskBegan, Total: int64(len(d.o.Questions)), Unit: cofre.UnitItems}.Doing(cofre.Say("drill.task_ask", "ask the restored database"))
	d.o.Observer.Observe(task)
	for i, q := range d.o.Questions {
		a, err := drilled.Ask(ctx, d.server, database, q)
		if err != nil {
			task.Type, task.Err = cofre.TypeTaskEnded, err
			d.o.Observer.Observe(task)
			return err
		}
		d.Result.Answers = append(d.Result.Answers, a)
		if !a.OK {
			f := cofre.Finding{Check: a.Kind, Kind: d.Result.Source.Kind, Name: d.Result.Source.Name, Object: a.What}
			d.add(f.Saying(cofre.Say("drill.wrong", "wanted {{.want}}, got {{.got}}", "want", short(a.Checked, a.Want), "got", short(a.Checked, a.Got))))
		}
		task.Type, task.Item, task.Done = cofre.TypeTaskProgress, q.Name, int64(i+1)
		d.o.Observer.Observe(task)
	}
	task.Type, task.Item = cofre.TypeTaskEnded, ""
	d.o.Observer.Observe(task)
	return nil
}

// leave leaves the folder, and the server running, when this process ends.
func (d *Drill) leave(ctx context.Context, database string) (err error) {
	until := time.Now().Add(d.o.Keep)
	if d.server == nil {
		if err := d.room.keep(until, ""); err != nil {
			return err
		}
		d.Result.Kept = &Kept{Folder: d.room.record.Folder, Until: until.UTC()}
		return nil
	}
	if d.server, err = drilled.Leave(ctx, d.server); err != nil {
		d.server = nil
		return err
	}
	if err := d.room.keep(until, d.server.URL(database)); err != nil {
		return err
	}
	d.Result.Kept = &Kept{URL: d.server.URL(database), Folder: d.room.record.Folder, Until: until.UTC()}
	return nil
}

// clearing is how long it may take to leave nothing.
const clearing = 2 * time.Minute

// Close ends the server and removes everything, unless it was kept. The drill is over.
//
// Errors: of what could not be removed: the next drill tries again.
func (d *Drill) Close(ctx context.Context) error {
	d.Result.EndedAt = time.Now().UTC()
	if d.room == nil || d.Result.Kept != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearing)
	defer cancel()
	var err error
	if d.server != nil {
		err = d.server.Close()
	}
	err = errors.Join(err, d.room.remove(ctx))
	d.room, d.server = nil, nil
	return err
}

// within is the observer of the restore in a drill: it is told of the drill, and that something was restored would not be true.
func within(drill cofre.Observer) cofre.Observer {
	return cofre.ObserverFunc(func(e cofre.Event) {
		switch e.Fact.(type) {
		case cofre.RunBegan, cofre.RunEnded, cofre.RestorePublished, cofre.CopyKept, cofre.ClusterRecovered:
			return
		}
		e.Run = ""
		drill.Observe(e)
	})
}
