package restoring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/stamp"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/checks"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
	"github.com/trustlayer/cofre/postgres/logical/globals"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// CheckLevel says how much of what was restored is read back.
type CheckLevel string

// The levels. Checksum reads every row and compares the sums that capture recorded; counts counts every table, which proves nothing of a row.
const (
	CheckCounts   CheckLevel = "counts"
	CheckChecksum CheckLevel = "checksum"
)

// said is what a plan says of the level.
func (l CheckLevel) said() cofre.Message {
	if l == CheckChecksum {
		return cofre.Say("database.level_checksum", "checksum")
	}
	return cofre.Say("database.level_counts", "counts")
}

// Options describe a restore of a whole database.
type Options struct {
	Server  postgres.Config // leads to a database of the server that is not the one restored: postgres
	Name    string          // of the database in the end; empty takes the captured one's
	Replace bool            // Name may exist; it is then kept under another name
	Jobs    int             // sessions and workers at once; 0 is 1
	Roles   bool            // create roles that are missing
	logical.Filter

	NoOwner      bool       // everything belongs to the connecting role
	NoPrivileges bool       // no GRANT and no REVOKE
	Check        CheckLevel // empty is CheckChecksum
	// Safe lets no CHECK of the captured database be evaluated before every row was compared, and none of its functions run with
	// rights beyond those of an ordinary role: it must be one that restores.
	Safe bool

	// Loss is what the repository has lost of the component.
	Loss logical.LossOptions

	// Accept are differences, by name, that are to be taken as they are: a copy that an earlier restore kept because
	// of them is then taken instead of restoring anew.
	Accept []string
	// SearchPath is in force while definitions are made and rows loaded; empty is none, as pg_dump has it.
	SearchPath string

	// Defined is called with the staged database when its definitions are made and no row was loaded, if there are definitions.
	Defined func(ctx context.Context, staged postgres.Config) error

	Now func() time.Time // a clock for tests; nil is the real one
}

// Target restores a database component under a new name, checks it there, and gives it its name by one rename.
//
// The way: preflight, CREATE DATABASE name_restore_time from template0, pre-data by pg_restore, rows by COPY
// straight from the repository, what else is data, post-data by pg_restore, ANALYZE, the database's own
// properties; then Check; then the rename. Until then the database that is replaced is not touched. A process
// killed in the middle leaves the staged database, which the plan named.
type Target struct {
	o    Options
	tree cofre.Tree
	logical.Component
	sel          *logical.Selection
	server       serverFacts
	staged       string
	kept         string // what the replaced database is called, after the rename
	created      bool
	published    bool
	adopted      bool                // staged was made, and kept, by an earlier restore
	root         cofre.ObjectID      // of the component
	roles        []globals.Statement // to be run before anything else
	failed       []failedStatement
	settingsLeft []logical.Setting // of the database, and of roles in it
	without      []string          // extensions that insist on another database, and are left out
	losing       sync.Mutex
	lost         []lost           // by losing while rows are loaded
	broken       []int            // by losing: dump ids of rows that could not be read to their end
	opened       []foreignkey.Key // foreign keys that were there, and say no more that they hold
	afterwards   []cofre.Next     // what can be done when the copy has its name
	off          *checks.Off      // constraints that are put off, if the restore is safe
	loaded       []cofre.Checked  // what differed before they were to be made
}

var _ cofre.Target = (*Target)(nil)

// NewTarget describes where a database is restored to. Nothing is contacted before Plan.
func NewTarget(o Options) *Target {
	if o.Jobs < 1 {
		o.Jobs = 1
	}
	if o.Check == "" {
		o.Check = CheckChecksum
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Target{o: o}
}

// Plan looks at everything that could forbid the restore and says all of it at once. It changes nothing.
//
// Errors: of the repository and of the connection; what forbids the restore is in Plan.Problems.
func (t *Target) Plan(ctx context.Context, c cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	t.tree, t.root = tree, c.Root
	var err error
	if t.Component, err = logical.OpenComponent(ctx, tree); err != nil {
		if _, facts := logical.ReadFacts(ctx, tree); logical.IsLost(facts) && t.o.Loss.Export != "" {
			err = cofre.WithHint(err, cofre.Say("database.export_readable", "what was recorded of the database is lost, and nothing could be compared; all of it comes out as an archive that pg_restore restores: {{.command}}", "command", t.o.Loss.Export))
		}
		return nil, fmt.Errorf("plan the restore of database %s: %w", c.Name, err)
	}
	if t.o.Name == "" {
		t.o.Name = t.Facts.Database.Name
	}
	if t.sel, err = t.Choose(t.o.Filter); err != nil {
		return nil, fmt.Errorf("plan the restore of database %s: %w", t.o.Name, err)
	}
	now := t.o.Now()
	t.staged, t.kept = stagedName(t.o.Name, "restore", now), stagedName(t.o.Name, "replaced", now)
	p := cofre.NewPlan(cofre.Say("database.title", "restore database {{.database}} of {{.source}}, captured {{.taken}}, to {{.name}} on {{.server}}",
		"database", t.Facts.Database.Name, "source", c.Name, "taken", t.Facts.TakenAt, "name", t.o.Name, "server", t.o.Server))
	for _, n := range t.sel.Notes {
		p.Note(n)
	}
	if t.sel.Sections[pgarchive.SectionData] || t.sel.Sections[pgarchive.SectionPostData] {
		t.NoteFunctions(p, t.o.Safe)
	}
	if s := t.Facts.Summary; len(s.Relies) > 0 && t.o.SearchPath == "" {
		p.Note(cofre.SayN("database.relies", s.RelyCount, "{{.first}}; if the restore fails on that: {{.way}}", "{{.first}}, and so do others, {{.n}} in all; if the restore fails on that: {{.way}}", "first", s.Relies[0].Said(), "way", s.WayOut()))
	}
	if err := t.preflight(ctx, p); err != nil {
		return nil, postgres.Explain(fmt.Errorf("plan the restore of database %s: %w", t.o.Name, err))
	}
	t.steps(p)
	return p, nil
}

// Promise says that the copy is a database of its own, and under which name the database that it replaces is kept. Roles that are
// made stay after Discard: they are the server's, and may own other things by then.
func (t *Target) Promise() cofre.Promise {
	p := cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
	if t.server.targetExists {
		p.Replaced, p.KeptAt = cofre.ReplacedKept, cofre.Say("restore.database.kept", "database {{.name}} renamed to {{.kept}}", "name", t.o.Name, "kept", t.kept)
	}
	return p
}

// stagedName is base_verb_stamp, with base cut so that the server does not cut the stamp off.
func stagedName(base, verb string, at time.Time) string {
	return logical.CutName(base, "_"+verb+"_"+stamp.New(at))
}

func (t *Target) steps(p *cofre.Plan) {
	create := cofre.Say("step.create", "create")
	for _, r := range globals.Roles(t.roles) {
		p.Do(create, cofre.Say("object.role", "role {{.name}}", "name", r), cofre.Say("database.step_role", "as the globals of the point have it"))
	}
	staged := database(t.staged)
	if t.adopted {
		p.Do(cofre.Say("step.take", "take"), staged, cofre.Say("database.step_adopted", "which an earlier restore of this component made, and kept"))
		t.lastSteps(p)
		return
	}
	p.Do(create, staged, t.madeFrom())
	if n := len(t.sel.Entries(pgarchive.SectionPreData)); n > 0 {
		p.Do(cofre.Say("step.restore", "restore"), cofre.SayN("database.step_definitions", n, "1 definition", "{{.n}} definitions"), cofre.Verbatim("pre-data"))
	}
	tables, rows, bytes := 0, int64(0), int64(len(t.TOCRaw))
	facts := t.TableFacts()
	for _, e := range t.sel.Entries(pgarchive.SectionData) {
		if f := facts[e.DumpID]; f != nil && e.Desc == "TABLE DATA" {
			tables, rows, bytes = tables+1, rows+f.Rows, bytes+f.Bytes
		}
		if e.Desc == "BLOBS" {
			bytes += t.Facts.LargeObjects.Bytes
		}
	}
	p.Bytes = bytes
	if t.sel.Sections[pgarchive.SectionData] {
		p.Do(cofre.Say("step.load", "load"), cofre.SayN("database.step_rows", tables, "{{.rows}} of 1 table", "{{.rows}} of {{.n}} tables", "rows", logical.Rows(rows)),
			cofre.Say("database.step_jobs", "{{.jobs}} at once", "jobs", t.o.Jobs))
	}
	if t.o.Safe && t.sel.Sections[pgarchive.SectionData] {
		p.Do(cofre.Say("step.check", "check"), staged, cofre.Say("database.step_loaded", "every row, as it was loaded"))
		p.Do(cofre.Say("step.create", "create"), cofre.Say("database.step_checks", "the CHECK constraints of tables and domains"), cofre.Say("database.step_put_off", "put off until then"))
	}
	if n := len(t.sel.Entries(pgarchive.SectionPostData)); n > 0 {
		p.Do(cofre.Say("step.restore", "restore"), cofre.SayN("database.step_post", n, "1 index, constraint, trigger or policy", "{{.n}} indexes, constraints, triggers and policies"), cofre.Verbatim("post-data"))
	}
	p.Do(cofre.Say("step.analyze", "analyze"), staged, cofre.Message{})
	t.lastSteps(p)
	p.Note(cofre.Say("database.interrupted", "if the restore is interrupted, this removes what it left: {{.sql}}", "sql", t.dropCommand(t.staged)))
}

// madeFrom says what the staged database begins as.
func (t *Target) madeFrom() cofre.Message {
	d := t.Facts.Database
	switch {
	case t.fromTemplate():
		return cofre.Say("database.step_copy", "as a copy of {{.name}}", "name", t.o.Name)
	case t.o.NoOwner:
		return cofre.Say("database.step_template", "from template0, encoding {{.encoding}}, {{.provider}} {{.collation}}", "encoding", d.Encoding, "provider", d.LocaleProvider, "collation", d.Collate)
	}
	return cofre.Say("database.step_template_owner", "from template0, encoding {{.encoding}}, {{.provider}} {{.collation}}, owner {{.owner}}",
		"encoding", d.Encoding, "provider", d.LocaleProvider, "collation", d.Collate, "owner", d.Owner)
}

func database(name string) cofre.Message {
	return cofre.Say("object.database", "database {{.name}}", "name", name)
}

func (t *Target) lastSteps(p *cofre.Plan) {
	p.Do(cofre.Say("step.check", "check"), database(t.staged), cofre.Say("database.step_check", "{{.level}}, sequences, policies, grants, extensions, indexes", "level", t.o.Check.said()))
	rename := cofre.Say("step.rename", "rename")
	to := func(name string) cofre.Message { return cofre.Say("step.to", "to {{.name}}", "name", name) }
	if t.server.targetExists {
		p.Do(rename, database(t.o.Name), to(t.kept))
	}
	p.Do(rename, database(t.staged), to(t.o.Name))
}

// fromTemplate reports whether the restore begins with a copy of the database that is there, because the
// definitions that it needs are not part of it.
func (t *Target) fromTemplate() bool { return !t.sel.Sections[pgarchive.SectionPreData] }

// Stage makes the staged database and everything in it, or takes one that an earlier restore kept. A statement that
// fails, of a kind that the rest does not stand on, does not end it: the check names it.
//
// What the repository has lost of the rows does not end it either. Errors: *cofre.ToolError and *pgconn.PgError from
// PostgreSQL; those of the repository, if it cannot be reached. After an error Discard removes the staged database.
func (t *Target) Stage(ctx context.Context, obs cofre.Observer) error {
	if t.sel == nil {
		panic("logical: internal error: Stage before Plan")
	}
	err := t.stage(ctx, obs)
	if err != nil {
		return postgres.Explain(fmt.Errorf("restore database %s: %w", t.o.Name, err))
	}
	return nil
}

func (t *Target) stage(ctx context.Context, obs cofre.Observer) (err error) {
	if t.adopted {
		return t.dressDatabase(ctx)
	}
	if err := t.create(ctx, obs); err != nil {
		return err
	}
	if err := t.setMeaning(ctx); err != nil {
		return err
	}
	tool, err := t.openTool(obs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tool.close()) }()

	if entries := t.sel.Entries(pgarchive.SectionPreData); len(entries) > 0 {
		if err := t.dropUnwantedPublic(ctx); err != nil {
			return err
		}
		if err := tool.restore(ctx, "pre-data", entries, 1); err != nil {
			return err
		}
		if t.o.Defined != nil {
			if err := t.o.Defined(ctx, t.o.Server.With(t.staged)); err != nil {
				return err
			}
		}
	}
	if t.sel.Sections[pgarchive.SectionData] {
		if err := t.putOff(ctx, obs); err != nil {
			return err
		}
		if err := t.load(ctx, obs, tool); err != nil {
			return err
		}
		if err := t.openKeys(ctx); err != nil {
			return err
		}
		if err := t.makeChecks(ctx, obs); err != nil {
			return err
		}
		if err := tool.writeTOC(); err != nil { // what is lost may have come to light
			return err
		}
	}
	if entries := t.sel.Entries(pgarchive.SectionPostData); len(entries) > 0 {
		if err := tool.restore(ctx, "post-data", entries, t.o.Jobs); err != nil {
			return err
		}
	}
	if err := analyze(ctx, t.o.Server.With(t.staged), t.o.Jobs, obs); err != nil {
		return err
	}
	return t.dressDatabase(ctx)
}
