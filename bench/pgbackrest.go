package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// pgbackrestPath is the pgBackRest to measure: COFRE_PGBACKREST, or what PATH holds.
func pgbackrestPath() string { return cmp.Or(os.Getenv("COFRE_PGBACKREST"), "pgbackrest") }

// pgbackrestVersion is what it calls itself.
//
// Errors: one that says how to get it.
func pgbackrestVersion() (string, error) {
	out, err := exec.Command(pgbackrestPath(), "version").Output()
	if err != nil {
		return "", fmt.Errorf("%w (apt-get install pgbackrest, or set COFRE_PGBACKREST)", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// newest is the lines of configuration that not every version knows: block increments, and leave to run as root.
func newest() string {
	lines := ""
	for option, line := range map[string]string{"repo-block": "repo1-block=y\n", "allow-root": "allow-root=y\n"} {
		if exec.Command(pgbackrestPath(), "help", "backup", option).Run() == nil {
			lines += line
		}
	}
	return lines
}

// pgbackrest is one way of running pgBackRest: a compression, with AES as cofre always encrypts.
type pgbackrest struct {
	i     *installation
	name  string
	extra string // lines of its configuration
}

func (p pgbackrest) command(args ...string) *exec.Cmd {
	return exec.Command(pgbackrestPath(), append([]string{
		"--config=" + p.i.path(p.name+".conf"), "--stanza=bench", "--log-level-console=warn", "--log-level-file=off",
	}, args...)...)
}

// renew empties the repository and makes the stanza again.
func (p pgbackrest) renew(context.Context) error {
	if err := os.RemoveAll(p.i.path(p.name)); err != nil {
		return err
	}
	conf := fmt.Sprintf(`[global]
repo1-path=%s
repo1-bundle=y
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=%s
repo1-retention-full=9
lock-path=%s
spool-path=%s
process-max=2
start-fast=y
archive-check=n
archive-mode-check=n
%s%s
[bench]
pg1-path=%s
pg1-socket-path=%s
pg1-port=%d
pg1-user=postgres
`, p.i.path(p.name), strings.ReplaceAll(password, " ", "-"), p.i.path(p.name+".lock"), p.i.path(p.name+".spool"), newest(), p.extra,
		p.i.server.DataDir, p.i.server.Socket, p.i.server.Port)
	if err := os.WriteFile(p.i.path(p.name+".conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	if out, err := p.command("stanza-create").CombinedOutput(); err != nil {
		return fmt.Errorf("pgbackrest stanza-create: %w\n%s", err, indent(string(out)))
	}
	return nil
}

func (p pgbackrest) variant(label, kind string, before func(context.Context) error) *variant {
	return &variant{
		name: label, before: before,
		command: func() *exec.Cmd { return p.command("--type="+kind, "backup") },
		stored:  func() (int64, error) { return size(p.i.path(p.name)) },
	}
}
