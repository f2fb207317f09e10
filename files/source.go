package files

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/internal/inside"
)

// Config says which files make up the configuration of an installation.
type Config struct {
	Installation string
	Name         string   // of the source; "config" if empty
	Paths        []string // absolute paths and patterns (*, ?, [], **)
	Exclude      []string // patterns: of a whole path if they hold a slash, of a name otherwise
	// Never are folders that are not captured, whatever Paths say: the repository itself, cofre's own state. One that
	// lies in a configured folder is named in a warning; a configured path that lies in one makes the component partial.
	Never []Never
	// Extra yields what is no file of this machine. What it cannot yield makes the component partial.
	Extra func(ctx context.Context) ([]Virtual, error)
}

// Never is a folder that no configuration component holds.
type Never struct {
	Path string
	What cofre.Message // what it is
}

// Virtual is an entry that no file of this machine holds: the configuration of a server, read over SQL.
type Virtual struct {
	Path  string // relative, clean: postgresql/postgresql.conf
	Bytes []byte
}

// Source captures configuration files.
type Source struct{ config Config }

// NewSource makes a source. Nothing is looked at before Capture or Doctor.
func NewSource(c Config) *Source {
	if c.Name == "" {
		c.Name = "config"
	}
	return &Source{c}
}

// ID identifies the source.
func (s *Source) ID() cofre.SourceID {
	return cofre.SourceID{Installation: s.config.Installation, Kind: cofre.KindConfig, Name: s.config.Name}
}

// Capture reads every configured file once, whole.
//
// Errors: nothing to capture at all (cofre.ErrNotFound, with a hint, if a configured path does not exist); what the
// session says. What cannot be captured beside other files makes the component partial instead, and is a finding by name.
func (s *Source) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	found, err := s.look()
	if err != nil {
		return cofre.Captured{}, err
	}
	extra, extraErr := s.extra(ctx)
	if extraErr != nil {
		found.missing(VirtualDir, cofre.SayError(extraErr))
	}
	if found.taken() == 0 && len(extra) == 0 {
		return cofre.Captured{}, found.nothing()
	}
	began := cofre.Event{Type: cofre.TypeTaskBegan, Source: s.ID(), Unit: cofre.UnitBytes, Total: found.bytes}.Doing(cofre.Say("files.task_read", "read files"))
	w := &writing{capture: c, found: found, event: began}
	w.observe(began)
	err = w.all(ctx, extra)
	ended := began
	ended.Type, ended.Err, ended.Done = cofre.TypeTaskEnded, err, w.done
	w.observe(ended)
	if err != nil {
		return cofre.Captured{}, err
	}
	summary, err := json.Marshal(w.facts.Summary)
	out := cofre.Captured{Facts: summary, Findings: found.findings, Partial: found.partial}
	for _, m := range found.warnings {
		w.observe(cofre.Event{Type: cofre.TypeWarning, Source: s.ID()}.Saying(m))
		out.Warn(m)
	}
	return out, err
}

func (s *Source) extra(ctx context.Context) ([]Virtual, error) {
	if s.config.Extra == nil {
		return nil, nil
	}
	return s.config.Extra(ctx)
}

// Doctor looks at each configured path.
//
// Errors: the error of ctx. What is wrong with a path is a diagnosis.
func (s *Source) Doctor(ctx context.Context) ([]cofre.Diagnosis, error) {
	var list []cofre.Diagnosis
	for _, p := range s.config.Paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		one := Source{s.config}
		one.config.Paths = []string{p}
		found, err := one.look()
		list = append(list, one.diagnose(p, found, err))
	}
	whole, err := s.look()
	if err != nil {
		return list, nil // said above, by its path
	}
	for _, pattern := range whole.unmatched() {
		if slices.Contains(s.config.Exclude, pattern) {
			list = append(list, cofre.NewDiagnosis(cofre.Verbatim("config exclude "+pattern), true, cofre.Say("files.no_match", "nothing matches now"), cofre.Message{}))
		}
	}
	return list, nil
}

func (s *Source) diagnose(path string, found *found, err error) cofre.Diagnosis {
	subject := cofre.Verbatim("config " + path)
	switch {
	case err != nil:
		return cofre.NewDiagnosis(subject, false, cofre.SayError(err), cofre.HintOf(err))
	case found.absent != nil:
		return cofre.NewDiagnosis(subject, false, cofre.SayError(found.absent), cofre.HintOf(found.absent))
	case len(found.findings) > 0:
		return cofre.NewDiagnosis(subject, false, found.named(), cofre.Say("files.unreadable", "run cofre as a user who may read it, or leave it out with config.exclude"))
	case found.taken() == 0:
		return cofre.NewDiagnosis(subject, true, cofre.Say("files.no_match", "nothing matches now"), cofre.Message{})
	}
	return cofre.NewDiagnosis(subject, true, cofre.SayN("files.found", found.files(), "1 file, {{.bytes}} bytes", "{{.n}} files, {{.bytes}} bytes", "bytes", found.bytes), cofre.Message{})
}

// found is what there is to capture, by its real path.
type found struct {
	config   Config
	exclude  excludes
	entries  map[string]*Fact
	links    map[string]string // of captured links, to what they lead to
	bytes    int64
	warnings []cofre.Message
	findings []cofre.Finding
	absent   error           // of the first configured path that does not exist
	matched  map[string]bool // patterns, of paths and exclusions, that matched something
	never    []Never         // by their real paths too
	partial  bool
	summary  Summary
	users    map[uint32]string
	groups   map[uint32]string
}

// maxNamed bounds what the catalog names of a component; the findings of the point name everything.
const maxNamed = 100

// missing records something that should be in the component and is not.
func (f *found) missing(object string, why cofre.Message) {
	f.partial = true
	f.summary.Unreadable++
	f.find(object, why)
}

func (f *found) find(object string, why cofre.Message) {
	f.findings = append(f.findings, cofre.Finding{Object: strings.ToValidUTF8(object, "\uFFFD")}.Saying(why))
	if len(f.summary.Missing) < maxNamed {
		f.summary.Missing = append(f.summary.Missing, MissingFact{Name(object), why.Text, why})
	}
}

func (f *found) warn(m cofre.Message) {
	// A link may lead there, more than once.
	if !slices.ContainsFunc(f.warnings, func(w cofre.Message) bool { return w.Text == m.Text }) {
		f.warnings = append(f.warnings, m)
	}
}

func byText(a, b cofre.Message) int { return strings.Compare(a.Text, b.Text) }

// named is what the findings say, in one line.
func (f *found) named() cofre.Message {
	var all cofre.Message
	for _, x := range f.findings {
		all = cofre.List(all, cofre.Say("files.named", "{{.path}}: {{.why}}", "path", x.Object, "why", x.Messages.Of(x.What)))
	}
	return all
}

// taken is how many entries there are because they were asked for.
func (f *found) taken() int {
	n := 0
	for _, e := range f.entries {
		if !e.Parent {
			n++
		}
	}
	return n
}

// nothing says why there is nothing to capture.
func (f *found) nothing() error {
	if f.absent != nil {
		return fmt.Errorf("capture %s: %w", f.config.Name, f.absent)
	}
	why := f.named()
	for _, w := range f.warnings {
		why = cofre.List(why, w)
	}
	if why.IsZero() {
		why = cofre.Say("files.no_match", "nothing matches now")
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("files.nothing_to_read", "capture {{.name}}: nothing to read: {{.why}}", "name", f.config.Name, "why", why)),
		cofre.Say("files.paths", "check config.paths and the rights of the user that cofre runs as"))
}

// unmatched lists the configured patterns that matched nothing, exclusions too.
func (f *found) unmatched() []string {
	var none []string
	for _, p := range slices.Concat(f.config.Paths, f.config.Exclude) {
		if (isPattern(p) || slices.Contains(f.config.Exclude, p)) && !f.matched[p] {
			none = append(none, p)
		}
	}
	return none
}

func (f *found) files() int {
	n := 0
	for _, e := range f.entries {
		if e.Type == TypeFile {
			n++
		}
	}
	return n
}

// look walks the configured paths without reading a file.
func (s *Source) look() (*found, error) {
	f := &found{
		config: s.config, exclude: s.config.Exclude, entries: map[string]*Fact{}, links: map[string]string{},
		users: map[uint32]string{}, groups: map[uint32]string{}, matched: map[string]bool{}, never: real(s.config.Never),
	}
	for _, pattern := range s.config.Paths {
		if !path.IsAbs(pattern) || path.Clean(pattern) == "/" {
			return nil, fmt.Errorf("capture %s: %q is no absolute path of a file or a folder: %w", s.config.Name, pattern, cofre.ErrConfig)
		}
		matches, err := expand(pattern)
		if err != nil {
			f.missing(pattern, cofre.Say("files.pattern_unfollowed", "the pattern cannot be followed: {{.cause}}", "cause", err))
		}
		f.matched[pattern] = len(matches) > 0
		for _, p := range matches {
			f.configured(pattern, p)
		}
	}
	f.summary.Unmatched = f.unmatched()
	for link, target := range f.links {
		if _, err := os.Lstat(target); err == nil && f.entries[target] == nil {
			f.warn(cofre.Say("files.link_out", "link {{.link}} leads to {{.target}}, which config.paths does not name: its content is not in the backup", "link", link, "target", target))
		}
	}
	slices.SortFunc(f.warnings, byText)
	return f, nil
}

// configured captures one path that a pattern names.
func (f *found) configured(pattern, p string) {
	if n, in := f.within(p); in {
		f.missing(p, cofre.Say("files.within", "lies in {{.folder}}, which is {{.what}} and never captured", "folder", n.Path, "what", n.What))
		return
	}
	err := f.top(p, 0)
	if errors.Is(err, fs.ErrNotExist) && !isPattern(pattern) {
		absent := cofre.WithHint(cofre.Fail(cofre.Say("files.path", "path {{.path}}", "path", p), cofre.ErrNotFound), cofre.Say("files.pattern", "correct config.paths, or if the file may be missing, write a pattern: {{.path}}*", "path", p))
		f.absent = cmp.Or(f.absent, absent)
		f.missing(p, cofre.Say("files.absent", "does not exist"))
		return
	}
	if err != nil {
		f.missing(p, cofre.SayError(cause(err)))
	}
}

// real adds the real paths of folders that a symbolic link leads to.
func real(never []Never) []Never {
	all := make([]Never, 0, len(never))
	for _, n := range never {
		n.Path = path.Clean(n.Path)
		all = append(all, n)
		if to, err := filepath.EvalSymlinks(n.Path); err == nil && to != n.Path {
			all = append(all, Never{to, n.What})
		}
	}
	return all
}

// within returns the folder that is never captured and that p is, or lies in.
func (f *found) within(p string) (Never, bool) {
	for _, n := range f.never {
		if p == n.Path || strings.HasPrefix(p, n.Path+"/") {
			return n, true
		}
	}
	return Never{}, false
}

// cause is the reason alone: the path is said by the caller.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func notADirectory(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// top captures a configured path. Links on the way to it, and at its end, are kept and followed: what the
// path names is what the operator wants back.
func (f *found) top(p string, followed int) error {
	if followed > 40 { // as the kernel, which gives up after 40 (path_resolution(7))
		return syscall.ELOOP
	}
	at := "/"
	parts := strings.Split(strings.Trim(p, "/"), "/")
	for i, part := range parts {
		at = path.Join(at, part)
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		last := i == len(parts)-1
		if info.Mode()&fs.ModeSymlink != 0 {
			if err := f.entry(at, info); err != nil {
				return err
			}
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(at), target)
			}
			err = f.top(path.Join(append([]string{target}, parts[i+1:]...)...), followed+1)
			if last && errors.Is(err, fs.ErrNotExist) {
				return nil // a dangling link is a link
			}
			return err
		}
		if last {
			return f.walk(at, info)
		}
		f.parent(at, info)
	}
	return nil
}

// walk captures p and everything below it.
func (f *found) walk(p string, info fs.FileInfo) error {
	if f.left(p) {
		return nil
	}
	if err := f.entry(p, info); err != nil || !info.IsDir() {
		return err
	}
	children, err := inside.List(p)
	if err != nil {
		return err
	}
	for _, child := range children {
		name, err := path.Join(p, child.Name), child.Err
		if err == nil {
			err = f.walk(name, child.Info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // what is deleted meanwhile is no loss
			f.missing(name, cofre.SayError(cause(err)))
		}
	}
	return nil
}

// left reports whether p is not to be captured. The copies that a restore in place keeps are not either.
func (f *found) left(p string) bool {
	if pattern, ok := f.exclude.match(p); ok {
		f.matched[pattern] = true
		f.summary.Excluded++
		return true
	}
	if n, in := f.within(p); in {
		f.warn(cofre.Say("files.left_out", "left out: {{.path}}, which is {{.what}}", "path", p, "what", n.What))
		return true
	}
	return isKept(path.Base(p))
}

// parent records a directory on the way to what is captured.
func (f *found) parent(p string, info fs.FileInfo) {
	if f.entries[p] == nil {
		e := f.describe(p, info)
		e.Type, e.Parent = TypeDirectory, true
		f.entries[p] = e
	}
}

func (f *found) entry(p string, info fs.FileInfo) error {
	if known := f.entries[p]; known != nil && !known.Parent {
		return nil
	}
	e := f.describe(p, info)
	switch info.Mode().Type() {
	case 0:
		e.Type, e.Size = TypeFile, info.Size()
		f.bytes += e.Size
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			e.Sparse = st.Blocks*512 < st.Size
		}
	case fs.ModeDir:
		e.Type = TypeDirectory
	case fs.ModeSymlink:
		target, err := inside.ReadlinkStraight(p)
		if err != nil {
			return err
		}
		e.Type, e.Link = TypeLink, Name(target)
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(p), target)
		}
		f.links[p] = path.Clean(target)
	default:
		f.summary.Skipped++
		f.find(p, cofre.Say("files.special", "{{.what}}, which is no file and not captured: leave it out with config.exclude", "what", special(info.Mode())))
		return nil
	}
	f.entries[p] = e
	// The way to p, for entries that a link led to.
	for dir := path.Dir(p); dir != "/" && f.entries[dir] == nil; dir = path.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			f.parent(dir, info)
		}
	}
	return nil
}

func special(m fs.FileMode) cofre.Message {
	switch {
	case m&fs.ModeSocket != 0:
		return cofre.Say("files.a_socket", "a socket")
	case m&fs.ModeNamedPipe != 0:
		return cofre.Say("files.a_pipe", "a pipe")
	case m&fs.ModeDevice != 0:
		return cofre.Say("files.a_device", "a device")
	}
	return aType(typeSpecial)
}

func (f *found) describe(p string, info fs.FileInfo) *Fact {
	e := &Fact{Path: Name(p), ModTime: sane(info.ModTime().UTC())}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Mode, e.UID, e.GID = UnixMode(st.Mode&0o7777), st.Uid, st.Gid
		e.User, e.Group = f.user(st.Uid), f.group(st.Gid)
	}
	return e
}

func (f *found) user(id uint32) string {
	if name, ok := f.users[id]; ok {
		return name
	}
	if u, err := user.LookupId(strconv.FormatUint(uint64(id), 10)); err == nil {
		f.users[id] = u.Username
	}
	return f.users[id]
}

func (f *found) group(id uint32) string {
	if name, ok := f.groups[id]; ok {
		return name
	}
	if g, err := user.LookupGroupId(strconv.FormatUint(uint64(id), 10)); err == nil {
		f.groups[id] = g.Name
	}
	return f.groups[id]
}

// writing puts what was found into the session.
type writing struct {
	capture *cofre.Capture
	found   *found
	event   cofre.Event

	mu    sync.Mutex // guards what follows, and found's warnings
	done  int64
	facts Facts
}

func (w *writing) observe(e cofre.Event) {
	e.At = time.Now()
	w.capture.Observer.Observe(e)
}

func (w *writing) all(ctx context.Context, extra []Virtual) error {
	w.facts = Facts{Format: 1, Summary: w.found.summary}
	group, reading := guard.WithContext(ctx)
	group.SetLimit(max(1, w.capture.Jobs))
	for _, e := range w.found.entries {
		group.Go(func() error {
			if err := reading.Err(); err != nil {
				return err
			}
			return w.entry(reading, e)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, v := range extra {
		if err := w.virtual(ctx, v); err != nil {
			return err
		}
	}
	slices.SortFunc(w.found.warnings, byText)
	slices.SortFunc(w.found.findings, func(a, b cofre.Finding) int { return strings.Compare(a.Object, b.Object) })
	w.facts.Unreadable, w.facts.Missing = w.found.summary.Unreadable, w.found.summary.Missing
	slices.SortFunc(w.facts.Entries, func(a, b Fact) int { return strings.Compare(a.tree(), b.tree()) })
	text, err := json.MarshalIndent(w.facts, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.capture.Session.Put(ctx, cofre.Entry{Path: FactsFile, Layout: cofre.LayoutFacts, Mode: 0o600, ModTime: time.Now(), Size: int64(len(text))}, bytes.NewReader(text))
	return err
}

func (w *writing) entry(ctx context.Context, e *Fact) error {
	switch e.Type {
	case TypeFile:
		return w.file(ctx, e)
	case TypeDirectory:
		if err := w.attributes(string(e.Path), e); err != nil {
			w.missing(string(e.Path), cofre.Say("files.xattrs_unread", "extended attributes: {{.cause}}", "cause", cause(err)))
		}
	}
	if err := w.capture.Session.Add(ctx, w.treeEntry(e)); err != nil {
		return fmt.Errorf("store %s: %w", string(e.Path), err)
	}
	w.add(*e)
	return nil
}

func (w *writing) treeEntry(e *Fact) cofre.Entry {
	mode := fs.FileMode(e.Mode & 0o777)
	for bit, flag := range map[UnixMode]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if e.Mode&bit != 0 {
			mode |= flag
		}
	}
	switch e.Type {
	case TypeDirectory:
		mode |= fs.ModeDir
	case TypeLink:
		mode |= fs.ModeSymlink
	}
	return cofre.Entry{Path: e.tree(), Mode: mode, ModTime: e.ModTime, UID: e.UID, GID: e.GID, Size: e.Size, Link: string(e.Link)}
}

func (w *writing) add(e Fact) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts.Entries = append(w.facts.Entries, e)
	switch {
	case e.Virtual:
		w.facts.Virtual++
	case e.Type == TypeFile:
		w.facts.Files++
	case e.Type == TypeLink:
		w.facts.Links++
	case !e.Parent:
		w.facts.Directories++
	}
	w.facts.Bytes += e.Size
	w.done += e.Size
	progress := w.event
	progress.Type, progress.Item, progress.Done = cofre.TypeTaskProgress, string(e.Path), w.done
	w.observe(progress)
}

func (w *writing) missing(object string, why cofre.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found.missing(object, why)
}

func (w *writing) virtual(ctx context.Context, v Virtual) error {
	e := Fact{Path: Name(v.Path), Virtual: true, Type: TypeFile, Mode: 0o600, ModTime: time.Now().UTC(), Size: int64(len(v.Bytes)), SHA256: sum(v.Bytes)}
	if err := e.wrong(); err != nil {
		return fmt.Errorf("store %q: %w", v.Path, err)
	}
	if _, err := w.capture.Session.Put(ctx, w.treeEntry(&e), bytes.NewReader(v.Bytes)); err != nil {
		return fmt.Errorf("store %s: %w", v.Path, err)
	}
	w.add(e)
	return nil
}
