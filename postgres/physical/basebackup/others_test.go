package basebackup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre/postgres/physical/view"
)

// TestWhatLinksOfOthersLeadTo: a backup of root's reads through a link in a data directory what the link's maker could read, and what took the
// place of a file while the directory was listed is neither followed nor waited for.
func TestWhatLinksOfOthersLeadTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = 65534
	top := t.TempDir()
	for at := top; at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755|os.ModeSticky); err != nil && at == top {
			t.Fatal(err)
		}
		if filepath.Dir(at) == os.TempDir() {
			break
		}
	}
	dir, out := filepath.Join(top, "data"), filepath.Join(top, "out")
	file := func(at string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte("x"), mode)); err != nil {
			t.Fatal(err)
		}
	}
	theirs := func(at string) {
		t.Helper()
		if err := os.Lchown(at, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []string{"base/1/1259", "base/1/1260", "base/1/1261", "base/1/1262"} {
		file(filepath.Join(dir, at), 0o600)
		theirs(filepath.Join(dir, at))
	}
	file(out+"/root.key", 0o600)
	file(out+"/roots/1259", 0o600)
	file(out+"/space/PG_15_202209061/5/1259", 0o600)
	file(out+"/everybodys.crt", 0o644)
	file(out+"/theirs/1259", 0o600)
	file(out+"/disk/PG_15_202209061/5/1259", 0o600)
	theirs(out + "/theirs")
	theirs(out + "/disk/PG_15_202209061")
	for name, target := range map[string]string{
		"server.key": out + "/root.key", "pg_hba.conf": out + "/root.key", "server.crt": out + "/everybodys.crt",
		"base/5": out + "/roots", "base/6": out + "/theirs", "pg_tblspc/16385": out + "/space", "pg_tblspc/16386": out + "/disk",
	} {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(target, at)); err != nil {
			t.Fatal(err)
		}
		theirs(at)
	}
	if err := os.Symlink(out+"/root.key", filepath.Join(dir, "ca.crt")); err != nil { // root's own link
		t.Fatal(err)
	}
	seen := view.View{There: dir, Here: dir, Root: "/", Real: dir}
	s, err := scan(t.Context(), seen, 131072)
	if err != nil {
		t.Fatal(err)
	}
	for name, swap := range map[string]func(at string) error{
		"1260": func(at string) error { return os.Symlink(out+"/root.key", at) },
		"1261": func(at string) error { return syscall.Mkfifo(at, 0o666) },
	} {
		at := filepath.Join(dir, "base/1", name)
		if err := errors.Join(os.Remove(at), swap(at)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{
		"data/base/1/1259": true, "data/base/1/1260": false, "data/base/1/1261": false, "data/base/1/1262": true,
		"data/server.key": false, "data/pg_hba.conf": false, "data/server.crt": true, "data/ca.crt": true,
		"data/base/5/1259": false, "data/base/6/1259": true,
		"tablespaces/16385/PG_15_202209061/5/1259": false, "tablespaces/16386/PG_15_202209061/5/1259": true,
	}
	for _, f := range s.files {
		in, err := seen.Open(f.abs, f.as)
		if err == nil {
			_, err = io.ReadAll(in)
			err = errors.Join(err, in.Close())
		}
		read, known := want[f.entry.Path]
		if delete(want, f.entry.Path); !known || read != (err == nil) {
			t.Errorf("%s: %v, expected to be read: %t", f.entry.Path, err, read)
		}
		if pe, ok := errors.AsType[*os.PathError](err); err != nil && (!ok || pe.Path != f.abs) {
			t.Errorf("%s: %v, which does not name %s", f.entry.Path, err, f.abs)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

// TestADirectoryThatIsIncluded is listed by root only as far as the server's own user may list it, and not through a link that took its place.
func TestADirectoryThatIsIncluded(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = 65534
	top, err := os.MkdirTemp("/tmp", "included-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	dir := filepath.Join(top, "data")
	k := &capture{seen: view.View{There: dir, Here: dir, Root: "/"}}
	if err := errors.Join(os.Chmod(top, 0o755), os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"everybodys": 0o755, "roots": 0o700} {
		out := filepath.Join(top, name)
		if err := errors.Join(os.Mkdir(out, mode), os.WriteFile(filepath.Join(out, "secret.conf"), nil, 0o600), os.Symlink(out, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		names, err := k.listSeen(k.seen.At(filepath.Join(dir, name)))
		if theirs := mode == 0o755; theirs != (err == nil && len(names) == 1) || !theirs && !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %q, %v", name, names, err)
		}
		if names, err := k.listSeen(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s, through a link that is there by now: %q", name, names)
		}
	}
}
