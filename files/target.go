package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/owner"
	"github.com/trustlayer/cofre/internal/traits"
	"github.com/trustlayer/cofre/internal/words"
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
	lost      []cofre.Message // extended attributes that could not be set
	damaged   []cofre.Checked // files that the repository holds no more as they were captured
	claims    claims
	folded    []cofre.Checked // what has no name of its own in the place
	marked    string          // random, in the names of what is staged
}

// load reads the facts and selects. What is not there is a problem of the plan.
func (j *job) load(ctx context.Context, c cofre.Component, t cofre.Tree, plan *cofre.Plan) error {
	facts, lost, err := factsOf(ctx, t)
	if err != nil {
		return fmt.Errorf("plan the restore of %s: %w", c.Name, err)
	}
	j.tellLost(facts, lost)
	j.component, j.tree = c, t
	chosen, missing := choose(facts.Entries, j.config.Paths)
	for _, p := range missing {
		plan.Refuse(cofre.Say("files.not_captured", "the recovery point has no {{.path}}", "path", p), cofre.Say("files.see_point", "see what a point holds: cofre list, then cofre show POINT --files"))
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
		why := cofre.Say("files.may_not_give", "this user may not give files away")
		if j.config.NoOwner {
			why = cofre.Say("files.asked_no_owner", "as asked with --no-owner")
		}
		plan.Note(cofre.SayN("files.foreign", foreign, "1 entry of another owner will belong to the user who restores, without set-id bits: {{.why}}", "{{.n}} entries of other owners will belong to the user who restores, without set-id bits: {{.why}}", "why", why))
	}
	if virtual > 0 {
		plan.Note(cofre.SayN("files.virtual", virtual, "1 file of another program, read over its own interface, is restored only with --to", "{{.n}} files of other programs, read over their own interfaces, are restored only with --to"))
	}
	if c.Partial {
		for _, m := range lacking(c) {
			plan.Note(cofre.Say("files.partial", "this component is not whole: {{.missing}}", "missing", m))
		}
	}
	var mark [4]byte
	_, _ = rand.Read(mark[:]) // never fails, see crypto/rand
	j.marked = hex.EncodeToString(mark[:])
	return nil
}

// lacking names what a component is known not to hold. Before it had a list of its own, the warnings did.
func lacking(c cofre.Component) []cofre.Message {
	var s Summary
	var named []cofre.Message
	if json.Unmarshal(c.Facts, &s) != nil || len(s.Missing) == 0 {
		for _, w := range c.Warnings {
			named = append(named, c.Messages.Of(w))
		}
		return named
	}
	for _, m := range s.Missing {
		named = append(named, cofre.Say("files.named", "{{.path}}: {{.why}}", "path", string(m.Path), "why", m.why()))
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
	missing := func(what, why cofre.Message) cofre.Checked {
		return cofre.NewChecked(what, asCaptured(), cofre.Say("files.not_in_point", "missing from the recovery point: {{.why}}", "why", why), false)
	}
	out := slices.Clone(j.damaged)
	if len(s.Missing) == 0 && all {
		var why cofre.Message
		for _, m := range lacking(j.component) {
			why = cofre.List(why, m)
		}
		return append(out, missing(cofre.Say("files.component", "component {{.name}}", "name", j.component.Name), why))
	}
	for _, m := range s.Missing {
		if all || slices.ContainsFunc(j.config.Paths, func(p string) bool { return selects(path.Clean("/"+p), string(m.Path)) }) {
			out = append(out, missing(cofre.Verbatim(string(m.Path)), m.why()))
		}
	}
	return out
}

// without goes on without a file that the repository has lost, if that is what err says, and names it. What was written
// of it is removed.
func (j *job) without(in *inside.Dir, name string, w wanted, err error) (bool, error) {
	var lost *lostError
	if !errors.As(err, &lost) {
		return false, err
	}
	j.damaged = append(j.damaged, cofre.NewChecked(cofre.Verbatim(string(w.Path)), asCaptured(), cofre.Say("files.lost", "lost in the repository: {{.cause}}", "cause", lost), false))
	return true, in.Remove(name)
}

// nothing is the error of a restore whose every file is lost.
func (j *job) nothing(files int) error {
	if files > 0 || len(j.damaged) == 0 {
		return nil
	}
	first := j.damaged[0]
	return cofre.WithHint(cofre.Fail(cofre.Say("files.nothing_left", "restore {{.path}}: {{.got}}: nothing else was asked for", "path", first.What, "got", first.Messages.Of(first.Got)), cofre.ErrCorrupt),
		cofre.Say("files.other_point", "look for another point that holds it: cofre list"))
}

// lookElsewhere says on an outcome what to do about what the repository has lost.
func (j *job) lookElsewhere(o *cofre.Outcome) {
	if len(j.damaged) == 0 {
		return
	}
	o.Hint = cofre.Say("files.look_elsewhere", "look for what the repository has lost in another point: cofre list; a backup stores afresh what its source still holds: cofre backup")
	o.Then(cofre.DoLookForLost, "cofre list", o.Hint)
}

func asCaptured() cofre.Message { return cofre.Say("files.as_captured", "as captured") }

// readFacts reads what was recorded at the capture.
func readFacts(ctx context.Context, t cofre.Tree) (*Facts, error) {
	r, err := t.Open(ctx, FactsFile)
	if err != nil {
		return nil, unread(err)
	}
	defer r.Close() // only read
	text, err := bounded.All(r, bounded.List)
	if err != nil {
		return nil, unread(fmt.Errorf("read %s: %w", FactsFile, err))
	}
	facts, err := parseFacts(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", FactsFile, cofre.ErrCorrupt, err)
	}
	return facts, nil
}

// List yields what a config component holds, in the order of paths, for people and for comparisons.
//
// Errors: as of the tree; cofre.ErrCorrupt if the facts are not what a capture writes.
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
func (j *job) task(obs cofre.Observer, name cofre.Message) (progress func(item string, n int64), ended func(error)) {
	var done int64
	e := cofre.Event{Unit: cofre.UnitBytes, Total: j.bytes}.Doing(name)
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
func (j *job) loses(obs cofre.Observer, lost []cofre.Message) {
	j.lost = append(j.lost, lost...)
	for _, m := range lost {
		j.observe(obs, cofre.Event{Type: cofre.TypeWarning}.Saying(m))
	}
}

// comparing counts what a check compared.
type comparing struct {
	counts map[string]int
	wrong  []cofre.Checked
}

func (c *comparing) add(w wanted, found []cofre.Message) {
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[w.Type]++
	for _, what := range found {
		c.wrong = append(c.wrong, cofre.NewChecked(cofre.Verbatim(string(w.Path)), asCaptured(), what, false))
	}
}

func (c *comparing) proof(lost int) *cofre.Proof {
	p := &cofre.Proof{}
	bad := map[string]bool{}
	for _, w := range c.wrong {
		bad[w.What] = true
	}
	number := func(n int) cofre.Message { return cofre.Verbatim(strconv.Itoa(n)) }
	add := func(what cofre.Message, n int) {
		if n > 0 {
			p.Checks = append(p.Checks, cofre.NewChecked(what, number(n), number(n), true))
		}
	}
	add(cofre.Say("files.check_files", "files: content (SHA-256), mode, owner, time, extended attributes"), c.counts[TypeFile])
	add(cofre.Say("files.check_folders", "folders: mode, owner, time, extended attributes"), c.counts[TypeDirectory])
	add(cofre.Say("files.check_links", "links: target, owner, time"), c.counts[TypeLink])
	if len(bad) > 0 && len(p.Checks) > 0 {
		total := c.counts[TypeFile] + c.counts[TypeDirectory] + c.counts[TypeLink]
		p.Checks = []cofre.Checked{cofre.NewChecked(cofre.Say("files.check_entries", "entries"), number(total), number(total-len(bad)), false)}
	}
	p.Checks = append(p.Checks, c.wrong...)
	add(cofre.Say("files.check_xattrs", "extended attributes that this place cannot hold, named in warnings"), lost)
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
	plan := cofre.NewPlan(cofre.Say("files.plan_into", "restore {{.name}} into the folder {{.folder}}", "name", c.Name, "folder", to))
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
		plan.Refuse(cofre.Say("files.nothing", "there is nothing to restore"), cofre.Message{})
	}
	what := cofre.SayN("files.files", files, "1 file", "{{.n}} files")
	if folders > 0 {
		what = cofre.List(what, cofre.SayN("files.folders", folders, "1 folder", "{{.n}} folders"))
	}
	if links > 0 {
		what = cofre.List(what, cofre.SayN("files.links", links, "1 link", "{{.n}} links"))
	}
	plan.Do(cofre.Say("files.do_write", "write"), what, cofre.Say("files.into", "into {{.folder}}", "folder", f.staging))
	plan.Do(cofre.Say("files.do_compare", "compare"), cofre.Say("files.everything", "every byte, mode, owner, time and link"), cofre.Say("files.with_captured", "with what was captured"))
	plan.Do(cofre.Say("files.do_rename", "rename"), cofre.Verbatim(f.staging), f.renaming())
	return plan, nil
}

// Promise says that a folder that is filled held nothing.
func (f *folder) Promise() cofre.Promise {
	return cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
}

func (f *folder) renaming() cofre.Message {
	if f.exists {
		return cofre.Say("files.content_to", "its content, to {{.folder}}", "folder", f.to)
	}
	return cofre.Say("files.to", "to {{.folder}}", "folder", f.to)
}

// look finds what stands in the way of the folder.
func (f *folder) look(plan *cofre.Plan) {
	another := cofre.Say("files.empty_place", "name a folder that does not exist, or an empty one")
	info, err := os.Lstat(f.to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		plan.Refuse(cofre.Say("files.unseen", "the folder {{.folder}} cannot be looked at: {{.cause}}", "folder", f.to, "cause", cause(err)), mayLook(f.to))
		return
	case !info.IsDir():
		plan.Refuse(cofre.Say("files.no_folder", "{{.path}} exists and is no folder", "path", f.to), another)
		return
	default:
		// It may be a mount, or belong to somebody in a folder that is not his: it stays what it is, and is filled.
		f.exists = true
		f.staging = filepath.Join(f.to, newMark+f.marked)
		if entries, err := os.ReadDir(f.to); err != nil {
			plan.Refuse(cofre.Say("files.unlisted", "the folder {{.folder}} cannot be listed: {{.cause}}", "folder", f.to, "cause", cause(err)), mayLook(f.to))
		} else if len(entries) > 0 {
			hint := another
			if name := entries[0].Name(); len(entries) == 1 && strings.HasPrefix(name, newMark) {
				hint = cofre.Say("files.interrupted", "it holds only what an interrupted restore left: rm -rf {{.path}}", "path", quote(filepath.Join(f.to, name)))
			}
			plan.Refuse(cofre.Say("files.not_empty", "the folder {{.folder}} is not empty", "folder", f.to), hint)
		}
	}
	above := existing(filepath.Dir(f.staging))
	if err := unix.Access(above, unix.W_OK|unix.X_OK); err != nil {
		plan.Refuse(cofre.Say("files.unwritable", "nothing can be written into {{.folder}}: {{.cause}}", "folder", above, "cause", err), cofre.Say("files.other_place", "restore as a user who may write there, or into another folder: --to DIR"))
	}
	spaceFor(plan, above, f.bytes)
	f.noteTimes(plan, above)
}

// noteTimes says if the place will not keep every time, as far as that can be tried without a trace.
func (f *folder) noteTimes(plan *cofre.Plan, where string) {
	d, err := inside.Open(where)
	if err != nil {
		return // writing there says it better
	}
	defer d.Close()
	file, err := traits.Nameless(d.FD())
	if err != nil {
		return
	}
	defer file.Close() // nothing is written to it
	var t traits.Traits
	t.TryTimes(file)
	n := 0
	for _, w := range f.wants {
		if !t.Time(w.ModTime).Equal(w.ModTime) {
			n++
		}
	}
	if n > 0 {
		plan.Note(cofre.SayN("files.coarse_times", n, "the file system of {{.folder}} cannot keep the time of 1 entry exactly: it gets the nearest that it can keep", "the file system of {{.folder}} cannot keep the times of {{.n}} entries exactly: they get the nearest that it can keep", "folder", where))
	}
}

// mayLook is the way to what this user may not look at.
func mayLook(path string) cofre.Message {
	return cofre.Say("files.may_look", "restore as a user who may read it: ls -ld {{.path}}", "path", quote(path))
}

func spaceFor(plan *cofre.Plan, where string, bytes int64) {
	d, err := inside.Open(where)
	if err != nil {
		return // writing there says it better
	}
	defer d.Close()
	if free, err := d.Free(); err == nil && free < bytes {
		plan.Refuse(cofre.Say("files.space", "{{.folder}} has {{.free}} free, and {{.needed}} are needed", "folder", where, "free", words.Size(free), "needed", words.Size(bytes)),
			cofre.Say("files.make_room", "free space there, or restore to another disk: df -h {{.folder}}", "folder", quote(where)))
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
	progress, ended := f.task(obs, cofre.Say("files.task_restore", "restore files"))
	defer func() { ended(err) }()
	if err := f.makeRoom(); err != nil {
		return err
	}
	root, err := inside.Open(f.staging)
	if err != nil {
		return err
	}
	defer root.Close()
	var names traits.Traits
	if err := names.TryNames(f.staging); err != nil {
		return err
	}
	f.claims.in = func(string) (traits.Traits, error) { return names, nil }
	var folders, there []wanted
	files := 0
	for _, w := range f.wants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if folded, err := f.isFolded(w); folded || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		gone := false
		in, err := root.Descend(path.Dir(w.relative()), (*inside.Dir).Mkdir)
		if err != nil {
			return fmt.Errorf("restore %s: %w", string(w.Path), err)
		}
		if w.Type == TypeDirectory {
			err = ignoreExists(in.Mkdir(path.Base(w.relative())))
			folders = append(folders, w)
		} else {
			var lost []cofre.Message
			lost, err = bring(ctx, f.tree, in, path.Base(w.relative()), w, func(n int64) { progress(string(w.Path), n) })
			f.loses(obs, lost)
			gone, err = f.without(in, path.Base(w.relative()), w, err)
		}
		if err = errors.Join(err, in.Close()); err != nil {
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

func dressFolder(root *inside.Dir, w wanted) (lost []cofre.Message, err error) {
	in, err := root.Descend(path.Dir(w.relative()), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	name := path.Base(w.relative())
	d, err := in.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if lost, err = dress(d, w); err != nil {
		return lost, err
	}
	if err := setTime(in, name, w); err != nil {
		return lost, err
	}
	return lost, durable.Sync(d)
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
	progress, ended := f.task(obs, cofre.Say("files.task_compare", "compare files"))
	defer func() { ended(err) }()
	root, err := inside.Open(f.staging)
	if err != nil {
		return nil, err
	}
	defer root.Close()
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

func compareBelow(root *inside.Dir, w wanted, lost []cofre.Message) (found []cofre.Message, err error) {
	in, err := root.Descend(path.Dir(w.relative()), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
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
	o := &cofre.Outcome{Restored: f.to, Left: append(f.left(), f.folded...)}
	f.lookElsewhere(o)
	f.foldedElsewhere(o)
	return o, nil
}

// moveInto renames within dir to a name that nothing has.
func moveInto(dir, from, to string) (err error) {
	d, err := inside.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = renameNew(d, from, to)
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	// A folder that changes its parent must be writable for whoever is not root: it names its parent.
	st, statErr := d.Stat(from)
	if statErr != nil || typeOf(st) != TypeDirectory || st.Mode&0o200 != 0 {
		return err
	}
	if chmodErr := unix.Fchmodat(d.FD(), from, st.Mode&0o7777|0o200, 0); chmodErr != nil {
		return err
	}
	at := from
	if err = renameNew(d, from, to); err == nil {
		at = to
	}
	return errors.Join(err, d.Wrap("chmod", at, unix.Fchmodat(d.FD(), at, st.Mode&0o7777, 0)))
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
	d, err := inside.Open(p)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
		_ = os.Remove(made) // stays if something else is in it by now
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
