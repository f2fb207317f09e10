package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/owner"
	"golang.org/x/sys/unix"
)

// TargetConfig says where files are restored to.
type TargetConfig struct {
	// Installation and Name identify the source in events.
	Installation, Name string
	// To is a folder that does not exist or is empty. Every file appears below it at its own path. Empty: the
	// files go to where they were captured, and what they replace is kept beside them.
	To string
	// Paths are the files and folders to restore, as they were captured, or patterns. Empty: everything.
	Paths []string
	// NoOwner leaves everything to the user who restores, without set-id bits.
	NoOwner bool
	// Now stamps the names of what is kept. Nil is time.Now.
	Now func() time.Time
}

// NewTarget makes a target. Nothing is looked at before Plan.
func NewTarget(c TargetConfig) cofre.Target {
	if c.Name == "" {
		c.Name = "config"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	job := job{config: c, id: cofre.SourceID{Installation: c.Installation, Kind: cofre.KindConfig, Name: c.Name}}
	if c.To == "" {
		return &inPlace{job: job}
	}
	return &folder{job: job}
}

// job is what both ways of restoring have in common: what is to be restored.
type job struct {
	config    TargetConfig
	id        cofre.SourceID
	component cofre.Component
	tree      cofre.Tree
	wants     []wanted // a directory before what it holds
	bytes     int64
	lost      []string        // extended attributes that could not be set
	damaged   []cofre.Checked // files that the repository holds no more as they were captured
	marked    string          // random, in the names of what is staged
}

// load reads the facts and selects. What is not there is a problem of the plan.
func (j *job) load(ctx context.Context, c cofre.Component, t cofre.Tree, plan *cofre.Plan) error {
	facts, err := readFacts(ctx, t)
	if err != nil {
		return fmt.Errorf("plan the restore of %s: %w", c.Name, err)
	}
	j.component, j.tree = c, t
	chosen, missing := choose(facts.Entries, j.config.Paths)
	for _, p := range missing {
		plan.Problems = append(plan.Problems, cofre.Problem{
			What: fmt.Sprintf("the recovery point has no %s", p),
			Hint: "cofre show lists what a recovery point holds",
		})
	}
	who := owner.Current()
	foreign, virtual := 0, 0
	for _, e := range chosen {
		if e.Virtual && j.config.To == "" {
			virtual++
			continue
		}
		w := j.want(who, e)
		if !w.owner && !e.Parent && (w.uid != os.Geteuid() || w.gid != os.Getegid()) {
			foreign++
		}
		j.wants = append(j.wants, w)
		if e.Type == TypeFile {
			j.bytes += e.Size
		}
	}
	plan.Bytes = j.bytes
	if foreign > 0 {
		why := "this user may not give files away"
		if j.config.NoOwner {
			why = "as asked with --no-owner"
		}
		plan.Notes = append(plan.Notes, fmt.Sprintf("%s will belong to the user who restores, without set-id bits: %s", count(foreign, "entry of another owner"), why))
	}
	if virtual > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%s of other programs, read over their own interface, are restored only with --to", count(virtual, "file")))
	}
	if c.Partial {
		plan.Notes = append(plan.Notes, fmt.Sprintf("this component is partial: %s", strings.Join(lacking(c), "; ")))
	}
	var mark [4]byte
	_, _ = rand.Read(mark[:]) // never fails, see crypto/rand
	j.marked = hex.EncodeToString(mark[:])
	return nil
}

// lacking names what a component is known not to hold. Before it had a list of its own, the warnings did.
func lacking(c cofre.Component) []string {
	var s Summary
	if json.Unmarshal(c.Facts, &s) != nil || len(s.Missing) == 0 {
		return c.Warnings
	}
	var named []string
	for _, m := range s.Missing {
		named = append(named, string(m.Path)+": "+m.Why)
	}
	return named
}

// left names what was asked for and the component is known not to hold.
func (j *job) left() []cofre.Checked {
	if !j.component.Partial {
		return j.damaged
	}
	var s Summary
	_ = json.Unmarshal(j.component.Facts, &s) // of a component that has none, the warnings say it
	all := len(j.config.Paths) == 0
	missing := func(what, why string) cofre.Checked {
		return cofre.Checked{What: what, Want: "as captured", Got: "missing from the recovery point: " + why}
	}
	out := slices.Clone(j.damaged)
	if len(s.Missing) == 0 && all {
		return append(out, missing("component "+j.component.Name, strings.Join(j.component.Warnings, "; ")))
	}
	for _, m := range s.Missing {
		if all || slices.ContainsFunc(j.config.Paths, func(p string) bool { return selects(path.Clean("/"+p), string(m.Path)) }) {
			out = append(out, missing(string(m.Path), m.Why))
		}
	}
	return out
}

// without goes on without a file that the repository has lost, if that is what err says, and names it. What was written
// of it is removed.
func (j *job) without(in *dir, name string, w wanted, err error) (bool, error) {
	var lost *lostError
	if !errors.As(err, &lost) {
		return false, err
	}
	j.damaged = append(j.damaged, cofre.Checked{What: string(w.Path), Want: "as captured", Got: "lost in the repository: " + lost.Error()})
	return true, in.remove(name)
}

// nothing is the error of a restore whose every file is lost.
func (j *job) nothing(files int) error {
	if files > 0 || len(j.damaged) == 0 {
		return nil
	}
	first := j.damaged[0]
	return cofre.WithHint(fmt.Errorf("restore %s: %s: nothing else was asked for: %w", first.What, first.Got, cofre.ErrCorrupt),
		cofre.Say("files.other_point", "look for another point that holds it: cofre list"))
}

// lookElsewhere says on an outcome what to do about what the repository has lost.
func (j *job) lookElsewhere(o *cofre.Outcome) {
	if len(j.damaged) == 0 {
		return
	}
	const look = "look for what the repository has lost in another point: cofre list; a backup stores afresh what its source still holds: cofre backup"
	o.Next, o.Hint = append([]string{look}, o.Next...), cofre.Verbatim(look)
}

// readFacts reads what was recorded at the capture.
func readFacts(ctx context.Context, t cofre.Tree) (*Facts, error) {
	r, err := t.Open(ctx, FactsFile)
	if err != nil {
		return nil, err
	}
	defer r.Close() // only read
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", FactsFile, err)
	}
	facts, err := parseFacts(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", FactsFile, cofre.ErrCorrupt, err)
	}
	return facts, nil
}

// List yields what a config component holds, in the order of paths, for people and for comparisons.
//
// Errors: as of the tree; cofre.ErrCorrupt where the facts are not what a capture writes.
func List(ctx context.Context, t cofre.Tree) ([]Fact, error) {
	facts, err := readFacts(ctx, t)
	if err != nil {
		return nil, err
	}
	return facts.Entries, nil
}

// choose returns the entries that paths select, with the directories on the way to them, and the paths that
// select nothing. A path that leads through a captured link selects where the link leads, and the link.
func choose(entries []Fact, paths []string) (chosen []Fact, missing []string) {
	if len(paths) == 0 {
		return entries, nil
	}
	links := map[string]string{}
	for _, e := range entries {
		if e.Type == TypeLink {
			links[string(e.Path)] = string(e.Link)
		}
	}
	keep := map[string]bool{}
	for _, p := range paths {
		found := false
		for _, one := range through(path.Clean("/"+p), links) {
			for _, e := range entries {
				if at := "/" + strings.TrimPrefix(string(e.Path), "/"); e.Virtual {
					at = "/" + e.tree()
					found = found || selects(one, at)
					keep[e.tree()] = keep[e.tree()] || selects(one, at)
				} else if selects(one, at) && !(e.Parent && at != one) {
					found = true
					keep[e.tree()] = true
				}
			}
		}
		if !found {
			missing = append(missing, p)
		}
	}
	parents := map[string]bool{}
	for name, yes := range keep {
		for dir := path.Dir(name); yes && dir != "."; dir = path.Dir(dir) {
			parents[dir] = true
		}
	}
	for _, e := range entries {
		switch {
		case keep[e.tree()]:
			chosen = append(chosen, e)
		case parents[e.tree()]:
			e.Parent = true
			chosen = append(chosen, e)
		}
	}
	return chosen, missing
}

// selects reports whether a path or pattern names at, or a folder above it.
func selects(p, at string) bool {
	if isBelow(at, p) {
		return true
	}
	if !isPattern(p) {
		return false
	}
	for ; at != "/"; at = path.Dir(at) {
		if _, ok := (excludes{p}).match(at); ok {
			return true
		}
	}
	return false
}

// through returns p and every path that it becomes when the captured links on its way are followed; the links
// are among them.
func through(p string, links map[string]string) []string {
	all := []string{p}
	for range 40 { // as the kernel
		at, next := "", ""
		parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
		for i, part := range parts {
			at += "/" + part
			target, ok := links[at]
			if !ok {
				continue
			}
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(at), target)
			}
			all = append(all, at)
			next = path.Join(append([]string{target}, parts[i+1:]...)...)
			break
		}
		if next == "" {
			return all
		}
		all = append(all, next)
		p = next
	}
	return all
}

func (j *job) observe(obs cofre.Observer, e cofre.Event) {
	e.At, e.Source = time.Now(), j.id
	obs.Observe(e)
}

// task reports the beginning of a stretch of work, and returns what reports its progress and its end.
func (j *job) task(obs cofre.Observer, name string) (progress func(item string, n int64), ended func(error)) {
	var done int64
	e := cofre.Event{Task: name, Unit: cofre.UnitBytes, Total: j.bytes}
	e.Type = cofre.TypeTaskBegan
	j.observe(obs, e)
	progress = func(item string, n int64) {
		done += n
		e.Type, e.Item, e.Done = cofre.TypeTaskProgress, item, done
		j.observe(obs, e)
	}
	ended = func(err error) {
		e.Type, e.Err, e.Done = cofre.TypeTaskEnded, err, done
		j.observe(obs, e)
	}
	return progress, ended
}

// loses reports the extended attributes that could not be set: a note to the operator, not an end of the restore.
func (j *job) loses(obs cofre.Observer, lost []string) {
	j.lost = append(j.lost, lost...)
	for _, text := range lost {
		j.observe(obs, cofre.Event{Type: cofre.TypeWarning, Text: "not restored: extended attribute " + text})
	}
}

// comparing counts what a check compared.
type comparing struct {
	counts map[string]int
	wrong  []cofre.Checked
}

func (c *comparing) add(w wanted, found []string) {
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[w.Type]++
	for _, what := range found {
		c.wrong = append(c.wrong, cofre.Checked{What: string(w.Path), Want: "as captured", Got: what})
	}
}

func (c *comparing) proof(lost int) *cofre.Proof {
	p := &cofre.Proof{}
	bad := map[string]bool{}
	for _, w := range c.wrong {
		bad[w.What] = true
	}
	add := func(what string, n int) {
		if n > 0 {
			p.Checks = append(p.Checks, cofre.Checked{What: what, Want: fmt.Sprint(n), Got: fmt.Sprint(n), OK: true})
		}
	}
	add("files: content (SHA-256), mode, owner, time, extended attributes", c.counts[TypeFile])
	add("folders: mode, owner, time, extended attributes", c.counts[TypeDirectory])
	add("links: target, owner, time", c.counts[TypeLink])
	if len(bad) > 0 && len(p.Checks) > 0 {
		total := c.counts[TypeFile] + c.counts[TypeDirectory] + c.counts[TypeLink]
		p.Checks = []cofre.Checked{{What: "entries", Want: fmt.Sprint(total), Got: fmt.Sprint(total - len(bad))}}
	}
	p.Checks = append(p.Checks, c.wrong...)
	if lost > 0 {
		p.Checks = append(p.Checks, cofre.Checked{What: "extended attributes that this place cannot hold, named in warnings", Want: fmt.Sprint(lost), Got: fmt.Sprint(lost), OK: true})
	}
	return p
}

// folder restores into a folder that does not exist or is empty.
type folder struct {
	job
	to        string // absolute
	staging   string // beside it; inside it if it exists
	exists    bool
	madeIn    []string
	moved     []string // what Publish moved into the folder that exists
	published bool
}

// Plan looks at the component and at the folder.
func (f *folder) Plan(ctx context.Context, c cofre.Component, t cofre.Tree) (*cofre.Plan, error) {
	to, err := filepath.Abs(f.config.To)
	if err != nil {
		return nil, fmt.Errorf("plan the restore of %s: %w", c.Name, err)
	}
	plan := &cofre.Plan{Title: fmt.Sprintf("restore %s into the folder %s", c.Name, to)}
	if err := f.load(ctx, c, t, plan); err != nil {
		return nil, err
	}
	f.to = to
	f.staging = filepath.Join(filepath.Dir(to), "."+short(filepath.Base(to))+newMark+f.marked)
	f.look(plan)
	files, links, folders := 0, 0, 0
	for _, w := range f.wants {
		switch {
		case w.Type == TypeFile:
			files++
		case w.Type == TypeLink:
			links++
		case !w.Parent:
			folders++
		}
	}
	if files+links+folders == 0 && len(plan.Problems) == 0 {
		plan.Problems = append(plan.Problems, cofre.Problem{What: "there is nothing to restore"})
	}
	plan.Steps = append(plan.Steps,
		cofre.Step{Verb: "write", Object: fmt.Sprintf("%s, %s, %s", count(files, "file"), count(folders, "folder"), count(links, "link")), Detail: "into " + f.staging},
		cofre.Step{Verb: "compare", Object: "every byte, mode, owner, time and link", Detail: "with what was captured"},
		cofre.Step{Verb: "rename", Object: f.staging, Detail: f.renaming()},
	)
	return plan, nil
}

// Promise says that a folder that is filled held nothing.
func (f *folder) Promise() cofre.Promise {
	return cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
}

func (f *folder) renaming() string {
	if f.exists {
		return "what is in it, to " + f.to
	}
	return "to " + f.to
}

// look finds what stands in the way of the folder.
func (f *folder) look(plan *cofre.Plan) {
	problem := func(what, hint string) {
		plan.Problems = append(plan.Problems, cofre.Problem{What: what, Hint: hint})
	}
	info, err := os.Lstat(f.to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		problem(fmt.Sprintf("the folder %s cannot be looked at: %v", f.to, cause(err)), "")
		return
	case !info.IsDir():
		problem(fmt.Sprintf("%s exists and is no folder", f.to), "name a folder that does not exist, or an empty one")
		return
	default:
		// It may be a mount, or belong to somebody in a folder that is not his: it stays what it is, and is filled.
		f.exists = true
		f.staging = filepath.Join(f.to, newMark+f.marked)
		if entries, err := os.ReadDir(f.to); err != nil {
			problem(fmt.Sprintf("the folder %s cannot be listed: %v", f.to, cause(err)), "")
		} else if len(entries) > 0 {
			hint := "name a folder that does not exist, or an empty one"
			if name := entries[0].Name(); len(entries) == 1 && strings.HasPrefix(name, newMark) {
				hint = "it holds only what an interrupted restore left: rm -rf " + filepath.Join(f.to, name)
			}
			problem(fmt.Sprintf("the folder %s is not empty", f.to), hint)
		}
	}
	above := existing(filepath.Dir(f.staging))
	if err := unix.Access(above, unix.W_OK|unix.X_OK); err != nil {
		problem(fmt.Sprintf("nothing can be written into %s: %v", above, err), "restore as a user that may, or into another folder")
	}
	spaceFor(plan, above, f.bytes)
}

func spaceFor(plan *cofre.Plan, where string, bytes int64) {
	d, err := openDir(where)
	if err != nil {
		return // writing there says it better
	}
	defer d.close()
	if free, err := d.free(); err == nil && free < bytes {
		plan.Problems = append(plan.Problems, cofre.Problem{
			What: fmt.Sprintf("%s has %d bytes free, and %d are needed", where, free, bytes), Hint: "make room, or restore to another disk",
		})
	}
}

// existing is the nearest folder at or above p that exists.
func existing(p string) string {
	for {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			return p
		}
		up := filepath.Dir(p)
		if up == p {
			return p
		}
		p = up
	}
}

// short leaves room for a mark behind a name, within the 255 bytes of a name.
func short(name string) string {
	const longest = 180
	if len(name) > longest {
		name = name[:longest]
	}
	return name
}

// Stage writes everything into a folder beside the one that is asked for.
func (f *folder) Stage(ctx context.Context, obs cofre.Observer) (err error) {
	progress, ended := f.task(obs, "restore files")
	defer func() { ended(err) }()
	if err := f.makeRoom(); err != nil {
		return err
	}
	root, err := openDir(f.staging)
	if err != nil {
		return err
	}
	defer root.close()
	var folders, there []wanted
	files := 0
	for _, w := range f.wants {
		if err := ctx.Err(); err != nil {
			return err
		}
		gone := false
		in, err := root.descend(path.Dir(w.relative()), (*dir).mkdir)
		if err != nil {
			return fmt.Errorf("restore %s: %w", string(w.Path), err)
		}
		if w.Type == TypeDirectory {
			err = ignoreExists(in.mkdir(path.Base(w.relative())))
			folders = append(folders, w)
		} else {
			var lost []string
			lost, err = bring(ctx, f.tree, in, path.Base(w.relative()), w, func(n int64) { progress(string(w.Path), n) })
			f.loses(obs, lost)
			gone, err = f.without(in, path.Base(w.relative()), w, err)
		}
		if err = errors.Join(err, in.close()); err != nil {
			return fmt.Errorf("restore %s: %w", string(w.Path), err)
		}
		if !gone {
			there = append(there, w)
			files += isFile(w)
		}
	}
	f.wants = there
	if err := f.nothing(files); err != nil {
		return err
	}
	// Folders get their mode and time when nothing is written into them any more.
	for _, w := range slices.Backward(folders) {
		lost, err := dressFolder(root, w)
		if err != nil {
			return fmt.Errorf("restore %s: %w", string(w.Path), err)
		}
		f.loses(obs, lost)
	}
	return nil
}

func isFile(w wanted) int {
	if w.Type == TypeDirectory {
		return 0
	}
	return 1
}

func ignoreExists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func dressFolder(root *dir, w wanted) (lost []string, err error) {
	in, err := root.descend(path.Dir(w.relative()), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	name := path.Base(w.relative())
	d, err := in.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Sync(); err != nil {
		return nil, err
	}
	if lost, err = dress(d, w); err != nil {
		return lost, err
	}
	return lost, setTime(in, name, w)
}

// makeRoom makes the folders on the way and the empty staging folder.
func (f *folder) makeRoom() error {
	for dir := filepath.Dir(f.staging); dir != existing(dir); dir = filepath.Dir(dir) {
		f.madeIn = append(f.madeIn, dir)
	}
	if err := os.MkdirAll(filepath.Dir(f.staging), 0o755); err != nil {
		return fmt.Errorf("restore into %s: %w", f.to, err)
	}
	return os.Mkdir(f.staging, 0o700)
}

// Check compares every staged entry with what was captured.
func (f *folder) Check(ctx context.Context, obs cofre.Observer) (_ *cofre.Proof, err error) {
	progress, ended := f.task(obs, "compare files")
	defer func() { ended(err) }()
	root, err := openDir(f.staging)
	if err != nil {
		return nil, err
	}
	defer root.close()
	var c comparing
	for _, w := range f.wants {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := compareBelow(root, w, f.lost)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", string(w.Path), err)
		}
		c.add(w, found)
		progress(string(w.Path), w.Size)
	}
	return c.proof(len(f.lost)), nil
}

func compareBelow(root *dir, w wanted, lost []string) (found []string, err error) {
	in, err := root.descend(path.Dir(w.relative()), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	return differences(in, path.Base(w.relative()), w, lost, false)
}

// Publish gives the staged folder its name, or what is in it the names in the folder that exists. A crash leaves the
// staged folder, whose name says what it is; in a folder that existed, perhaps some of its entries, whole, in their place.
func (f *folder) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := syncFolder(f.staging)
	if err == nil && f.exists {
		err = f.fill()
	} else if err == nil {
		// Nothing is replaced: who made a folder of this name meanwhile keeps it.
		err = moveInto(filepath.Dir(f.to), filepath.Base(f.staging), filepath.Base(f.to))
	}
	if err != nil {
		return nil, fmt.Errorf("publish %s: %w", f.to, err)
	}
	for _, made := range append([]string{filepath.Dir(f.to)}, parents(f.madeIn)...) {
		if err := syncFolder(made); err != nil {
			return nil, fmt.Errorf("publish %s: %w", f.to, err)
		}
	}
	f.published = true
	o := &cofre.Outcome{Restored: f.to, Left: f.left()}
	f.lookElsewhere(o)
	return o, nil
}

// moveInto renames within dir to a name that nothing has.
func moveInto(dir, from, to string) (err error) {
	d, err := openDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	err = d.renameNew(from, to)
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	// A folder that changes its parent must be writable for whoever is not root: it names its parent.
	st, statErr := d.stat(from)
	if statErr != nil || typeOf(st) != TypeDirectory || st.Mode&0o200 != 0 {
		return err
	}
	if chmodErr := unix.Fchmodat(d.fd(), from, st.Mode&0o7777|0o200, 0); chmodErr != nil {
		return err
	}
	at := from
	if err = d.renameNew(from, to); err == nil {
		at = to
	}
	return errors.Join(err, d.wrap("chmod", at, unix.Fchmodat(d.fd(), at, st.Mode&0o7777, 0)))
}

// fill moves what is staged one level up.
func (f *folder) fill() error {
	entries, err := os.ReadDir(f.staging)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := moveInto(f.to, filepath.Join(filepath.Base(f.staging), e.Name()), e.Name()); err != nil {
			return err
		}
		f.moved = append(f.moved, filepath.Join(f.to, e.Name()))
	}
	if err := os.Remove(f.staging); err != nil {
		return err
	}
	return syncFolder(f.to)
}

func syncFolder(p string) error {
	d, err := openDir(p)
	if err != nil {
		return err
	}
	return errors.Join(d.sync(), d.close())
}

func parents(dirs []string) []string {
	var list []string
	for _, d := range dirs {
		list = append(list, filepath.Dir(d))
	}
	return list
}

// Discard removes the staged folder, and the folders that were made to hold it.
func (f *folder) Discard(context.Context) error {
	if f.staging == "" || f.published {
		return nil
	}
	for _, p := range append(f.moved, f.staging) {
		if err := removeAll(p); err != nil {
			return cofre.WithHint(fmt.Errorf("discard %s: %w", p, err), cofre.Say("files.remove", "remove it by hand: rm -rf {{.path}}", "path", p))
		}
	}
	for _, made := range f.madeIn {
		_ = os.Remove(made) // stays where something else is in it by now
	}
	return nil
}

// removeAll also removes folders whose captured mode forbids to list or to write them.
func removeAll(p string) error {
	err := os.RemoveAll(p)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(p, func(at string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(at, 0o700)
		}
		return nil
	})
	return errors.Join(walkErr, os.RemoveAll(p))
}
