package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/traits"
	"golang.org/x/sys/unix"
)

// What is kept and what is staged lies beside the file, on the same file system, so that a rename publishes it.
// Both names begin with a dot: servers that read every file of a folder (nginx, cron, sudo) pass them over.
const (
	keptMark = ".cofre-kept-"
	newMark  = ".cofre-new-"
)

// isKept reports whether a name is one that a restore in place made.
func isKept(name string) bool {
	return strings.HasPrefix(name, ".") && (strings.Contains(name, keptMark) || strings.Contains(name, newMark))
}

// inPlace restores files to where they were captured. What is equal is left alone; what is replaced is kept
// beside. Nothing that exists is touched before Publish, and an error in Publish takes back what it did.
type inPlace struct {
	job
	actions   []*action
	madeDirs  []wanted // by Stage, parents first
	published bool
}

// action is what happens to one entry.
type action struct {
	wanted
	verb   verb
	staged string // the name beside it
	kept   string // the name of what was there
	before before // of an adjusted folder
	begun  bool   // something may lie under the name staged
	done   bool   // published
}

type verb string

const (
	leave   verb = "leave"
	makeDir verb = "make"
	create  verb = "create"
	replace verb = "replace"
	adjust  verb = "adjust" // the mode and owner of a folder that exists
)

func (v verb) said() cofre.Message {
	switch v {
	case makeDir:
		return cofre.Say("files.do_make", "make")
	case create:
		return cofre.Say("files.do_create", "create")
	case replace:
		return cofre.Say("files.do_replace", "replace")
	case adjust:
		return cofre.Say("files.do_adjust", "adjust")
	}
	return cofre.Say("files.do_leave", "leave")
}

// before is what a folder was before it was adjusted.
type before struct {
	mode     uint32
	uid, gid int
}

// Plan compares what is there with what was captured.
func (r *inPlace) Plan(ctx context.Context, c cofre.Component, t cofre.Tree) (*cofre.Plan, error) {
	plan := cofre.NewPlan(cofre.Say("files.plan_in_place", "restore {{.name}} in place", "name", c.Name))
	if err := r.load(ctx, c, t, plan); err != nil {
		return nil, err
	}
	root, err := inside.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	stamp := r.config.Now().UTC().Format("20060102T150405Z")
	left, space := 0, map[uint64]*need{}
	r.bytes = 0
	for _, w := range r.wants {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a := &action{wanted: w, staged: "." + short(path.Base(string(w.Path))) + newMark + r.marked}
		why, problem := r.decide(root, a, space)
		if problem != nil {
			plan.Problems = append(plan.Problems, *problem)
			continue
		}
		r.actions = append(r.actions, a)
		switch a.verb {
		case leave:
			if !w.Parent {
				left++
			}
			continue
		case replace:
			a.kept = "." + short(path.Base(string(w.Path))) + keptMark + stamp + "-" + r.marked
			why = cofre.List(why, cofre.Say("files.old_kept", "the old one kept as {{.path}}", "path", path.Join(path.Dir(string(w.Path)), a.kept)))
		}
		if w.Type == TypeFile {
			r.bytes += w.Size
		}
		plan.Do(a.verb.said(), cofre.Verbatim(string(w.Path)), why)
	}
	for _, n := range space {
		spaceFor(plan, n.where, n.bytes)
	}
	plan.Bytes = r.bytes
	if left > 0 {
		plan.Note(cofre.SayN("files.left_alone", left, "1 entry is as captured already, and left alone", "{{.n}} entries are as captured already, and left alone"))
	}
	if len(r.actions) == 0 && len(plan.Problems) == 0 {
		plan.Refuse(cofre.Say("files.nothing_in_place", "there is nothing to restore in place"), cofre.Message{})
	}
	return plan, nil
}

// Promise says that files are staged beside their places, and that those that are replaced stay there under another name. Folders that
// were given another mode and owner have no copy: the outcome names what they were.
func (r *inPlace) Promise() cofre.Promise {
	p := cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing}
	for _, a := range r.actions {
		if a.verb == replace || a.verb == adjust {
			p.Replaced, p.KeptAt = cofre.ReplacedKept, cofre.Say("restore.files.kept", "each file next to its place, as .NAME{{.mark}}…", "mark", keptMark)
		}
	}
	return p
}

// need is how much room a file system must have.
type need struct {
	where string
	bytes int64
}

// decide says what has to happen to an entry, and why; or what forbids it.
func (r *inPlace) decide(root *inside.Dir, a *action, space map[uint64]*need) (cofre.Message, *cofre.Problem) {
	p := string(a.Path)
	in, missing, err := r.nearest(root, path.Dir(a.relative()))
	if err != nil {
		return refused(cofre.Say("files.not_in_place", "{{.path}} cannot be restored in place: {{.cause}}", "path", p, "cause", err), cofre.Say("files.stands_there", "a link or a file is in the place of a captured folder: move it away, or restore with --to DIR"))
	}
	defer in.Close()
	a.verb = create
	if a.Type == TypeDirectory {
		a.verb = makeDir
	}
	var why cofre.Message
	if !missing {
		st, statErr := in.Stat(path.Base(p))
		switch found := typeOf(st); {
		case errors.Is(statErr, fs.ErrNotExist):
		case statErr != nil:
			return refused(cofre.Say("files.unseen_entry", "{{.path}} cannot be looked at: {{.cause}}", "path", p, "cause", cause(statErr)), mayLook(p))
		case found != a.Type && (found == TypeDirectory || a.Type == TypeDirectory || found == typeSpecial):
			return refused(cofre.Say("files.changed_type", "{{.path}} is {{.now}} now, and was {{.then}}", "path", p, "now", aType(found), "then", aType(a.Type)), cofre.Say("files.move_away", "move it away, or restore with --to DIR"))
		case a.Type == TypeDirectory && a.Parent:
			a.verb = leave
			return cofre.Message{}, nil
		default:
			found, err := differences(in, path.Base(p), a.wanted, nil, a.Type == TypeDirectory)
			if errors.Is(err, fs.ErrPermission) {
				found, err = []cofre.Message{cofre.Say("files.unread", "what is there cannot be read")}, nil
			}
			if err != nil {
				return refused(cofre.Say("files.uncompared", "{{.path}} cannot be compared: {{.cause}}", "path", p, "cause", cause(err)), mayLook(p))
			}
			if a.verb = leave; len(found) == 0 {
				return cofre.Message{}, nil
			}
			for _, m := range found {
				why = cofre.List(why, m)
			}
			if a.verb = replace; a.Type == TypeDirectory {
				a.verb = adjust
				return why, nil
			}
			if across.Mounted(fmt.Sprintf("/proc/self/fd/%d/%s", in.FD(), path.Base(p))) {
				return refused(cofre.Say("files.mounted", "{{.path}} is a mount point and cannot be replaced", "path", p),
					cofre.Say("files.into_mount", "restore it to another folder, and write it from there: cofre restore config POINT --path {{.path}} --to DIR, then cat DIR{{.path}} > {{.path}}", "path", quote(p)))
			}
		}
	}
	if err := unix.Faccessat(in.FD(), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return refused(cofre.Say("files.unwritable", "nothing can be written into {{.folder}}: {{.cause}}", "folder", in.Path(), "cause", err), cofre.Say("files.other_place", "restore as a user who may write there, or into another folder: --to DIR"))
	}
	var st unix.Stat_t
	if unix.Fstat(in.FD(), &st) == nil && a.Type == TypeFile {
		if space[st.Dev] == nil {
			space[st.Dev] = &need{where: in.Path()}
		}
		space[st.Dev].bytes += a.Size
	}
	return why, nil
}

func refused(what, hint cofre.Message) (cofre.Message, *cofre.Problem) {
	p := cofre.NewProblem(what, hint)
	return cofre.Message{}, &p
}

// nearest opens the folder at rel, or the nearest one above it that exists.
func (r *inPlace) nearest(root *inside.Dir, rel string) (in *inside.Dir, missing bool, err error) {
	for {
		in, err := root.Descend(rel, nil)
		if !errors.Is(err, fs.ErrNotExist) || rel == "." {
			return in, missing, err
		}
		rel, missing = path.Dir(rel), true
	}
}

// at runs f in the folder of an entry.
func (a *action) at(root *inside.Dir, f func(in *inside.Dir, name string) error) (err error) {
	in, err := root.Descend(path.Dir(a.relative()), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return f(in, path.Base(a.relative()))
}

// Stage makes the folders that are missing, and brings the bytes beside the files that they replace.
func (r *inPlace) Stage(ctx context.Context, obs cofre.Observer) (err error) {
	progress, ended := r.task(obs, cofre.Say("files.task_restore", "restore files"))
	defer func() { ended(err) }()
	root, err := inside.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	r.claims.in = func(folder string) (t traits.Traits, err error) {
		in, err := root.Descend(folder, nil)
		if err != nil {
			return t, err
		}
		err = t.TryNames(fmt.Sprintf("/proc/self/fd/%d/.", in.FD()))
		return t, errors.Join(err, in.Close())
	}
	var there []*action
	files := 0
	for i, a := range r.actions {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := len(r.damaged)
		folded, err := r.isFolded(a.wanted)
		if folded {
			continue
		}
		if err == nil {
			err = r.stage(ctx, obs, root, a, progress)
		}
		if err != nil {
			r.actions = append(there, r.actions[i:]...) // Discard looks at them
			return fmt.Errorf("restore %s: %w", string(a.Path), err)
		}
		if len(r.damaged) == before {
			there = append(there, a)
			files += isFile(a.wanted)
		}
	}
	r.actions = there
	if err := r.nothing(files); err != nil {
		return err
	}
	for _, w := range slices.Backward(r.madeDirs) {
		lost, err := dressFolder(root, w)
		if err != nil {
			return fmt.Errorf("restore %s: %w", string(w.Path), err)
		}
		r.loses(obs, lost)
	}
	return nil
}

func (r *inPlace) stage(ctx context.Context, obs cofre.Observer, root *inside.Dir, a *action, progress func(string, int64)) error {
	return a.at(root, func(in *inside.Dir, name string) error {
		switch a.verb {
		case makeDir:
			if err := in.Mkdir(name); err != nil {
				return err
			}
			r.madeDirs = append(r.madeDirs, a.wanted)
			return in.Sync()
		case create, replace:
			a.begun = true
			lost, err := bring(ctx, r.tree, in, a.staged, a.wanted, func(n int64) { progress(string(a.Path), n) })
			r.loses(obs, lost)
			_, err = r.without(in, a.staged, a.wanted, err)
			return err
		}
		return nil
	})
}

// Check compares what is staged, and what was left alone, with what was captured.
func (r *inPlace) Check(ctx context.Context, obs cofre.Observer) (_ *cofre.Proof, err error) {
	progress, ended := r.task(obs, cofre.Say("files.task_compare", "compare files"))
	defer func() { ended(err) }()
	root, err := inside.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var c comparing
	for _, a := range r.actions {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if a.verb == adjust || (a.verb == leave && a.Parent) {
			continue
		}
		err := a.at(root, func(in *inside.Dir, name string) error {
			if a.verb == create || a.verb == replace {
				name = a.staged
			}
			found, err := differences(in, name, a.wanted, r.lost, a.Type == TypeDirectory)
			c.add(a.wanted, found)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", string(a.Path), err)
		}
		progress(string(a.Path), a.Size)
	}
	return c.proof(len(r.lost)), nil
}

// Publish renames every staged file to its name, after a second name was given to what it replaces. At any
// moment, a crash included, each path is the old file or the new one, whole. An error takes everything back.
func (r *inPlace) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.published { // what fails then must not take the first time back
		return nil, fmt.Errorf("publish %s: %w: it is published", r.config.Name, cofre.ErrRefused)
	}
	root, err := inside.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for _, a := range r.actions {
		if err := a.publish(root); err != nil {
			err = fmt.Errorf("publish %s: %w", string(a.Path), err)
			return nil, errors.Join(err, r.takeBack(root))
		}
	}
	r.published = true
	// The files are in; what is left is that the folders show the times that they had.
	for _, w := range slices.Backward(r.madeDirs) {
		if _, err := dressFolder(root, w); err != nil {
			return nil, fmt.Errorf("publish %s: %w", string(w.Path), err)
		}
	}
	return r.outcome(), nil
}

func (a *action) publish(root *inside.Dir) error {
	switch a.verb {
	case create:
		return a.at(root, func(in *inside.Dir, name string) error {
			if err := renameNew(in, a.staged, name); err != nil {
				return err
			}
			a.done = true
			return in.Sync()
		})
	case replace:
		return a.at(root, func(in *inside.Dir, name string) error {
			// A second name, so that the first is never missing. If links are forbidden (another owner's file,
			// see protected_hardlinks in proc(5); a file system without any) the old file moves away instead.
			if err := in.Link(name, a.kept); err != nil {
				if err := in.Rename(name, a.kept); err != nil {
					return err
				}
			}
			a.done = true
			if err := in.Rename(a.staged, name); err != nil {
				return err
			}
			return in.Sync()
		})
	case adjust:
		return a.at(root, func(in *inside.Dir, name string) error {
			st, err := in.Stat(name)
			if err != nil {
				return err
			}
			a.before, a.done = before{st.Mode & 0o7777, int(st.Uid), int(st.Gid)}, true
			d, err := in.Open(name)
			if err != nil {
				return err
			}
			if _, err = dress(d, a.wanted); err == nil {
				err = durable.Sync(d)
			}
			return errors.Join(err, d.Close())
		})
	}
	return nil
}

// renameNew renames to a name that nothing has: not even what another program made a moment ago.
func renameNew(d *inside.Dir, from, to string) error {
	err := unix.Renameat2(d.FD(), from, d.FD(), to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return d.Wrap("rename", from, err)
	}
	// A file system that cannot promise it.
	if taken, err := d.Exists(to); err != nil || taken {
		return errors.Join(err, d.Wrap("rename", to, unix.EEXIST))
	}
	return d.Rename(from, to)
}

// takeBack undoes what was published, newest first.
func (r *inPlace) takeBack(root *inside.Dir) error {
	var errs []error
	for _, a := range slices.Backward(r.actions) {
		if !a.done {
			continue
		}
		err := a.at(root, func(in *inside.Dir, name string) error {
			switch a.verb {
			case create:
				return in.Remove(name)
			case adjust:
				return errors.Join(
					in.Do("chown", name, func() error {
						return unix.Fchownat(in.FD(), name, a.before.uid, a.before.gid, unix.AT_SYMLINK_NOFOLLOW)
					}),
					in.Do("chmod", name, func() error { return unix.Fchmodat(in.FD(), name, a.before.mode, 0) }))
			default:
				if err := in.Rename(a.kept, name); err != nil {
					return err
				}
				// Two names of one file: rename(2) leaves both.
				if still, err := in.Exists(a.kept); err != nil || !still {
					return err
				}
				return in.Remove(a.kept)
			}
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("take back %s: %w", string(a.Path), err))
		}
		a.done = err != nil
	}
	if len(errs) > 0 {
		return cofre.WithHint(errors.Join(errs...), cofre.Say("files.beside", "the files that were replaced are next to them, as .NAME{{.mark}}…", "mark", keptMark))
	}
	return nil
}

func (r *inPlace) outcome() *cofre.Outcome {
	o := &cofre.Outcome{Left: append(r.left(), r.folded...)}
	counts := map[verb]int{}
	var drop []string
	for _, a := range r.actions {
		if a.verb != leave || !a.Parent {
			counts[a.verb]++
		}
		if a.verb == replace {
			kept := path.Join(path.Dir(string(a.Path)), a.kept)
			o.Keeps(cofre.ThingFile, string(a.Path), kept, cofre.Say("files.kept_as", "{{.path}} as {{.kept}}", "path", string(a.Path), "kept", kept))
			drop = append(drop, quote(kept))
		}
		if a.verb == adjust {
			o.Keeps(cofre.ThingMode, string(a.Path), "", cofre.Say("restore.files.was", "{{.path}}: mode {{.mode}}, owner {{.uid}}:{{.gid}} before", "path", string(a.Path),
				"mode", fmt.Sprintf("%04o", a.before.mode), "uid", a.before.uid, "gid", a.before.gid))
		}
	}
	o.Done = inPlaceDone(counts[create]+counts[makeDir], counts[replace]+counts[adjust], counts[leave])
	r.lookElsewhere(o)
	r.foldedElsewhere(o)
	if len(drop) > 0 {
		command := "rm " + strings.Join(drop, " ")
		o.Then(cofre.DoDropKept, command, cofre.Verbatim(command))
	}
	return o
}

func inPlaceDone(created, replaced, left int) cofre.Message {
	var all cofre.Message
	for _, m := range []cofre.Message{
		cofre.SayN("files.created", created, "1 entry created", "{{.n}} entries created"),
		cofre.SayN("files.replaced", replaced, "1 entry replaced", "{{.n}} entries replaced"),
		cofre.SayN("files.left_as_is", left, "1 entry left as it was", "{{.n}} entries left as they were"),
	} {
		if m.Args[cofre.CountArg] != int64(0) {
			all = cofre.List(all, m)
		}
	}
	return cofre.Say("files.in_place", "in place: {{.what}}", "what", all)
}

// quote makes one word of a path for a shell.
func quote(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+=@%:,", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Discard removes what is still staged, and the folders that Stage made if they are empty.
func (r *inPlace) Discard(context.Context) error {
	if r.published {
		return nil
	}
	root, err := inside.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	var errs []error
	ignore := func(err error, harmless ...error) {
		for _, h := range append(harmless, fs.ErrNotExist) {
			if errors.Is(err, h) {
				return
			}
		}
		errs = append(errs, err)
	}
	for _, a := range r.actions {
		if a.begun {
			if err := a.at(root, func(in *inside.Dir, _ string) error { return in.Remove(a.staged) }); err != nil {
				ignore(err)
			}
		}
	}
	for _, w := range slices.Backward(r.madeDirs) {
		a := action{wanted: w}
		if err := a.at(root, (*inside.Dir).Rmdir); err != nil {
			ignore(err, unix.ENOTEMPTY)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return cofre.WithHint(fmt.Errorf("discard the restore in place: %w", errors.Join(errs...)), cofre.Say("files.remove_staged", "files that end in {{.mark}}{{.id}} may be removed by hand", "mark", newMark, "id", r.marked))
}
