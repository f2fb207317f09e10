package restoring

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/internal/stamp"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/settings"
)

// marker is the content of markerFile.
type marker struct {
	Root    cofre.ObjectID `json:"root"`
	BeganAt time.Time      `json:"began_at"`
}

// controlStaged is where pg_control waits until the restore is published. Without pg_control no server starts.
const controlStaged = pgdata.ControlFile + ".cofre"

// plan is what is known of a component and of the place that it goes to, and what follows from both. Nothing in it writes.
type plan struct {
	o Options

	now     time.Time
	stamp   string // of the names of what is put aside
	root    cofre.ObjectID
	tree    cofre.Tree
	facts   *physical.Facts
	control *pgdata.Control
	raw     []byte // pg_control

	dirs   []cofre.Entry
	links  []cofre.Entry
	files  []file
	bytes  int64
	spaces map[uint32]string // OID to directory
	made   []madeSpace       // that the WAL will create
	notes  []cofre.Message   // what the component's own WAL says of the state that it ends in
	torn   []cofre.Message   // see recovery.Recovery.Torn
	owner  *owner

	built   string // where the data directory is built; o.Dir unless moved aside
	existed bool   // o.Dir is there, empty
	inPlace bool   // files may be there already: Delta, or going on
	promise cofre.Promise
	lost    *losses
	walLost bool // that the component carries
}

// file is one of the component's, with what was recorded of it.
type file struct {
	entry cofre.Entry
	facts *physical.FileFacts
}

// newPlan looks at the component and at the directory. What forbids the restore is in out.
func newPlan(ctx context.Context, o Options, c cofre.Component, tree cofre.Tree) (p *plan, out *cofre.Plan, err error) {
	p = &plan{o: o, now: time.Now().UTC(), root: c.Root, tree: tree, lost: &losses{}}
	p.stamp = stamp.New(p.now)
	if c.Kind != cofre.KindCluster {
		return p, nil, fmt.Errorf("a component of kind %s is not a cluster: %w", c.Kind, cofre.ErrPreflight)
	}
	if err := p.read(ctx, c); err != nil {
		return p, nil, err
	}
	if p.o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return p, nil, err
	}
	p.built = p.o.Dir
	s := p.facts.Summary
	out = cofre.NewPlan(cofre.Say("cluster.title", "restore cluster {{.system}} of PostgreSQL {{.major}} to {{.dir}}", "system", s.SystemID, "major", s.Major, "dir", p.o.Dir))
	out.Bytes = p.bytes
	p.planLost(c, out)
	if err := p.planDirectory(out); err != nil {
		return p, nil, err
	}
	if err := p.findMade(ctx); err != nil {
		return p, nil, err
	}
	p.planSpaces(out)
	p.planSpace(out)
	if p.o.RestoreCommand == "" && !s.WALIncluded {
		out.Refuse(cofre.Say("cluster.no_restore_command", "the component does not carry the WAL that makes it consistent, and no restore command was given"),
			cofre.Say("cluster.give_restore_command", "give the command that fetches WAL, such as: cofre wal fetch %f %p"))
	}
	if p.o.RestoreCommand == "" && p.walLost {
		l := p.o.Loss
		l.Command = ""
		out.Refuse(cofre.Say("cluster.lost_wal", "the repository has lost the WAL that makes the base backup consistent, and no archive has it: no server starts on it"), l.Hint())
	}
	if p.owner, err = p.findOwner(); err != nil {
		out.Refuse(cofre.SayError(err), cofre.Say("cluster.owner", "name an existing user with --owner"))
	}
	p.planLinks(out)
	p.planGiven(out)
	p.promise = p.promises()
	p.describe(out)
	p.planMadeSpaces(out)
	return p, out, p.noteConfiguration(ctx, out)
}

// promises decides it once, by what Plan has found: Publish changes what there is.
func (p *plan) promises() cofre.Promise {
	switch {
	case p.inPlace && p.o.Delta:
		return cofre.Promise{Staging: cofre.StagedInPlace, Replaced: cofre.ReplacedLost}
	case p.built != p.o.Dir:
		return cofre.Promise{
			Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true,
			KeptAt: cofre.Say("restore.cluster.kept", "directory {{.dir}} renamed to {{.kept}}, and its tablespaces likewise", "dir", p.o.Dir, "kept", p.aside(p.o.Dir)),
		}
	}
	return cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
}

// planLost refuses a component that is known to be damaged, unless what is lost is to be left out: a cluster without one of its files
// starts, and is wrong.
func (p *plan) planLost(c cofre.Component, out *cofre.Plan) {
	l := p.o.Loss
	if len(l.Known) == 0 {
		return
	}
	const shown = 5
	names := cofre.Verbatim(strings.Join(l.Known[:min(shown, len(l.Known))], ", "))
	if more := len(l.Known) - shown; more > 0 {
		names = cofre.SayN("list.and_more", more, "{{.names}} and 1 more", "{{.names}} and {{.n}} more", "names", names)
	}
	what := cofre.Say("cluster.lost", "the repository has lost files of the base backup of {{.at}}: {{.files}}", "at", c.StartedAt, "files", names)
	if l.Without {
		out.Note(what)
		out.Note(cofre.Say("cluster.lost_pages", "pages that are lost are empty, until WAL brings back those that it holds whole; what comes of it is no moment of the original: take out of it what can be read"))
		return
	}
	out.Refuse(what, l.Hint())
}

// Hint is the way on without what is lost, the best one first.
func (l LossOptions) Hint() cofre.Message {
	if l.Instead != "" {
		return cofre.Say("cluster.lost_instead", "from the base backup that is whole and leads there: {{.command}}", "command", l.Instead)
	}
	hint := cofre.Say("cluster.lost_nowhere", "no other base backup is known to be whole and to lead there")
	if l.Dump != "" {
		hint = cofre.Series(hint, cofre.Say("cluster.lost_dump", "the databases, from the newest dump that is whole: {{.command}}", "command", l.Dump))
	}
	if l.Command != "" {
		hint = cofre.Series(hint, cofre.Say("cluster.lost_without", "all that can be read of the base backup that has lost least, with what is lost named: {{.command}}", "command", l.Command))
	}
	return hint
}

// noteConfiguration says where the configuration is that the restored cluster will be started with, if that needs
// a person's attention.
func (p *plan) noteConfiguration(ctx context.Context, out *cofre.Plan) error {
	conf := path.Join(physical.DataDir, "postgresql.conf")
	switch _, err := p.tree.Stat(ctx, conf); {
	case errors.Is(err, cofre.ErrNotFound):
		at := cofre.Verbatim(p.facts.Settings["config_file"])
		if at.IsZero() {
			at = cofre.Say("cluster.where_unknown", "it is not known where")
		}
		out.Note(cofre.Say("cluster.no_configuration", "the cluster kept its configuration outside the data directory, and this backup does not hold it: {{.path}}; restore it from a config component", "path", at))
		return nil
	case err != nil:
		return err
	}
	if came := p.facts.Configuration; len(came) > 0 {
		out.Note(cofre.Say("cluster.configuration_inside", "{{.files}}: what lay outside of the data directory, or was named there, is restored into it; the original's is {{.path}}", "files", strings.Join(came, ", "), "path", p.facts.Settings["config_file"]))
	}
	b, err := physical.ReadAll(ctx, p.tree, conf)
	if p.o.Loss.Without && isLost(err) {
		return nil // named when it is not brought
	}
	if err == nil && datadir.NamesDataDirectory(b) {
		out.Note(cofre.Say("cluster.names_directory", "postgresql.conf names a data_directory: start the server as it is printed at the end, or remove that line: else the server of that directory starts instead"))
	}
	return err
}

// read loads what the component consists of.
func (p *plan) read(ctx context.Context, c cofre.Component) (err error) {
	if err = p.readFacts(ctx, c); err != nil {
		return err
	}
	facts := make(map[string]*physical.FileFacts, len(p.facts.Files))
	for i := range p.facts.Files {
		facts[p.facts.Files[i].Path] = &p.facts.Files[i]
	}
	p.dirs, p.links, p.files, p.bytes = nil, nil, nil, 0
	control := path.Join(physical.DataDir, pgdata.ControlFile)
	var walk func(dir string) error
	walk = func(dir string) error {
		for e, err := range p.tree.List(ctx, dir) {
			if err != nil {
				return p.leave(dir, fmt.Errorf("list %s of the component: %w", dir, err))
			}
			switch {
			case e.IsDir():
				p.dirs = append(p.dirs, e)
				if err := walk(e.Path); err != nil {
					return err
				}
			case e.IsLink():
				p.links = append(p.links, e)
			default:
				f := facts[e.Path]
				if p.lost.gone {
					f = &physical.FileFacts{Path: e.Path, Size: e.Size}
				}
				if f == nil || f.Size != e.Size {
					return fmt.Errorf("%s of the component is not the file that its facts describe: %w", e.Path, cofre.ErrCorrupt)
				}
				delete(facts, e.Path)
				p.bytes += e.Size
				if e.Path != control {
					p.files = append(p.files, file{entry: e, facts: f})
				}
			}
		}
		return nil
	}
	root, err := p.tree.Stat(ctx, physical.DataDir)
	if err != nil {
		return fmt.Errorf("open the data directory of the component: %w", err)
	}
	p.dirs = append(p.dirs, root)
	for _, dir := range []string{physical.DataDir, physical.TablespacesDir} {
		if _, err := p.tree.Stat(ctx, dir); errors.Is(err, cofre.ErrNotFound) && dir == physical.TablespacesDir {
			continue
		}
		if err := walk(dir); err != nil {
			return err
		}
	}
	for _, missing := range slices.Sorted(maps.Keys(facts)) {
		if err := p.leave(missing, fmt.Errorf("%s of the component is missing: %w", missing, cofre.ErrCorrupt)); err != nil {
			return err
		}
	}
	return p.readControl(ctx)
}

// planDirectory decides what is done with the directory that is there.
func (p *plan) planDirectory(out *cofre.Plan) error {
	dir := p.o.Dir
	if p.o.Delta && p.o.MoveAside {
		out.Refuse(cofre.Say("cluster.delta_and_aside", "the directory cannot be both rewritten and moved aside"), cofre.Say("cluster.choose_one", "choose one of --delta and --move-aside"))
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		out.Refuse(cofre.Say("cluster.not_directory", "{{.path}} is not a directory", "path", dir), cofre.Say("cluster.name_empty", "name an empty directory, or one that does not exist"))
		return nil
	}
	p.existed = true
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(names) == 0 || len(names) == 1 && names[0].Name() == "lost+found" {
		return nil
	}
	if pid := datadir.LivePostmaster(dir); pid != 0 {
		out.Refuse(cofre.Say("cluster.server_runs", "a server, process {{.pid}}, runs on {{.dir}}", "pid", pid, "dir", dir), cofre.Say("adopt.stop_first", "stop it first: {{.command}}", "command", postgres.Ctl("stop", dir)))
	}
	if m, ok := readMarker(dir); ok && m.Root == p.root {
		p.inPlace = true
		return nil
	}
	switch {
	case p.o.Delta:
		p.inPlace = true
		p.planDelta(dir, out)
	case p.o.MoveAside:
		p.built = dir + ".cofre-restore"
		p.existed = false
		if m, ok := readMarker(p.built); ok && m.Root == p.root {
			p.inPlace = true
		} else if _, err := os.Lstat(p.built); !errors.Is(err, fs.ErrNotExist) {
			out.Refuse(cofre.Say("cluster.left", "{{.dir}} is left of another restore", "dir", p.built), cofre.Say("cluster.remove_left", "remove it: rm -r {{.dir}}", "dir", shell.Quote(p.built)))
		}
		if across.Mounted(dir) {
			out.Refuse(cofre.Say("cluster.mount_point", "{{.dir}} is a mount point and cannot be renamed", "dir", dir), cofre.Say("cluster.below_mount", "restore to a directory below it, or with --delta"))
		}
	default:
		out.Refuse(cofre.Say("cluster.not_empty", "{{.dir}} is not empty", "dir", dir),
			cofre.Say("cluster.empty_or", "name an empty directory, or say what is to become of this one: --delta rewrites it in place, --move-aside keeps it under another name"))
	}
	return nil
}

// planDelta refuses to overwrite what is not this cluster.
func (p *plan) planDelta(dir string, out *cofre.Plan) {
	if _, ok := readMarker(dir); ok {
		return // of another component of a cluster that an earlier delta was allowed to overwrite
	}
	b, err := datadir.Read(filepath.Join(dir, pgdata.ControlFile))
	if err != nil {
		out.Refuse(cofre.Say("cluster.no_control", "{{.dir}} has no readable pg_control, so it is not known to be a data directory", "dir", dir), cofre.Say("cluster.name_cluster", "name the data directory of the cluster"))
		return
	}
	c, err := pgdata.ParseControl(b)
	elsewhere := cofre.Say("cluster.to_empty", "restore to an empty directory")
	switch {
	case err != nil:
		out.Refuse(cofre.Say("cluster.bad_control", "{{.dir}}: {{.error}}", "dir", dir, "error", err), elsewhere)
	case c.SystemID != p.facts.SystemID:
		out.Refuse(cofre.Say("cluster.other_cluster", "{{.dir}} holds cluster {{.found}}, not {{.wanted}}", "dir", dir, "found", c.SystemID, "wanted", p.facts.SystemID), elsewhere)
	}
}

// planSpaces decides where the tablespaces go.
func (p *plan) planSpaces(out *cofre.Plan) {
	p.spaces = map[uint32]string{}
	taken := map[string]uint32{}
	known := map[string]bool{}
	for _, s := range p.facts.Tablespaces {
		oid := strconv.FormatUint(uint64(s.OID), 10)
		to, ok := p.o.Tablespaces[oid]
		if !ok {
			to, ok = p.o.Tablespaces[s.Path]
		}
		if !ok {
			to = s.Path
		}
		known[oid], known[s.Path] = true, true
		if !filepath.IsAbs(to) {
			out.Refuse(notAbsolute(to, s.OID), cofre.Say("cluster.absolute", "name it by its absolute path: --tablespace {{.oid}}=/path", "oid", s.OID))
			continue
		}
		to = filepath.Clean(to)
		if other, ok := taken[to]; ok {
			out.Refuse(cofre.Say("cluster.shared_space", "tablespaces {{.one}} and {{.other}} would share {{.dir}}", "one", other, "other", s.OID, "dir", to), cofre.Say("cluster.space_each", "name one directory for each: --tablespace {{.oid}}=/path", "oid", s.OID))
		}
		taken[to] = s.OID
		p.spaces[s.OID] = to
		// A delta and a directory moved aside bring their own tablespaces along, those that they link to.
		if link, err := os.Readlink(filepath.Join(p.o.Dir, "pg_tblspc", oid)); err == nil && filepath.Clean(link) == to && (p.inPlace || p.o.MoveAside) {
			continue
		}
		for _, version := range p.versions(s.OID) {
			at := filepath.Join(to, version)
			if names, err := os.ReadDir(at); len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
				out.Refuse(cofre.Say("cluster.space_full", "{{.dir}} of tablespace {{.oid}} is not empty", "dir", at, "oid", s.OID), cofre.Say("cluster.other_space", "name another directory: --tablespace {{.oid}}=/path", "oid", s.OID))
			}
		}
	}
	for _, m := range p.made {
		known[strconv.FormatUint(uint64(m.OID), 10)], known[m.Path] = true, true
	}
	for name := range p.o.Tablespaces {
		if !known[name] {
			out.Refuse(cofre.Say("cluster.no_space", "the cluster has no tablespace {{.name}}", "name", strconv.Quote(name)), cofre.Say("cluster.space_names", "--tablespace takes the OID or the old path of a tablespace: cofre show names them"))
		}
	}
}

// versions are the directories of a tablespace: PG_15_202209061.
func (p *plan) versions(oid uint32) []string {
	parent := path.Join(physical.TablespacesDir, strconv.FormatUint(uint64(oid), 10))
	var names []string
	for _, d := range p.dirs {
		if path.Dir(d.Path) == parent {
			names = append(names, path.Base(d.Path))
		}
	}
	return names
}

// planSpace compares what will be written with what is free, for each file system.
func (p *plan) planSpace(out *cofre.Plan) {
	need := map[uint64]int64{}
	free := map[uint64]int64{}
	where := map[uint64]string{}
	count := func(dir string, bytes int64) {
		n, device, err := datadir.Free(dir)
		if err != nil {
			out.Refuse(cofre.SayError(err), cofre.Message{})
			return
		}
		need[device], free[device], where[device] = need[device]+bytes, n, dir
	}
	per := map[string]int64{}
	for _, f := range p.files {
		n := f.entry.Size
		if p.inPlace {
			if info, err := os.Stat(p.path(f.entry.Path)); err == nil {
				n = max(0, n-info.Size())
			}
		}
		per[p.base(f.entry.Path)] += n
	}
	for dir, n := range per {
		count(dir, n)
	}
	for device, n := range need {
		if n > free[device] {
			out.Refuse(cofre.Say("cluster.disk_full", "{{.dir}} needs {{.more}} more than the {{.free}} that are free", "dir", where[device], "more", words.Size(n-free[device]), "free", words.Size(free[device])), cofre.Say("cluster.free_disk", "free some space, or restore elsewhere"))
		}
	}
}

// base is the directory on whose file system a path of the component comes to lie.
func (p *plan) base(in string) string {
	if rest, ok := strings.CutPrefix(in, physical.TablespacesDir+"/"); ok {
		oid, _, _ := strings.Cut(rest, "/")
		if n, err := strconv.ParseUint(oid, 10, 32); err == nil && p.spaces[uint32(n)] != "" {
			return p.spaces[uint32(n)]
		}
	}
	return p.built
}

// path is where an entry of the component is staged.
func (p *plan) path(in string) string {
	rest, ok := strings.CutPrefix(in, physical.TablespacesDir+"/")
	if !ok {
		return filepath.Join(p.built, filepath.FromSlash(strings.TrimPrefix(in, physical.DataDir)))
	}
	_, below, _ := strings.Cut(rest, "/")
	version, below, _ := strings.Cut(below, "/")
	if version != "" {
		version = p.version(version)
	}
	return filepath.Join(p.base(in), version, filepath.FromSlash(below))
}

// version is the name under which a tablespace's version directory is staged.
func (p *plan) version(name string) string {
	if p.o.MoveAside && p.built != p.o.Dir {
		return name + ".cofre-restore"
	}
	return name
}

func (p *plan) describe(out *cofre.Plan) {
	s := p.facts.Summary
	built, files := cofre.Verbatim(p.built), len(p.files)
	switch {
	case p.inPlace && p.o.Delta:
		out.Do(cofre.Say("step.rewrite", "rewrite"), built, cofre.SayN("cluster.step_rewrite", files, "blocks that differ, of 1 file; files that are not in the component are deleted", "blocks that differ, of {{.n}} files; files that are not in the component are deleted"))
	case p.inPlace:
		out.Do(cofre.Say("step.go_on", "go on with"), built, cofre.SayN("cluster.step_go_on", files, "blocks that are missing, of 1 file", "blocks that are missing, of {{.n}} files"))
	default:
		out.Do(cofre.Say("step.write", "write"), built, cofre.SayN("cluster.step_files", files, "1 file", "{{.n}} files"))
	}
	for _, space := range s.Tablespaces {
		out.Do(cofre.Say("step.place", "place"), tablespace(space.OID), cofre.Say("cluster.step_in", "in {{.dir}}", "dir", p.spaces[space.OID]))
	}
	r := p.recovery()
	p.describeRecovery(out, r)
	if p.built != p.o.Dir {
		out.Do(cofre.Say("step.move_aside", "move aside"), cofre.Verbatim(p.o.Dir), cofre.Say("step.to", "to {{.name}}", "name", p.aside(p.o.Dir)))
	}
	out.Do(cofre.Say("step.publish", "publish"), cofre.Verbatim(pgdata.ControlFile), cofre.Say("cluster.step_publish", "by rename, when everything else is synced"))
	out.Note(cofre.Say("cluster.auto_conf", "postgresql.auto.conf is kept; the recovery settings are in {{.file}}", "file", datadir.RecoveryFile))
	if !p.o.KeepArchiving {
		for _, n := range settings.DescribeQuarantine(r.Libraries(s)) {
			out.Note(n)
		}
	}
	if len(s.BadPages) > 0 {
		out.Note(cofre.SayN("cluster.pages_damaged", s.BadPageCount, "1 page was damaged when it was captured: block {{.block}} of {{.file}}", "{{.n}} pages were damaged when they were captured, the first is block {{.block}} of {{.file}}", "block", s.BadPages[0].Block, "file", s.BadPages[0].File))
	}
}

// describeRecovery says where the recovery begins and stops, and what is known of the state there.
func (p *plan) describeRecovery(out *cofre.Plan, r settings.Recovery) {
	s, notes := p.facts.Summary, p.notes
	verb := cofre.Say("step.recover", "recover")
	to := cofre.Say("cluster.step_target", "to {{.target}}", "target", r.Target)
	switch {
	case !r.Signals():
		out.Do(verb, cofre.Say("cluster.step_own_end", "to the end of the component's own WAL"), cofre.Say("cluster.step_own_wal", "timeline {{.timeline}}, from {{.from}} to {{.to}}", "timeline", s.Timeline, "from", s.StartLSN, "to", s.StopLSN))
	case r.Plan == nil:
		out.Do(verb, to, cofre.Say("cluster.step_recover", "from timeline {{.timeline}} at {{.from}}, then {{.then}}", "timeline", s.Timeline, "from", s.StartLSN, "then", r.Then()))
		notes = nil
	default:
		out.Do(verb, to, cofre.Say("cluster.step_recover_stop", "from timeline {{.timeline}} at {{.from}}, {{.stop}}, then {{.then}}", "timeline", s.Timeline, "from", s.StartLSN, "stop", describeStop(r.Plan), "then", r.Then()))
		notes = r.Plan.Notes
	}
	for _, n := range notes {
		out.Note(n)
	}
}

func tablespace(oid uint32) cofre.Message {
	return cofre.Say("object.tablespace", "tablespace {{.oid}}", "oid", oid)
}

func notAbsolute(dir string, oid uint32) cofre.Message {
	return cofre.Say("cluster.not_absolute", "directory {{.dir}} of tablespace {{.oid}} is not absolute", "dir", strconv.Quote(dir), "oid", oid)
}

func (p *plan) recovery() settings.Recovery {
	r := settings.Recovery{InvalidPages: !p.lost.none() || p.o.Loss.Without, Target: p.o.Recovery, Plan: p.o.Plan, InPlace: p.inPlaceSpaces(), Action: p.o.Action, RestoreCommand: p.o.RestoreCommand, EndCommand: p.o.EndCommand, KeepArchiving: p.o.KeepArchiving, KeepLibraries: p.o.KeepLibraries}
	if r.Action == "" {
		r.Action = settings.ActionPause
	}
	return r
}

// aside is the name that what stood in the way is given.
func (p *plan) aside(path string) string {
	return path + ".before-" + p.stamp
}

func readMarker(dir string) (marker, bool) {
	var m marker
	b, err := datadir.Read(filepath.Join(dir, datadir.MarkerFile))
	if err != nil || json.Unmarshal(b, &m) != nil {
		return marker{}, false
	}
	return m, true
}

// next are the commands for a cluster that was published, each at the end of its line; promoted says that it has been
// recovered, and takes writes.
func (p *plan) next(promoted bool) ([]cofre.Next, error) {
	dir := p.o.Dir
	conf, err := inside.ReadFile(filepath.Join(dir, "postgresql.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	start := datadir.StartCommand(postgres.Ctl("start", dir), dir, conf)
	how := cofre.Say("cluster.next_start", "to start it: {{.command}}", "command", start)
	if promoted {
		how = cofre.Say("cluster.next_promoted", "it is recovered, and takes writes; to start it: {{.command}}", "command", start)
	}
	next := []cofre.Next{{Do: cofre.DoStart, Command: start, Said: how}}
	if r := p.recovery(); !promoted && r.Signals() && r.Then() == string(settings.ActionPause) {
		// The lock of a DROP TABLE is replayed before its commit, and others may have committed in between.
		promote := p.psql() + " -c 'SELECT pg_promote()' template1"
		next = append(next, cofre.Next{
			Do: cofre.DoPromote, Command: promote,
			Said: cofre.Say("cluster.next_promote", "it pauses at the target, read-only, and tables that a transaction which was open there had locked cannot be read until it is promoted; to let it take writes: {{.command}}", "command", promote),
		})
	}
	if !p.lost.none() {
		look := p.psql()
		return append(next, cofre.Next{Do: cofre.DoLook, Command: look, Said: cofre.Say("cluster.next_take", "to look at what can be read, and take it out, database by database, with pg_dump -h {{.dir}}: {{.command}}; indexes of what is lost: REINDEX. It is no moment of the original, and nothing to go on with", "dir", shell.Quote(dir), "command", look)}), nil
	}
	if p.o.KeepArchiving {
		return append(next, cofre.Next{Do: cofre.DoBackUp, Command: "cofre backup cluster", Said: cofre.Say("cluster.next_archives", "it archives; to take a base backup at once: cofre backup cluster")}), nil
	}
	return append(next,
		cofre.Next{Do: cofre.DoLook, Command: p.psql(), Said: cofre.Say("cluster.next_look", "to look, with nobody else there: {{.command}}", "command", p.psql())},
		cofre.Next{Do: cofre.DoAdopt, Command: "cofre adopt " + shell.Quote(dir), Said: cofre.Say("cluster.next_adopt", "when it is to be the original: cofre adopt {{.dir}}", "dir", shell.Quote(dir))}), nil
}

// psql is how the cluster is reached: a copy in quarantine through the socket in its directory.
func (p *plan) psql() string {
	s, command := p.facts.Summary, "psql"
	if !p.o.KeepArchiving {
		command += " -h " + shell.Quote(p.o.Dir)
	}
	return fmt.Sprintf("%s -p %s -U %s", command, shell.Quote(cmp.Or(s.Settings["port"], "5432")), shell.Quote(cmp.Or(s.Superuser, "postgres")))
}
