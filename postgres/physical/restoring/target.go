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
	"github.com/trustlayer/cofre/internal/stamp"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// marker is the content of markerFile.
type marker struct {
	Root    cofre.ObjectID `json:"root"`
	BeganAt time.Time      `json:"began_at"`
}

// controlStaged is where pg_control waits until the restore is published. Without pg_control no server starts.
const controlStaged = pgdata.ControlFile + ".cofre"

// Options say where a cluster is restored to and how it recovers.
type Options struct {
	Dir string // the data directory
	// Tablespaces maps the OID, or the directory that the server named, to the directory to use instead.
	Tablespaces map[string]string

	// At most one of these, for a directory that is not empty. Delta rewrites in place what differs from the
	// component and deletes what is not in it. MoveAside restores beside it and then gives it another name.
	Delta     bool
	MoveAside bool

	Jobs  int    // pieces restored at once; below 1 means 1
	Owner string // user to own the files, where this process is root; empty finds out

	Recovery cofre.RecoveryTarget
	// Plan is how Recovery is reached, from this component; nil leaves it to the server, to the end of the component's own
	// WAL.
	Plan           *recovery.Recovery
	Action         settings.Action
	RestoreCommand string // of postgresql.conf; empty where the component's own WAL is enough
	EndCommand     string // recovery_end_command of postgresql.conf: run once, when the recovery ends in a promotion
	KeepArchiving  bool   // it takes the place of the original at once, archiving and all. Only where that is gone for good
	// KeepLibraries are libraries of shared_preload_libraries to load although they act, or are not known.
	KeepLibraries []string

	// VerifyBackup has pg_verifybackup of the component's major version, where it is installed, read everything
	// back once more.
	VerifyBackup bool
	// Lost names the files of the component that the repository is known to have lost: nothing is begun then. Instead is the
	// command that restores from a base backup that is whole, for the hint; empty if there is none.
	Lost    []string
	Instead string
	// KeepPartial leaves what was staged when a restore fails, so that the next one goes on with it.
	KeepPartial bool
}

// Target restores a cluster component. It is a cofre.Target.
//
// Durability: everything is synced before Publish, which renames pg_control into place as its last act. A crash
// at any moment leaves a directory that no server starts on, or the whole cluster.
type Target struct {
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
	files  []*staged
	bytes  int64
	spaces map[uint32]string // OID to directory
	made   []madeSpace       // that the WAL will create
	notes  []string          // what the component's own WAL says of the state that it ends in
	torn   []string          // see recovery.Recovery.Torn
	owner  *owner

	stage   string       // where the data directory is built; o.Dir unless moved aside
	existed bool         // o.Dir was there before, empty
	inPlace bool         // files may be there already: Delta, or going on
	touched bool         // Stage has begun
	unlock  func() error // of stage, while it is touched
	kept    []string
	promise cofre.Promise
	result  stageResult
}

var _ cofre.Target = (*Target)(nil)

// NewTarget makes a target. Nothing is looked at before Plan.
func NewTarget(o Options) *Target {
	o.Jobs = max(o.Jobs, 1)
	return &Target{o: o}
}

// Plan looks at the component and at the directory.
//
// Errors: those of reading the component and the directory; what forbids the restore is in the plan.
func (t *Target) Plan(ctx context.Context, c cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	t.now, t.root, t.tree = time.Now().UTC(), c.Root, tree
	t.stamp = stamp.New(t.now)
	if c.Kind != cofre.KindCluster {
		return nil, fmt.Errorf("a component of kind %s is not a cluster: %w", c.Kind, cofre.ErrPreflight)
	}
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(t.o.Dir)
	if err != nil {
		return nil, err
	}
	t.o.Dir, t.stage = dir, dir
	s := t.facts.Summary
	p := &cofre.Plan{Title: fmt.Sprintf("restore cluster %s of PostgreSQL %d to %s", s.SystemID, s.Major, dir), Bytes: t.bytes}
	problem := func(hint, what string, args ...any) {
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf(what, args...), Hint: hint})
	}
	t.planLost(c, problem)
	if err := t.planDirectory(problem); err != nil {
		return nil, err
	}
	if err := t.findMade(ctx); err != nil {
		return nil, err
	}
	t.planSpaces(problem)
	t.planSpace(problem)
	if t.o.RestoreCommand == "" && !s.WALIncluded {
		problem("give the command that fetches WAL, such as: cofre wal fetch %f %p",
			"the component does not carry the WAL that makes it consistent, and no restore command was given")
	}
	if t.owner, err = t.findOwner(); err != nil {
		problem("name an existing user with --owner", "%v", err)
	}
	t.promise = t.promises()
	t.describe(p)
	t.planMadeSpaces(p, problem)
	return p, t.noteConfiguration(ctx, p)
}

// Promise says whether the cluster is built in a place of its own. A delta overwrites the older copy as it goes, which is what makes
// it fast; nothing of that copy is kept.
func (t *Target) Promise() cofre.Promise { return t.promise }

// promises decides it once, by what Plan has found: Publish changes what there is.
func (t *Target) promises() cofre.Promise {
	switch {
	case t.inPlace && t.o.Delta:
		return cofre.Promise{Staging: cofre.StagedInPlace, Replaced: cofre.ReplacedLost}
	case t.stage != t.o.Dir:
		return cofre.Promise{
			Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true,
			KeptAt: cofre.Say("restore.cluster.kept", "directory {{.dir}} renamed to {{.kept}}, and its tablespaces likewise", "dir", t.o.Dir, "kept", t.aside(t.o.Dir)),
		}
	}
	return cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
}

// planLost refuses a component that is known to be damaged: a cluster without one of its files starts, and is wrong.
func (t *Target) planLost(c cofre.Component, problem func(hint, what string, args ...any)) {
	if len(t.o.Lost) == 0 {
		return
	}
	const shown = 5
	names := strings.Join(t.o.Lost[:min(shown, len(t.o.Lost))], ", ")
	if more := len(t.o.Lost) - shown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	hint := "no other base backup is known to be whole and to lead there; a dump may hold the databases: cofre list --kind database"
	if t.o.Instead != "" {
		hint = "from the base backup that is whole and leads there: " + t.o.Instead
	}
	problem(hint, "the repository has lost files of the base backup of %s: %s", c.StartedAt.UTC().Format(time.RFC3339), names)
}

// noteConfiguration says where the configuration is that the restored cluster will be started with, where that needs
// a person's attention.
func (t *Target) noteConfiguration(ctx context.Context, p *cofre.Plan) error {
	conf := path.Join(physical.DataDir, "postgresql.conf")
	switch _, err := t.tree.Stat(ctx, conf); {
	case errors.Is(err, cofre.ErrNotFound):
		p.Notes = append(p.Notes, "the cluster kept its configuration outside the data directory, and this backup does not hold it: "+cmp.Or(t.facts.Settings["config_file"], "where is not known")+"; restore it from a config component")
		return nil
	case err != nil:
		return err
	}
	if came := t.facts.Configuration; len(came) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s: what lay outside of the data directory, or was named there, is restored into it; the original's is %s", strings.Join(came, ", "), t.facts.Settings["config_file"]))
	}
	b, err := physical.ReadAll(ctx, t.tree, conf)
	if err == nil && datadir.NamesDataDirectory(b) {
		p.Notes = append(p.Notes, "postgresql.conf names a data_directory: start it as it is printed at the end, or remove that line: else that directory's server starts instead")
	}
	return err
}

// read loads what the component consists of.
func (t *Target) read(ctx context.Context) (err error) {
	if t.facts, err = physical.ReadFacts(ctx, t.tree); err != nil {
		return err
	}
	facts := make(map[string]*physical.FileFacts, len(t.facts.Files))
	for i := range t.facts.Files {
		facts[t.facts.Files[i].Path] = &t.facts.Files[i]
	}
	t.dirs, t.links, t.files, t.bytes = nil, nil, nil, 0
	control := path.Join(physical.DataDir, pgdata.ControlFile)
	var walk func(dir string) error
	walk = func(dir string) error {
		for e, err := range t.tree.List(ctx, dir) {
			if err != nil {
				return fmt.Errorf("list %s of the component: %w", dir, err)
			}
			switch {
			case e.IsDir():
				t.dirs = append(t.dirs, e)
				if err := walk(e.Path); err != nil {
					return err
				}
			case e.IsLink():
				t.links = append(t.links, e)
			default:
				f := facts[e.Path]
				if f == nil || f.Size != e.Size {
					return fmt.Errorf("%s of the component is not the file that its facts describe: %w", e.Path, cofre.ErrCorrupt)
				}
				delete(facts, e.Path)
				t.bytes += e.Size
				if e.Path != control {
					t.files = append(t.files, &staged{entry: e, facts: f})
				}
			}
		}
		return nil
	}
	root, err := t.tree.Stat(ctx, physical.DataDir)
	if err != nil {
		return fmt.Errorf("open the data directory of the component: %w", err)
	}
	t.dirs = append(t.dirs, root)
	for _, dir := range []string{physical.DataDir, physical.TablespacesDir} {
		if _, err := t.tree.Stat(ctx, dir); errors.Is(err, cofre.ErrNotFound) && dir == physical.TablespacesDir {
			continue
		}
		if err := walk(dir); err != nil {
			return err
		}
	}
	if len(facts) > 0 {
		return fmt.Errorf("%s of the component is missing: %w", slices.Sorted(maps.Keys(facts))[0], cofre.ErrCorrupt)
	}
	if t.raw, err = physical.ReadAll(ctx, t.tree, control); err != nil {
		return err
	}
	t.control, err = pgdata.ParseControl(t.raw)
	return err
}

// planDirectory decides what is done with the directory that is there.
func (t *Target) planDirectory(problem func(hint, what string, args ...any)) error {
	dir := t.o.Dir
	if t.o.Delta && t.o.MoveAside {
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
	t.existed = true
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
	if m, ok := readMarker(dir); ok && m.Root == t.root {
		t.inPlace = true
		return nil
	}
	switch {
	case t.o.Delta:
		t.inPlace = true
		t.planDelta(dir, problem)
	case t.o.MoveAside:
		t.stage = dir + ".cofre-restore"
		t.existed = false
		if m, ok := readMarker(t.stage); ok && m.Root == t.root {
			t.inPlace = true
		} else if _, err := os.Lstat(t.stage); !errors.Is(err, fs.ErrNotExist) {
			problem("remove it", "%s is left of another restore", t.stage)
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
func (t *Target) planDelta(dir string, problem func(hint, what string, args ...any)) {
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
	case c.SystemID != t.facts.SystemID:
		problem("restore to an empty directory", "%s holds cluster %s, not %s", dir, c.SystemID, t.facts.SystemID)
	}
}

// planSpaces decides where the tablespaces go.
func (t *Target) planSpaces(problem func(hint, what string, args ...any)) {
	t.spaces = map[uint32]string{}
	taken := map[string]uint32{}
	known := map[string]bool{}
	for _, s := range t.facts.Tablespaces {
		oid := strconv.FormatUint(uint64(s.OID), 10)
		to, ok := t.o.Tablespaces[oid]
		if !ok {
			to, ok = t.o.Tablespaces[s.Path]
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
		t.spaces[s.OID] = to
		// A delta and a directory moved aside bring their own tablespaces along, those that they link to.
		if link, err := os.Readlink(filepath.Join(t.o.Dir, "pg_tblspc", oid)); err == nil && filepath.Clean(link) == to && (t.inPlace || t.o.MoveAside) {
			continue
		}
		for _, version := range t.versions(s.OID) {
			at := filepath.Join(to, version)
			if names, err := os.ReadDir(at); len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
				problem(fmt.Sprintf("name another directory: --tablespace %d=/path", s.OID), "%s of tablespace %d is not empty", at, s.OID)
			}
		}
	}
	for _, m := range t.made {
		known[strconv.FormatUint(uint64(m.OID), 10)], known[m.Path] = true, true
	}
	for name := range t.o.Tablespaces {
		if !known[name] {
			problem("", "the cluster has no tablespace %q", name)
		}
	}
}

// versions are the directories of a tablespace: PG_15_202209061.
func (t *Target) versions(oid uint32) []string {
	parent := path.Join(physical.TablespacesDir, strconv.FormatUint(uint64(oid), 10))
	var names []string
	for _, d := range t.dirs {
		if path.Dir(d.Path) == parent {
			names = append(names, path.Base(d.Path))
		}
	}
	return names
}

// planSpace compares what will be written with what is free, for each file system.
func (t *Target) planSpace(problem func(hint, what string, args ...any)) {
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
	for _, f := range t.files {
		n := f.entry.Size
		if t.inPlace {
			if info, err := os.Stat(t.path(f.entry.Path)); err == nil {
				n = max(0, n-info.Size())
			}
		}
		per[t.base(f.entry.Path)] += n
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
func (t *Target) base(in string) string {
	if rest, ok := strings.CutPrefix(in, physical.TablespacesDir+"/"); ok {
		oid, _, _ := strings.Cut(rest, "/")
		if n, err := strconv.ParseUint(oid, 10, 32); err == nil && t.spaces[uint32(n)] != "" {
			return t.spaces[uint32(n)]
		}
	}
	return t.stage
}

// path is where an entry of the component is staged.
func (t *Target) path(in string) string {
	rest, ok := strings.CutPrefix(in, physical.TablespacesDir+"/")
	if !ok {
		return filepath.Join(t.stage, filepath.FromSlash(strings.TrimPrefix(in, physical.DataDir)))
	}
	_, below, _ := strings.Cut(rest, "/")
	version, below, _ := strings.Cut(below, "/")
	if version != "" {
		version = t.version(version)
	}
	return filepath.Join(t.base(in), version, filepath.FromSlash(below))
}

// version is the name under which a tablespace's version directory is staged.
func (t *Target) version(name string) string {
	if t.o.MoveAside && t.stage != t.o.Dir {
		return name + ".cofre-restore"
	}
	return name
}

func (t *Target) describe(p *cofre.Plan) {
	s := t.facts.Summary
	step := func(verb, object, detail string, args ...any) {
		p.Steps = append(p.Steps, cofre.Step{Verb: verb, Object: object, Detail: fmt.Sprintf(detail, args...)})
	}
	switch {
	case t.inPlace && t.o.Delta:
		step("rewrite", t.stage, "blocks that differ, of %d files; files that are not in the component are deleted", len(t.files))
	case t.inPlace:
		step("go on with", t.stage, "blocks that are missing, of %d files", len(t.files))
	default:
		step("write", t.stage, "%d files", len(t.files))
	}
	for _, space := range s.Tablespaces {
		step("place", fmt.Sprintf("tablespace %d", space.OID), "in %s", t.spaces[space.OID])
	}
	r := t.recovery()
	if r.Signals() {
		how := ""
		if r.Plan != nil {
			how = describeStop(r.Plan) + ", "
			p.Notes = append(p.Notes, r.Plan.Notes...)
		}
		step("recover", "to "+r.Target.String(), "from timeline %d at %s, %sthen %s", s.Timeline, s.StartLSN, how, r.Then())
	} else {
		step("recover", "to the end of the component's own WAL", "timeline %d, from %s to %s", s.Timeline, s.StartLSN, s.StopLSN)
		p.Notes = append(p.Notes, t.notes...)
	}
	if t.stage != t.o.Dir {
		step("move aside", t.o.Dir, "to %s", t.aside(t.o.Dir))
	}
	step("publish", pgdata.ControlFile, "by rename, when everything else is synced")
	p.Notes = append(p.Notes, "postgresql.auto.conf is kept; the recovery settings are in "+datadir.RecoveryFile)
	if !t.o.KeepArchiving {
		p.Notes = append(p.Notes, settings.DescribeQuarantine(r.Libraries(s))...)
	}
	if len(s.BadPages) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d pages were damaged when they were captured, the first is block %d of %s", s.BadPageCount, s.BadPages[0].Block, s.BadPages[0].File))
	}
}

func (t *Target) recovery() settings.Recovery {
	r := settings.Recovery{Target: t.o.Recovery, Plan: t.o.Plan, InPlace: t.inPlaceSpaces(), Action: t.o.Action, RestoreCommand: t.o.RestoreCommand, EndCommand: t.o.EndCommand, KeepArchiving: t.o.KeepArchiving, KeepLibraries: t.o.KeepLibraries}
	if r.Action == "" {
		r.Action = settings.ActionPause
	}
	return r
}

// aside is the name that what stood in the way is given.
func (t *Target) aside(path string) string {
	return path + ".before-" + t.stamp
}

// Discard removes what Stage made in a place of its own. What a delta has overwritten cannot be brought back.
//
// Errors: of the removal; one that names the directory where something is left on purpose.
func (t *Target) Discard(context.Context) error {
	if !t.touched {
		return nil
	}
	defer t.release()
	if t.inPlace && t.o.Delta {
		return fmt.Errorf("%s is neither what it was nor restored: restore it again with --delta", t.stage)
	}
	if t.o.KeepPartial {
		return fmt.Errorf("%s holds what was restored so far: the same command goes on with it", t.stage)
	}
	var errs []error
	for oid, dir := range t.spaces {
		for _, v := range t.versions(oid) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, t.version(v))))
		}
	}
	if t.existed {
		names, err := os.ReadDir(t.stage)
		errs = append(errs, err)
		for _, n := range names {
			if n.Name() != "lost+found" {
				errs = append(errs, os.RemoveAll(filepath.Join(t.stage, n.Name())))
			}
		}
	} else {
		errs = append(errs, os.RemoveAll(t.stage))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what was staged: %w", err)
	}
	t.touched = false
	return nil
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
