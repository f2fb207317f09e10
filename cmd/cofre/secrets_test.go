package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// Three secrets are planted, the repository's password, the database's and one in the command line of a hook, and searched for in everything that
// cofre prints or keeps in its state directory, and in the command lines of everything it starts but the hook.
func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	tcp := i.server.TCPConfig(i.db)
	secrets := []string{"a long password", tcp.Password.Reveal(), "the token of a hook"}
	i.env = append(i.env, "DB_SECRET="+secrets[1])
	i.write(t, "cofre.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: %q, password: env:DB_SECRET}\nstate_dir: state\n", tcp.URL))
	i.write(t, "bad.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: %q}\ndatabase: {url: %q}\n", secrets[0], strings.Replace(tcp.URL, "@", ":"+secrets[1]+"@", 1)))
	i.write(t, "other", "another password\n")
	i.write(t, "wrong.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:other}\ndatabase: {url: %q, password: env:DB_SECRET}\n", tcp.URL))
	i.write(t, "closed.yaml", "name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: \"postgres://postgres@127.0.0.1:1/x\", password: env:DB_SECRET}\n")

	i.write(t, "hook.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: %q, password: env:DB_SECRET}\nstate_dir: state\nhooks: {before_backup: [\"true '%s'\"], after_backup: [\"false '%[2]s'\"]}\n", tcp.URL, secrets[2]))
	i.write(t, "failing.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: %q, password: env:DB_SECRET}\nstate_dir: state\nhooks: {before_backup: [\"false '%s'\"]}\n", tcp.URL, secrets[2]))

	var said bytes.Buffer
	running, stderr, release := i.stuck(t)
	for pid := range descendants(running.Process.Pid) {
		argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		said.Write(argv)
	}
	own, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", running.Process.Pid))
	said.Write(own)
	release()
	if err := running.Wait(); err != nil {
		t.Fatalf("backup: %v\n%s", err, stderr)
	}
	said.Write(stderr.Bytes())
	for _, c := range []struct {
		code int
		args string
	}{
		{0, "doctor"},
		{0, "doctor --json"},
		{0, "backup --json"},
		{0, "backup --dry-run"},
		{0, "list --json"},
		{edge.ExitError, "backup -c hook.yaml --json --events events.jsonl"},
		{edge.ExitError, "backup -c failing.yaml --events events.jsonl"},
		{0, "show latest --tables --json"},
		{0, "verify --level content --json"},
		{0, "restore database latest --to copy_of_secrets --dry-run --json"},
		{edge.ExitUsage, "list -c bad.yaml --json"},
		{edge.ExitWrongKey, "list -c wrong.yaml --json"},
		{edge.ExitUnreachable, "backup -c closed.yaml --json"},
		{edge.ExitError, "doctor -c closed.yaml"},
	} {
		cmd := i.command(strings.Fields(c.args)...)
		out, err := cmd.CombinedOutput()
		if code := exitOf(err); code != c.code {
			t.Errorf("cofre %s: exit code %d, want %d\n%s", c.args, code, c.code, out)
		}
		said.Write(out)
	}
	for _, dir := range []string{"state", "events.jsonl"} {
		err := filepath.WalkDir(filepath.Join(i.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			said.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The recovery kit says where the password is, not what it is.
	kit := exec.Command("sh", "-c", "rm -rf repo state")
	kit.Dir = i.dir
	if err := kit.Run(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init"}, {"--json", "list"}} {
		out, err := i.command(args...).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v", args, err)
		}
		said.Write(out)
	}
	for _, secret := range secrets {
		if at := strings.Index(said.String(), secret); at >= 0 {
			t.Errorf("printed a secret: …%s…", said.String()[max(0, at-200):at])
		}
	}
}
