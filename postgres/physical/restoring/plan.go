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

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/internal/stamp"
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
}

// file is one of the component's, with what was recorded of it.
type file struct {
	entry cofre.Entry
	facts *physical.FileFacts
}

// newPlan looks at the component and at the directory. What forbids the restore is in out.
func newPlan(ctx context.Context, o Options, c cofre.Component, tree cofre.Tree) (p *plan, out *cofre.Plan, err error) {
	p = &plan{o: o, now: time.Now().UTC(), root: c.Root, tree: tree}
	p.stamp = stamp.New(p.now)
	if c.Kind != cofre.KindCluster {
		return p, nil, fmt.Errorf("a component of kind %s is not a cluster: %w", c.Kind, cofre.ErrPreflight)
	}
	if err := p.read(ctx); err != nil {
		return p, nil, err
	}
	if p.o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return p, nil, err
	}
	p.built = p.o.Dir
	s := p.facts.Summary
	out = &cofre.Plan{Title: fmt.Sprintf("restore cluster %s of PostgreSQL %d to %s", s.SystemID, s.Major, p.o.Dir), Bytes: p.bytes}
	problem := func(hint, what string, args ...any) {
		out.Problems = append(out.Problems, cofre.Problem{What: fmt.Sprintf(what, args...), Hint: hint})
	}
	p.planLost(c, problem)
	if err := p.planDirectory(problem); err != nil {
		return p, nil, err
	}
	if err := p.findMade(ctx); err != nil {
		return p, nil, err
	}
	p.planSpaces(problem)
	p.planSpace(problem)
	if p.o.RestoreCommand == "" && !s.WALIncluded {
		problem("give the command that fetches WAL, such as: cofre wal fetch %f %p",
			"the component does not carry the WAL that makes it consistent, and no restore command was given")
	}
	if p.owner, err = p.findOwner(); err != nil {
		problem("name an existing user with --owner", "%v", err)
	}
	p.promise = p.promises()
	p.describe(out)
	p.planMadeSpaces(out, problem)
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

// planLost refuses a component that is known to be damaged: a cluster without one of its files starts, and is wrong.
func (p *plan) planLost(c cofre.Component, problem func(hint, what string, args ...any)) {
	if len(p.o.Lost) == 0 {
		return
	}
	const shown = 5
	names := strings.Join(p.o.Lost[:min(shown, len(p.o.Lost))], ", ")
	if more := len(p.o.Lost) - shown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	hint := "no other base backup is known to be whole and to lead there; a dump may hold the databases: cofre list --kind database"
	if p.o.Instead != "" {
		hint = "from the base backup that is whole and leads there: " + p.o.Instead
	}
	problem(hint, "the repository has lost files of the base backup of %s: %s", c.StartedAt.UTC().Format(time.RFC3339), names)
}

// noteConfiguration says where the configuration is that the restored cluster will be started with, where that needs
// a person's attention.
func (p *plan) noteConfiguration(ctx context.Context, out *cofre.Plan) error {
	conf := path.Join(physical.DataDir, "postgresql.conf")
	switch _, err := p.tree.Stat(ctx, conf); {
	case errors.Is(err, cofre.ErrNotFound):
		out.Notes = append(out.Notes, "the cluster kept its configuration outside the data directory, and this backup does not hold it: "+cmp.Or(p.facts.Settings["config_file"], "where is not known")+"; restore it from a config component")
		return nil
	case err != nil:
		return err
	}
	if came := p.facts.Configuration; len(came) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%s: what lay outside of the data directory, or was named there, is restored into it; the original's is %s", strings.Join(came, ", "), p.facts.Settings["config_file"]))
	}
	b, err := physical.ReadAll(ctx, p.tree, conf)
	if err == nil && datadir.NamesDataDirectory(b) {
		out.Notes = append(out.Notes, "postgresql.conf names a data_directory: start it as it is printed at the end, or remove that line: else that directory's server starts instead")
	}
	return err
}

// read loads what the component consists of.
func (p *plan) read(ctx context.Context) (err error) {
	if p.facts, err = physical.ReadFacts(ctx, p.tree); err != nil {
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
				return fmt.Errorf("list %s of the component: %w", dir, err)
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
	if len(facts) > 0 {
		return fmt.Errorf("%s of the component is missing: %w", slices.Sorted(maps.Keys(facts))[0], cofre.ErrCorrupt)
	}
	if p.raw, err = physical.ReadAll(ctx, p.tree, control); err != nil {
		return err
	}
	p.control, err = pgdata.ParseControl(p.raw)
	return err
}

// planDirectory decides what is done with the directory that is there.
func (p *plan) planDirectory(problem func(hint, what string, args ...any)) error {
	dir := p.o.Dir
	if p.o.Delta && p.o.MoveAside {
		problem("choose one", "the directory cannot be both rewritten and moved aside")
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		problem("", "%s is not a directory", dir)
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
		problem(fmt.Sprintf("stop it first: pg_ctl stop -D %s", dir), "a server, process %d, runs on %s", pid, dir)
	}
	if m, ok := readMarker(dir); ok && m.Root == p.root {
		p.inPlace = true
		return nil
	}
	switch {
	case p.o.Delta:
		p.inPlace = true
		p.planDelta(dir, problem)
	case p.o.MoveAside:
		p.built = dir + ".cofre-restore"
		p.existed = false
		if m, ok := readMarker(p.built); ok && m.Root == p.root {
			p.inPlace = true
		} else if _, err := os.Lstat(p.built); !errors.Is(err, fs.ErrNotExist) {
			problem("remove it", "%s is left of another restore", p.built)
		}
		if isMount(dir) {
			problem("restore to a directory below it, or with --delta", "%s is a mount point and cannot be renamed", dir)
		}
	default:
		problem("name an empty directory, or say what shall become of this one: --delta rewrites it in place, --move-aside keeps it under another name",
			"%s is not empty", dir)
	}
	return nil
}

// planDelta refuses to overwrite what is not this cluster.
func (p *plan) planDelta(dir string, problem func(hint, what string, args ...any)) {
	if _, ok := readMarker(dir); ok {
		return // of another component of a cluster that an earlier delta was allowed to overwrite
	}
	b, err := os.ReadFile(filepath.Join(dir, pgdata.ControlFile))
	if err != nil {
		problem("name the data directory of the cluster", "%s has no readable pg_control, so it is not known to be a data directory", dir)
		return
	}
	c, err := pgdata.ParseControl(b)
	switch {
	case err != nil:
		problem("restore to an empty directory", "%s: %v", dir, err)
	case c.SystemID != p.facts.SystemID:
		problem("restore to an empty directory", "%s holds cluster %s, not %s", dir, c.SystemID, p.facts.SystemID)
	}
}

// planSpaces decides where the tablespaces go.
func (p *plan) planSpaces(problem func(hint, what string, args ...any)) {
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
			problem("name it by its absolute path", "directory %q of tablespace %d is not absolute", to, s.OID)
			continue
		}
		to = filepath.Clean(to)
		if other, ok := taken[to]; ok {
			problem("name one directory for each", "tablespaces %d and %d would share %s", other, s.OID, to)
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
				problem(fmt.Sprintf("name another directory: --tablespace %d=/path", s.OID), "%s of tablespace %d is not empty", at, s.OID)
			}
		}
	}
	for _, m := range p.made {
		known[strconv.FormatUint(uint64(m.OID), 10)], known[m.Path] = true, true
	}
	for name := range p.o.Tablespaces {
		if !known[name] {
			problem("", "the cluster has no tablespace %q", name)
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
func (p *plan) planSpace(problem func(hint, what string, args ...any)) {
	need := map[uint64]int64{}
	free := map[uint64]int64{}
	where := map[uint64]string{}
	count := func(dir string, bytes int64) {
		n, device, err := datadir.Free(dir)
		if err != nil {
			problem("", "%v", err)
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
			problem("free some space, or restore elsewhere", "%s needs %d bytes more than the %d that are free", where[device], n-free[device], free[device])
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
	step := func(verb, object, detail string, args ...any) {
		out.Steps = append(out.Steps, cofre.Step{Verb: verb, Object: object, Detail: fmt.Sprintf(detail, args...)})
	}
	switch {
	case p.inPlace && p.o.Delta:
		step("rewrite", p.built, "blocks that differ, of %d files; files that are not in the component are deleted", len(p.files))
	case p.inPlace:
		step("go on with", p.built, "blocks that are missing, of %d files", len(p.files))
	default:
		step("write", p.built, "%d files", len(p.files))
	}
	for _, space := range s.Tablespaces {
		step("place", fmt.Sprintf("tablespace %d", space.OID), "in %s", p.spaces[space.OID])
	}
	r := p.recovery()
	if r.Signals() {
		how := ""
		if r.Plan != nil {
			how = describeStop(r.Plan) + ", "
			for _, n := range r.Plan.Notes {
				out.Note(n)
			}
		}
		step("recover", "to "+r.Target.String(), "from timeline %d at %s, %sthen %s", s.Timeline, s.StartLSN, how, r.Then())
	} else {
		step("recover", "to the end of the component's own WAL", "timeline %d, from %s to %s", s.Timeline, s.StartLSN, s.StopLSN)
		for _, n := range p.notes {
			out.Note(n)
		}
	}
	if p.built != p.o.Dir {
		step("move aside", p.o.Dir, "to %s", p.aside(p.o.Dir))
	}
	step("publish", pgdata.ControlFile, "by rename, when everything else is synced")
	out.Notes = append(out.Notes, "postgresql.auto.conf is kept; the recovery settings are in "+datadir.RecoveryFile)
	if !p.o.KeepArchiving {
		out.Notes = append(out.Notes, settings.DescribeQuarantine(r.Libraries(s))...)
	}
	if len(s.BadPages) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d pages were damaged when they were captured, the first is block %d of %s", s.BadPageCount, s.BadPages[0].Block, s.BadPages[0].File))
	}
}

func (p *plan) recovery() settings.Recovery {
	r := settings.Recovery{Target: p.o.Recovery, Plan: p.o.Plan, InPlace: p.inPlaceSpaces(), Action: p.o.Action, RestoreCommand: p.o.RestoreCommand, EndCommand: p.o.EndCommand, KeepArchiving: p.o.KeepArchiving, KeepLibraries: p.o.KeepLibraries}
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
	b, err := os.ReadFile(filepath.Join(dir, datadir.MarkerFile))
	if err != nil || json.Unmarshal(b, &m) != nil {
		return marker{}, false
	}
	return m, true
}

func isMount(dir string) bool {
	var a, b unix.Stat_t
	if unix.Stat(dir, &a) != nil || unix.Stat(filepath.Dir(dir), &b) != nil {
		return false
	}
	return a.Dev != b.Dev
}

// next are the commands for a cluster that was published, each at the end of its line; promoted says that it has been
// recovered, and takes writes.
func (p *plan) next(promoted bool) ([]string, error) {
	dir := p.o.Dir
	conf, err := os.ReadFile(filepath.Join(dir, "postgresql.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	start := "to start it: "
	if promoted {
		start = "it is recovered, and takes writes; " + start
	}
	next := []string{start + datadir.StartCommand(dir, conf)}
	if r := p.recovery(); !promoted && r.Signals() && r.Then() == string(settings.ActionPause) {
		// The lock of a DROP TABLE is replayed before its commit, and others may have committed in between.
		next = append(next, "it pauses at the target, read-only, and tables that a transaction which was open there had locked cannot be read until it is promoted; to let it take writes: "+
			p.psql()+" -c 'SELECT pg_promote()' template1")
	}
	if p.o.KeepArchiving {
		return append(next, "it archives; to take a base backup at once: cofre backup cluster"), nil
	}
	return append(next, "to look, with nobody else there: "+p.psql(), "when it is to be the original: cofre adopt "+shell.Quote(dir)), nil
}

// psql is how the cluster is reached: a copy in quarantine through the socket in its directory.
func (p *plan) psql() string {
	s, command := p.facts.Summary, "psql"
	if !p.o.KeepArchiving {
		command += " -h " + shell.Quote(p.o.Dir)
	}
	return fmt.Sprintf("%s -p %s -U %s", command, shell.Quote(cmp.Or(s.Settings["port"], "5432")), shell.Quote(cmp.Or(s.Superuser, "postgres")))
}
