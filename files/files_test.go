package files_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/xattr"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/repository/repositorytest"
	"golang.org/x/sys/unix"
)

// captured is a component with the repository that holds it.
type captured struct {
	findings  []cofre.Finding
	repo      *repositorytest.Memory
	component cofre.Component
	tree      cofre.Tree
	events    []cofre.Event
}

func capture(t *testing.T, c files.Config) captured {
	t.Helper()
	got, err := tryCapture(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// tryCapture captures through a session that wrap may change.
func tryCapture(t *testing.T, c files.Config, wrap func(cofre.Session) cofre.Session) (captured, error) {
	t.Helper()
	ctx := t.Context()
	got := captured{repo: repositorytest.NewMemory()}
	c.Installation = "trustlayer"
	source := files.NewSource(c)
	session, err := got.repo.Begin(ctx, source.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(ctx)
	into := session
	if wrap != nil {
		into = wrap(session)
	}
	what, err := source.Capture(ctx, &cofre.Capture{Session: into, Jobs: 4, Observer: cofre.ObserverFunc(func(e cofre.Event) { got.events = append(got.events, e) })})
	if err != nil {
		return got, err
	}
	content, err := session.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got.findings = what.Findings
	got.component = cofre.Component{Kind: cofre.KindConfig, Name: "config", Content: content, Facts: what.Facts, Warnings: what.Warnings, Partial: what.Partial}
	if got.tree, err = got.repo.Tree(ctx, content.Root); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

// restore carries out a restore, and fails the test where it is not possible or not proven.
func restore(t *testing.T, from captured, to files.TargetConfig) *cofre.Outcome {
	t.Helper()
	ctx := t.Context()
	target := files.NewTarget(to)
	plan, err := target.Plan(ctx, from.component, from.tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Problems) > 0 {
		t.Fatalf("problems: %+v", plan.Problems)
	}
	if err := target.Stage(ctx, cofre.Discard); err != nil {
		t.Fatal(errors.Join(err, target.Discard(ctx)))
	}
	proof, err := target.Check(ctx, cofre.Discard)
	if err != nil || !proof.Holds() {
		t.Fatalf("not proven: %v %+v", err, proof)
	}
	outcome, err := target.Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Discard(ctx); err != nil {
		t.Fatal(err)
	}
	return outcome
}

func problems(t *testing.T, from captured, to files.TargetConfig) string {
	t.Helper()
	target := files.NewTarget(to)
	plan, err := target.Plan(t.Context(), from.component, from.tree)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range plan.Problems {
		list = append(list, p.What+" ("+p.Hint+")")
	}
	return strings.Join(list, "\n")
}

// describe says everything about a tree: type, mode, owner, time, attributes, link, content. Times of
// directories are left out where the test writes into them.
func describe(t *testing.T, root string, directoryTimes bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || directoryTimes {
			text += fmt.Sprintf(" %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += " -> " + target
		case unix.S_IFREG:
			f, err := os.Open(p)
			if err != nil {
				text += " unreadable"
				break
			}
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return err
			}
			text += fmt.Sprintf(" %d bytes %x", st.Size, h.Sum(nil)[:6])
			fallthrough
		case unix.S_IFDIR:
			names, err := xattr.LList(p)
			if err != nil {
				return err
			}
			slices.Sort(names)
			for _, n := range names {
				v, err := xattr.LGet(p, n)
				if err != nil {
					return err
				}
				text += fmt.Sprintf(" %s=%x", n, v)
			}
		}
		rel, _ := filepath.Rel(root, p)
		all[rel] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, p, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// installation makes a tree with everything that a file system can say about files.
func installation(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "opt")
	fill(t, root)
	return root
}

func fill(t *testing.T, root string) {
	t.Helper()
	write(t, root+"/.env", "DB_PASSWORD=senha\n", 0o600)
	write(t, root+"/bin/helper", "#!/bin/sh\n", fs.ModeSetuid|fs.ModeSetgid|0o755)
	write(t, root+"/closed", "nobody reads this\n", 0)
	write(t, root+"/empty", "", 0o644)
	write(t, root+"/ção é ü 日本.conf", "unicode\n", 0o640)
	write(t, root+"/two\nlines \t'and' \"quotes\"", "newline\n", 0o644)
	write(t, root+"/not utf8 \xff\xfe", "bytes\n", 0o644)
	write(t, root+"/.certs/key.pem", "-----BEGIN", 0o400)
	write(t, root+"/large", strings.Repeat("0123456789abcdef", 400<<10), 0o644) // 6.25 MiB
	must(t, os.MkdirAll(root+"/empty folder", 0o750))
	must(t, os.Chmod(root+"/empty folder", 0o1777))
	must(t, os.Symlink("nowhere/at all", root+"/dangling"))
	must(t, os.Symlink(".env", root+"/link"))
	must(t, os.Symlink(".certs", root+"/certs"))
	sparse, err := os.Create(root + "/sparse")
	must(t, err)
	_, err = sparse.WriteAt([]byte("in the middle"), 5<<20)
	must(t, err)
	must(t, sparse.Truncate(20<<20))
	must(t, sparse.Close())
	must(t, xattr.Set(root+"/.env", "user.comment", []byte{0, 1, 0xff}))
	must(t, xattr.Set(root+"/bin", "user.folder", []byte("yes")))
	if os.Geteuid() == 0 {
		must(t, os.Lchown(root+"/.env", 33, 4321))
		must(t, os.Lchown(root+"/link", 33, 33))
		must(t, os.Chown(root+"/.certs", 12345, 12346))
	}
	at := time.Date(2019, 2, 3, 4, 5, 6, 789_012_345, time.UTC)
	ts := unix.NsecToTimespec(at.UnixNano())
	for _, name := range []string{"/dangling", "/.env", "/large", "/bin/helper", "/bin", "/certs"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, root+name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func TestFilesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	root := installation(t)
	before := describe(t, root, true)
	from := capture(t, files.Config{Paths: []string{root}})
	if os.Geteuid() == 0 && (from.component.Partial || len(from.component.Warnings) > 0) {
		t.Errorf("warnings: %q", from.component.Warnings)
	}

	to := filepath.Join(t.TempDir(), "new", "restored")
	outcome := restore(t, from, files.TargetConfig{To: to})
	if outcome.Restored != to {
		t.Errorf("restored to %s", outcome.Restored)
	}
	after := describe(t, filepath.Join(to, root), true)
	if os.Geteuid() != 0 {
		delete(before, "closed") // unreadable, and so not captured
		delete(before, ".")      // whose time it was made at
		delete(after, ".")
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what came back differs (-before +after):\n%s", diff)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, root, "sparse"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", st.Blocks*512)
	}
	must(t, unix.Stat(to, &st))
	if st.Mode&0o777 != 0o700 {
		t.Errorf("the folder is open to others: %o", st.Mode)
	}
}

func TestInPlaceReplacesWhatDiffersAndKeepsIt(t *testing.T) {
	t.Parallel()
	root := installation(t)
	before := describe(t, root, false)
	from := capture(t, files.Config{Paths: []string{root}})
	if os.Geteuid() != 0 {
		t.Skip("needs root: a user cannot give files away")
	}
	write(t, root+"/.env", "broken", 0o666)
	must(t, os.Remove(root+"/link"))
	must(t, os.RemoveAll(root+"/.certs"))
	must(t, os.Chmod(root+"/bin", 0o777))
	must(t, os.Remove(root+"/dangling"))
	must(t, os.Symlink("elsewhere", root+"/dangling"))
	write(t, root+"/new", "stays\n", 0o644)

	outcome := restore(t, from, files.TargetConfig{})
	if len(outcome.Kept) != 3 || !strings.HasSuffix(outcome.Kept[1].Said.Text, "/bin: mode 0777, owner "+fmt.Sprintf("%d:%d before", os.Getuid(), os.Getgid())) || len(outcome.Next) != 1 {
		t.Errorf("kept %q, next %q", outcome.Kept, outcome.Next)
	}
	after := describe(t, root, false)
	var kept []string
	for name := range after {
		if strings.Contains(name, ".cofre-kept-") {
			kept = append(kept, name)
			delete(after, name)
		} else if strings.Contains(name, ".cofre-") {
			t.Errorf("left behind: %s", name)
		}
	}
	if after["new"] == "" {
		t.Error("a file that was not captured is gone")
	}
	delete(after, "new")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what came back differs (-before +after):\n%s", diff)
	}
	if len(kept) != 2 {
		t.Errorf("kept: %q", kept)
	}
	for _, name := range kept {
		if text, err := os.ReadFile(filepath.Join(root, name)); err == nil && string(text) != "broken" {
			t.Errorf("%s holds %q", name, text)
		}
	}
	// What is restored is equal, and what is kept is no part of the next backup.
	if o := restore(t, from, files.TargetConfig{}); len(o.Kept) != 0 {
		t.Errorf("a second restore replaced %q", o.Kept)
	}
	must(t, exec.Command("sh", "-c", outcome.Next[0].Command).Run())
	if left, _ := filepath.Glob(root + "/.*cofre-kept*"); len(left) > 0 {
		t.Errorf("the command printed left %q", left)
	}
}

func TestAnErrorWhilePublishingTakesEverythingBack(t *testing.T) {
	t.Parallel()
	root := installation(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: a user cannot give files away")
	}
	from := capture(t, files.Config{Paths: []string{root}})
	write(t, root+"/.env", "mine", 0o644)
	must(t, os.Chmod(root+"/bin", 0o700))
	must(t, os.Remove(root+"/two\nlines \t'and' \"quotes\""))
	before := describe(t, root, false)

	target := files.NewTarget(files.TargetConfig{})
	ctx := t.Context()
	if _, err := target.Plan(ctx, from.component, from.tree); err != nil {
		t.Fatal(err)
	}
	must(t, target.Stage(ctx, cofre.Discard))
	if proof, err := target.Check(ctx, cofre.Discard); err != nil || !proof.Holds() {
		t.Fatal(err, proof)
	}
	// What was missing when it was planned is there when it is published.
	write(t, root+"/two\nlines \t'and' \"quotes\"", "another program was here", 0o644)
	if _, err := target.Publish(ctx); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("publish gave %v", err)
	}
	must(t, target.Discard(ctx))
	must(t, os.Remove(root+"/two\nlines \t'and' \"quotes\""))
	if diff := cmp.Diff(before, describe(t, root, false)); diff != "" {
		t.Errorf("not as before (-before +after):\n%s", diff)
	}
}

func TestPatternsAndExclusions(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"a.conf", "a.log", "sites/b.conf", "sites/deep/er/c.conf", "sites/deep/skip/d.conf", "[x]/e.conf", "repo/blob", ".hidden.cofre-kept-1"} {
		write(t, filepath.Join(root, name), name, 0o644)
	}
	for _, test := range []struct {
		name           string
		paths, exclude []string
		want           []string
	}{
		{"everything", []string{""}, nil, []string{"[x]/e.conf", "a.conf", "a.log", "sites/b.conf", "sites/deep/er/c.conf", "sites/deep/skip/d.conf"}},
		{"names excluded", []string{""}, []string{"*.log", "deep"}, []string{"[x]/e.conf", "a.conf", "sites/b.conf"}},
		{"path excluded", []string{"/sites"}, []string{"**/skip"}, []string{"sites/b.conf", "sites/deep/er/c.conf"}},
		{"star", []string{"/*.conf"}, nil, []string{"a.conf"}},
		{"two stars", []string{"/**/*.conf"}, []string{root + "/sites/deep/**"}, []string{"[x]/e.conf", "a.conf", "sites/b.conf"}},
		{"bracket in a name", []string{"/[x]"}, nil, []string{"[x]/e.conf"}},
		{"nothing need match", []string{"/*.none", "/a.conf"}, nil, []string{"a.conf"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var paths []string
			for _, p := range test.paths {
				paths = append(paths, root+p)
			}
			from := capture(t, files.Config{Paths: paths, Exclude: test.exclude, Never: []files.Never{{Path: root + "/repo", What: cofre.Verbatim("the repository")}}})
			list, err := files.List(t.Context(), from.tree)
			must(t, err)
			var got []string
			for _, f := range list {
				if f.Type == files.TypeFile {
					got = append(got, strings.TrimPrefix(string(f.Path), root+"/"))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatALinkLeadsToIsCapturedWhereTheOperatorNamedIt(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/real/nginx.conf", "worker\n", 0o644)
	write(t, root+"/archive/cert1.pem", "cert\n", 0o644)
	must(t, os.Symlink("../archive/cert1.pem", root+"/real/cert.pem"))
	must(t, os.Symlink("real", root+"/etc"))
	from := capture(t, files.Config{Paths: []string{root + "/etc/nginx.conf", root + "/etc"}})
	if got := strings.Join(from.component.Warnings, "\n"); !strings.Contains(got, "cert.pem leads to "+root+"/archive/cert1.pem") {
		t.Errorf("nothing says that a link leads out: %q", got)
	}
	to := t.TempDir() + "/to"
	restore(t, from, files.TargetConfig{To: to, Paths: []string{root + "/etc/nginx.conf"}})
	if text, err := os.ReadFile(to + root + "/etc/nginx.conf"); err != nil || string(text) != "worker\n" {
		t.Errorf("through the link: %q, %v", text, err)
	}
	if _, err := os.Lstat(to + root + "/real/cert.pem"); err == nil {
		t.Error("a file that was not asked for came too")
	}
}

func TestWhatIsMissingOrSpecialIsNamed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, err := tryCapture(t, files.Config{Paths: []string{root + "/none"}}, nil)
	if !errors.Is(err, cofre.ErrNotFound) || cofre.Hint(err) == "" || !strings.Contains(err.Error(), root+"/none") {
		t.Errorf("a path that does not exist gave %v (%s)", err, cofre.Hint(err))
	}
	write(t, root+"/a", "a", 0o644)
	must(t, unix.Mkfifo(root+"/pipe", 0o600))
	from := capture(t, files.Config{Paths: []string{root}, Extra: func(context.Context) ([]files.Virtual, error) {
		return []files.Virtual{{Path: "postgresql/postgresql.conf", Bytes: []byte("port = 5432\n")}}, errors.New("pg_hba.conf: permission denied")
	}})
	if got := from.named(); !strings.Contains(got, root+"/pipe: a pipe, which is no file") || !strings.Contains(got, "virtual: pg_hba.conf: permission denied") || !from.component.Partial {
		t.Errorf("findings %q, partial %v", got, from.component.Partial)
	}
	// A special file is named and the component is whole: there is nothing of it to bring back.
	if from := capture(t, files.Config{Paths: []string{root}}); from.component.Partial || len(from.findings) != 1 {
		t.Errorf("findings %q, partial %v", from.named(), from.component.Partial)
	}
	// A path that does not exist does not cost the others.
	from = capture(t, files.Config{Paths: []string{root + "/a", root + "/none"}})
	if !from.component.Partial || from.named() != root+"/none: does not exist" {
		t.Errorf("findings %q, partial %v", from.named(), from.component.Partial)
	}
	from = capture(t, files.Config{Paths: []string{root}, Extra: func(context.Context) ([]files.Virtual, error) {
		return []files.Virtual{{Path: "postgresql/postgresql.conf", Bytes: []byte("port = 5432\n")}}, errors.New("pg_hba.conf: permission denied")
	}})
	to := t.TempDir() + "/to"
	restore(t, from, files.TargetConfig{To: to, Paths: []string{"virtual/postgresql"}})
	if text, err := os.ReadFile(to + "/virtual/postgresql/postgresql.conf"); err != nil || string(text) != "port = 5432\n" {
		t.Errorf("the virtual file is %q, %v", text, err)
	}
	if got := problems(t, from, files.TargetConfig{To: t.TempDir() + "/x", Paths: []string{"/not/there"}}); !strings.Contains(got, "/not/there") {
		t.Errorf("problems: %s", got)
	}
	if got := problems(t, from, files.TargetConfig{To: root}); !strings.Contains(got, "not empty") {
		t.Errorf("problems: %s", got)
	}
	if got := problems(t, from, files.TargetConfig{To: root + "/a"}); !strings.Contains(got, "is no folder") {
		t.Errorf("problems: %s", got)
	}
	list, err := files.NewSource(files.Config{Paths: []string{root, root + "/none"}}).Doctor(t.Context())
	if err != nil || len(list) != 2 || list[0].OK || !strings.Contains(list[0].Detail, "/pipe: a pipe") || list[1].OK || !strings.Contains(list[1].Hint, "write a pattern") {
		t.Errorf("doctor says %+v, %v", list, err)
	}
}

// busy is a session whose source file changes every time it is read.
type busy struct {
	cofre.Session
	change func()
}

func (b busy) Store(ctx context.Context, l cofre.Layout, r io.Reader) (cofre.ObjectID, int64, error) {
	id, n, err := b.Session.Store(ctx, l, r)
	b.change()
	return id, n, err
}

func TestAFileThatChangesIsReadAgainAndReported(t *testing.T) {
	t.Parallel()
	p := filepath.Join(t.TempDir(), "log")
	write(t, p, strings.Repeat("x", 5<<20), 0o644)
	reads := 0
	appendTo := func(times int) func(cofre.Session) cofre.Session {
		reads = 0
		return func(s cofre.Session) cofre.Session {
			return busy{s, func() {
				if reads++; reads <= times {
					f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
					must(t, err)
					_, err = f.WriteString("y")
					must(t, errors.Join(err, f.Close()))
				}
			}}
		}
	}
	from, err := tryCapture(t, files.Config{Paths: []string{p}}, appendTo(1))
	must(t, err)
	if reads != 2 || len(from.component.Warnings) != 0 {
		t.Errorf("read %d times, warnings %q", reads, from.component.Warnings)
	}
	restore(t, from, files.TargetConfig{To: t.TempDir() + "/a"})
	from, err = tryCapture(t, files.Config{Paths: []string{p}}, appendTo(100))
	must(t, err)
	if reads != 3 || len(from.component.Warnings) != 1 || !strings.Contains(from.component.Warnings[0], p) {
		t.Errorf("read %d times, warnings %q", reads, from.component.Warnings)
	}
}

// fixed is a tree with facts of a stranger's making.
type fixed struct {
	cofre.Tree
	facts string
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (f fixed) Open(ctx context.Context, p string) (io.ReadSeekCloser, error) {
	if p == files.FactsFile {
		return nopCloser{strings.NewReader(f.facts)}, nil
	}
	return nopCloser{bytes.NewReader([]byte("x"))}, nil
}

func TestFactsThatLeadAstrayAreRefused(t *testing.T) {
	t.Parallel()
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of "x"
	file := func(p string) string {
		return `{"path":"` + p + `","type":"file","mode":"0644","sha256":"` + sum + `","size":1,"mtime":"2026-01-01T00:00:00Z"}`
	}
	link := func(p, to string) string {
		return `{"path":"` + p + `","type":"link","mode":"0777","link":"` + to + `","mtime":"2026-01-01T00:00:00Z"}`
	}
	for name, entries := range map[string]string{
		"dots":            file("/a/../../etc/passwd"),
		"relative":        file("etc/passwd"),
		"virtual dots":    `{"path":"../x","virtual":true,"type":"file","mode":"0644","mtime":"2026-01-01T00:00:00Z"}`,
		"below a link":    link("/a", "/etc") + "," + file("/a/passwd"),
		"below a file":    file("/a") + "," + file("/a/b"),
		"twice":           file("/a") + "," + file("/a"),
		"root":            file("/"),
		"unknown type":    `{"path":"/a","type":"device","mode":"0644","mtime":"2026-01-01T00:00:00Z"}`,
		"mode with a bit": `{"path":"/a","type":"file","mode":"170644","mtime":"2026-01-01T00:00:00Z"}`,
	} {
		target := files.NewTarget(files.TargetConfig{To: t.TempDir() + "/to"})
		_, err := target.Plan(t.Context(), cofre.Component{Name: "config"}, fixed{facts: `{"format":1,"entries":[` + entries + `]}`})
		if !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestALinkOnTheWayIsNotFollowed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/app/conf/x", "x", 0o644)
	from := capture(t, files.Config{Paths: []string{root + "/app"}})
	must(t, os.RemoveAll(root+"/app/conf"))
	must(t, os.Mkdir(root+"/victim", 0o755))
	must(t, os.Symlink(root+"/victim", root+"/app/conf"))
	if got := problems(t, from, files.TargetConfig{}); !strings.Contains(got, "conf") {
		t.Errorf("a link in the place of a folder is no problem: %q", got)
	}
	// Planned before, exchanged after.
	must(t, os.Remove(root+"/app/conf"))
	must(t, os.Mkdir(root+"/app/conf", 0o755))
	target := files.NewTarget(files.TargetConfig{})
	_, err := target.Plan(t.Context(), from.component, from.tree)
	must(t, err)
	must(t, os.Remove(root+"/app/conf"))
	must(t, os.Symlink(root+"/victim", root+"/app/conf"))
	if err := target.Stage(t.Context(), cofre.Discard); err == nil {
		t.Error("staged through a link")
	}
	if entries, _ := os.ReadDir(root + "/victim"); len(entries) > 0 {
		t.Errorf("written behind the link: %v", entries)
	}
	must(t, target.Discard(t.Context()))
}

// A folder that is exchanged for a link while its parent is captured is not read: neither what is in it when it was seen already, nor itself.
func TestWhatIsExchangedMeanwhileIsNotRead(t *testing.T) {
	for _, at := range []string{"/app/conf", "/app/conf/x", "/app/conf/below"} {
		root := t.TempDir()
		write(t, root+"/app/conf/x", "x", 0o644)
		write(t, root+"/app/conf/below/y", "y", 0o644)
		must(t, os.Symlink("x", root+"/app/conf/link"))
		write(t, root+"/away/x", "secret", 0o600)
		write(t, root+"/away/below/y", "secret", 0o600)
		write(t, root+"/away/hidden", "secret", 0o600)
		must(t, os.Symlink("/secret", root+"/away/link"))
		exchanged := false
		stop := files.Fail(func(op, path string) error {
			if op == "open" && path == root+at && !exchanged {
				exchanged = true
				must(t, errors.Join(os.Rename(root+"/app/conf", root+"/app/moved"), os.Symlink(root+"/away", root+"/app/conf")))
			}
			return nil
		})
		from, err := tryCapture(t, files.Config{Paths: []string{root + "/app"}}, nil)
		stop()
		must(t, err)
		if !exchanged || len(from.findings) == 0 {
			t.Errorf("%s: exchanged %v, found %+v", at, exchanged, from.findings)
		}
		to := t.TempDir() + "/to"
		restore(t, from, files.TargetConfig{To: to})
		must(t, filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				text, err := os.ReadFile(path)
				if err != nil || string(text) == "secret" {
					t.Errorf("%s: read %s: %q, %v", at, path, text, err)
				}
			}
			if link, err := os.Readlink(path); err == nil && link == "/secret" || strings.HasSuffix(path, "hidden") {
				t.Errorf("%s: read %s", at, path)
			}
			return err
		}))
	}
}

func TestADamagedTreeIsNeverPublished(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a", "the right bytes", 0o644)
	from := capture(t, files.Config{Paths: []string{root}})
	r, err := from.tree.Open(t.Context(), files.FactsFile)
	must(t, err)
	facts, err := io.ReadAll(r)
	must(t, err)
	from.tree = fixed{from.tree, string(facts)} // every file reads as "x"
	to := t.TempDir() + "/to"
	target := files.NewTarget(files.TargetConfig{To: to})
	_, err = target.Plan(t.Context(), from.component, from.tree)
	must(t, err)
	if err := target.Stage(t.Context(), cofre.Discard); !errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(err.Error(), root+"/a") {
		t.Errorf("staged: %v", err)
	}
	must(t, target.Discard(t.Context()))
	if left, _ := os.ReadDir(filepath.Dir(to)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What the repository has lost is named, and everything else comes back; in place, what is there stays.
func TestWhatTheRepositoryHasLostIsLeftOut(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, root+"/"+name, "the bytes of "+name, 0o644)
	}
	from := capture(t, files.Config{Paths: []string{root}})
	e, err := from.tree.Stat(t.Context(), "files"+root+"/b")
	must(t, err)
	from.repo.Damage(e.Object)
	to := t.TempDir() + "/to"
	for _, c := range []files.TargetConfig{{To: to}, {}} {
		write(t, root+"/a", "newer", 0o644)
		write(t, root+"/b", "newer", 0o644)
		out := restore(t, from, c)
		if len(out.Left) != 1 || out.Left[0].What != root+"/b" || !strings.Contains(out.Left[0].Got, "lost in the repository") {
			t.Errorf("left: %+v", out.Left)
		}
	}
	for p, want := range map[string]string{to + root + "/a": "the bytes of a", to + root + "/c": "the bytes of c", root + "/a": "the bytes of a", root + "/b": "newer"} {
		if got, err := os.ReadFile(p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	if _, err := os.Lstat(to + root + "/b"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was lost: %v", err)
	}
}

// If what was recorded of the files is lost, their bytes come back all the same, and what is not known is named.
func TestFilesComeBackWithoutTheirFacts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a", "the bytes of a", 0o640)
	write(t, root+"/deep/b", "the bytes of b", 0o600)
	must(t, os.Symlink("a", root+"/link"))
	from := capture(t, files.Config{Paths: []string{root}})
	e, err := from.tree.Stat(t.Context(), files.FactsFile)
	must(t, err)
	from.repo.Damage(e.Object)
	to := t.TempDir() + "/to"
	for _, c := range []files.TargetConfig{{To: to}, {}} {
		write(t, root+"/a", "newer", 0o644)
		out := restore(t, from, c)
		if len(out.Left) != 1 || !strings.Contains(out.Left[0].What, "extended attributes, set-id bits and sums") {
			t.Errorf("left: %+v", out.Left)
		}
	}
	for p, want := range map[string]string{to + root + "/a": "the bytes of a", to + root + "/deep/b": "the bytes of b", root + "/a": "the bytes of a", to + root + "/link": "the bytes of a"} {
		if got, err := os.ReadFile(p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	if info, err := os.Stat(to + root + "/a"); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode of a: %v, %v", info, err)
	}
}

// An empty folder that exists is filled and stays what it is: it may be a mount, or belong to somebody else.
func TestAnEmptyFolderThatExistsIsFilled(t *testing.T) {
	t.Parallel()
	root := installation(t)
	if os.Geteuid() != 0 {
		must(t, os.Remove(root+"/closed")) // nobody but root captures it
	}
	from := capture(t, files.Config{Paths: []string{root}})
	to := t.TempDir()
	must(t, os.Chmod(to, 0o750))
	if os.Geteuid() == 0 {
		must(t, os.Chown(to, 33, 33))
	}
	before := identity(t, to)
	restore(t, from, files.TargetConfig{To: to})
	if after := identity(t, to); after != before {
		t.Errorf("the folder was %s and is %s", before, after)
	}
	if d := cmp.Diff(describe(t, root, true), describe(t, to+root, true)); d != "" {
		t.Error(d)
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 1 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}

func identity(t *testing.T, p string) string {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Stat(p, &st))
	return fmt.Sprintf("%o %d:%d inode %d", st.Mode, st.Uid, st.Gid, st.Ino)
}

func TestWhatWasFilledIsTakenBackWhenPublishingFails(t *testing.T) {
	t.Parallel()
	root := installation(t)
	from := capture(t, files.Config{Paths: []string{root}, Extra: func(context.Context) ([]files.Virtual, error) {
		return []files.Virtual{{Path: "x.conf", Bytes: []byte("x\n")}}, nil
	}})
	to := t.TempDir()
	target := files.NewTarget(files.TargetConfig{To: to})
	plan, err := target.Plan(t.Context(), from.component, from.tree)
	must(t, err)
	if len(plan.Problems) > 0 {
		t.Fatal(plan.Problems)
	}
	must(t, target.Stage(t.Context(), cofre.Discard))
	write(t, to+"/virtual", "of somebody else\n", 0o644) // tmp… is in by then
	if _, err := target.Publish(t.Context()); err == nil {
		t.Fatal("published over what somebody else made")
	}
	must(t, target.Discard(t.Context()))
	entries, err := os.ReadDir(to)
	if err != nil || len(entries) != 1 || entries[0].Name() != "virtual" {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// Root in a container may lack the right to give files away.
func TestRootWithoutTheRightToChown(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	root := installation(t)
	from := capture(t, files.Config{Paths: []string{root}})
	for _, c := range []struct {
		to   files.TargetConfig
		drop bool
		want string
	}{
		{files.TargetConfig{To: filepath.Join(t.TempDir(), "a")}, true, "may not give files away"},
		{files.TargetConfig{To: filepath.Join(t.TempDir(), "b"), NoOwner: true}, false, "--no-owner"},
	} {
		if c.drop {
			dropChown(t)
		}
		plan, err := files.NewTarget(c.to).Plan(t.Context(), from.component, from.tree)
		must(t, err)
		if !strings.Contains(strings.Join(plan.Notes, "\n"), c.want) {
			t.Errorf("notes %q", plan.Notes)
		}
		restore(t, from, c.to)
		var st syscall.Stat_t
		must(t, syscall.Stat(c.to.To+root+"/.env", &st))
		if st.Uid != 0 || st.Gid != 0 || st.Mode&0o7777 != 0o600 {
			t.Errorf("%d:%d %o", st.Uid, st.Gid, st.Mode)
		}
	}
}

// dropChown takes CAP_CHOWN from the thread of this test, which ends with it.
func dropChown(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	must(t, unix.Capget(&header, &data[0]))
	data[0].Effective &^= 1 << unix.CAP_CHOWN
	must(t, unix.Capset(&header, &data[0]))
}

// TestAsAnotherUser runs the tests of this package as a user who is not root: what root does not see is what an
// administrator without root meets.
func TestAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("is another user")
	}
	dir, err := os.MkdirTemp("", "cofre-files-*")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(dir+"/test", self, 0o755))
	must(t, os.Mkdir(dir+"/tmp", 0o777))
	must(t, os.Chmod(dir+"/tmp", 0o777))
	cmd := exec.CommandContext(t.Context(), dir+"/test", "-test.v", "-test.run", "TestFilesComeBack|TestAnEmptyFolder|TestWhat|TestAFile|TestALink|TestADamaged|TestUnreadable")
	cmd.Dir = dir + "/tmp"
	cmd.Env = []string{"TMPDIR=" + dir + "/tmp", "HOME=" + dir + "/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestUnreadable") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnreadableIsPartial(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything; TestAsAnotherUser runs this")
	}
	root := installation(t)
	must(t, os.Mkdir(root+"/locked", 0o300))
	from := capture(t, files.Config{Paths: []string{root}})
	got := from.named()
	if !from.component.Partial || !strings.Contains(got, root+"/closed: permission denied") || !strings.Contains(got, root+"/locked") {
		t.Errorf("partial %v, warnings %q", from.component.Partial, got)
	}
	for _, c := range []struct {
		paths []string
		want  string
	}{{nil, root + "/closed"}, {[]string{root + "/closed"}, root + "/closed"}, {[]string{root + "/empty"}, ""}} {
		target := files.TargetConfig{To: filepath.Join(t.TempDir(), "back"), Paths: c.paths}
		if problems(t, from, target) != "" {
			continue // of what was captured, nothing was asked for
		}
		lacks := fmt.Sprint(restore(t, from, target).Left)
		if (c.want == "") != (lacks == "[]") || !strings.Contains(lacks, c.want) {
			t.Errorf("restoring %v left %s", c.paths, lacks)
		}
	}
	if _, err := tryCapture(t, files.Config{Paths: []string{root + "/closed"}}, nil); err != nil {
		t.Errorf("one unreadable file gave %v, not a partial component", err)
	}
}

// What no configuration component holds is said: a folder on the way once, a path that asks for it as missing.
func TestWhatIsNeverCapturedIsSaid(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a", "a", 0o644)
	write(t, root+"/backups/repo/blob", "b", 0o644)
	write(t, root+"/elsewhere/state", "s", 0o644)
	must(t, os.Symlink(root+"/elsewhere", root+"/state"))
	never := []files.Never{{Path: root + "/backups/repo", What: cofre.Verbatim("the repository")}, {Path: root + "/state", What: cofre.Verbatim("cofre's own state")}}
	from := capture(t, files.Config{Paths: []string{root}, Never: never})
	if got := strings.Join(from.component.Warnings, "\n"); from.component.Partial || len(from.findings) != 0 ||
		!strings.Contains(got, "left out: "+root+"/backups/repo, which is the repository") || !strings.Contains(got, "left out: "+root+"/elsewhere, which is cofre's own state") {
		t.Errorf("warnings %q, findings %q", got, from.named())
	}
	from = capture(t, files.Config{Paths: []string{root + "/a", root + "/backups/repo/blob"}, Never: never})
	if want := root + "/backups/repo/blob: lies in " + root + "/backups/repo, which is the repository and never captured"; !from.component.Partial || from.named() != want {
		t.Errorf("findings %q, partial %v", from.named(), from.component.Partial)
	}
	_, err := tryCapture(t, files.Config{Paths: []string{root + "/backups/repo"}, Never: never}, nil)
	if err == nil || !strings.Contains(err.Error(), "which is the repository and never captured") {
		t.Errorf("nothing but the repository: %v", err)
	}
	list, err := files.NewSource(files.Config{Paths: []string{root + "/backups/repo/blob"}, Never: never}).Doctor(t.Context())
	if err != nil || len(list) != 1 || list[0].OK || !strings.Contains(list[0].Detail, "never captured") {
		t.Errorf("doctor says %+v, %v", list, err)
	}
}

func TestWhatExclusionsAndPatternsDidIsRecorded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"/a.conf", "/b.log", "/cache/c"} {
		write(t, root+name, name, 0o644)
	}
	config := files.Config{Paths: []string{root, root + "/*.none"}, Exclude: []string{"*.log", "**/cache", "*.tmp"}}
	from := capture(t, config)
	var s files.Summary
	must(t, json.Unmarshal(from.component.Facts, &s))
	if want := []string{root + "/*.none", "*.tmp"}; s.Excluded != 2 || !slices.Equal(s.Unmatched, want) || s.Files != 1 {
		t.Errorf("summary %+v", s)
	}
	list, err := files.NewSource(config).Doctor(t.Context())
	if err != nil || len(list) != 3 || list[2].Subject != "config exclude *.tmp" || list[2].Detail != "nothing matches now" {
		t.Errorf("doctor says %+v, %v", list, err)
	}
}

func FuzzFacts(f *testing.F) {
	f.Add(`{"format":1,"entries":[{"path":"/a","type":"file","mode":"0644","mtime":"2026-01-01T00:00:00Z"}]}`)
	f.Add(`{"format":1,"entries":[{"path":"base64:/w==","type":"link","link":"x","mode":"0777"}]}`)
	f.Fuzz(func(t *testing.T, facts string) {
		list, err := files.List(t.Context(), fixed{facts: facts})
		if err != nil {
			return
		}
		for _, e := range list {
			if p := "/" + strings.TrimPrefix(string(e.Path), "/"); filepath.Clean(p) != p {
				t.Errorf("a path that is not clean: %q", p)
			}
		}
	})
}

// named is what the findings say.
func (c captured) named() string {
	var s []string
	for _, f := range c.findings {
		s = append(s, f.Object+": "+f.What)
	}
	return strings.Join(s, "\n")
}
