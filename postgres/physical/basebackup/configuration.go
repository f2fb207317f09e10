package basebackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/conffile"
)

// A cluster whose configuration lies outside of its data directory, as Debian's does, is restored with it inside: the
// component holds postgresql.conf, pg_hba.conf and pg_ident.conf where a server looks for them that is told nothing but its
// data directory. What they include stands in the place of the line that includes it, and the lines that name the
// original's places are comments.

// outside lists the configuration files that are not where a server looks for them that is told nothing but its data
// directory: name in it, to where it is.
func (k *capture) outside() map[string]string {
	found := map[string]string{}
	dir := k.server.DataDir
	if dir == "" || k.facts.Settings["config_file"] == "" {
		return found // the role may not know
	}
	for _, c := range conffile.Files {
		at := k.facts.Settings[c.Setting]
		if at == "" {
			continue
		}
		in, _ := k.seen.Find(path.Dir(at))
		home := slices.Contains([]string{path.Clean(dir), k.seen.Real}, in) && path.Base(at) == c.Name
		// In its place, and a link that the capture cannot follow.
		lost := k.seen.Here != "" && k.seen.At(at) == ""
		if !home || lost {
			found[c.Name] = at
		}
	}
	return found
}

// readConfiguration reads the configuration files that lie outside of the data directory. What lies in it under their names is
// then not what the server reads, and not captured. One that cannot be read is a finding.
func (k *capture) readConfiguration(ctx context.Context) error {
	k.configuration = map[string]string{}
	outside := k.outside()
	seen := k.seen
	if seen.There == "" {
		seen.There, seen.Real = path.Clean(k.server.DataDir), path.Clean(k.server.DataDir)
	}
	in := conffile.Inliner{
		Seen: seen,
		Read: func(name string) ([]byte, error) { return k.readFile(ctx, name) },
		List: func(dir string) ([]string, error) { return k.listFiles(ctx, dir) },
	}
	for _, c := range conffile.Files {
		at, is := outside[c.Name]
		in.Leads, in.Tokens = is, c.Setting != "config_file"
		if !is {
			at = k.facts.Settings[c.Setting]
		}
		if at == "" {
			continue // the role may not know
		}
		text, err := in.File(at, 0)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !in.Leads {
			continue // it is captured as it is, like the rest of the data directory
		}
		if err != nil {
			k.findings = append(k.findings, cofre.Finding{Object: c.Name}.Saying(cofre.Say("cluster.configuration_unread", "lies outside of the data directory, in {{.path}}, and cannot be read: {{.error}}", "path", at, "error", err)))
			continue
		}
		k.configuration[c.Name] = fmt.Sprintf("# From %s, with what it took from outside of the data directory in its place.\n", at) + text
	}
	return nil
}

// putConfiguration stores what readConfiguration has read.
func (k *capture) putConfiguration(ctx context.Context) error {
	for _, c := range conffile.Files {
		text, ok := k.configuration[c.Name]
		if !ok {
			continue
		}
		if err := k.putData(ctx, c.Name, []byte(text)); err != nil {
			return err
		}
		k.facts.Configuration = append(k.facts.Configuration, c.Name)
	}
	return nil
}

// replaced reports whether a file of the component is one of those that putConfiguration stores.
func (k *capture) replaced(in string) bool {
	_, ok := k.configuration[strings.TrimPrefix(in, physical.DataDir+"/")]
	return ok
}

// maxFile is how much of a configuration file the server is asked for.
const maxFile = 64 << 20

// readFile reads a file that the server names: here, if this process sees it, or through the server.
func (k *capture) readFile(ctx context.Context, name string) ([]byte, error) {
	if at := k.seen.At(name); at != "" {
		// What the server's own user may not read has no business in its configuration, whatever it says that this is.
		if b, err := k.readSeen(at); err == nil || gone(err) {
			return b, err
		}
	}
	var b []byte
	err := k.conn.QueryRow(ctx, "SELECT pg_catalog.pg_read_binary_file($1, 0, $2, true)", name, maxFile).Scan(&b)
	if err == nil && b == nil {
		err = fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return b, err
}

func (k *capture) readSeen(at string) ([]byte, error) {
	info, err := os.Stat(k.seen.Here)
	if err != nil {
		return nil, err
	}
	f, err := k.seen.Open(at, uidOf(info))
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// listSeen lists a directory where it was found, with what the server's own user may, and through no link that was put there since.
func (k *capture) listSeen(at string) (names []string, err error) {
	info, err := os.Stat(k.seen.Here)
	if err != nil {
		return nil, err
	}
	err = inside.As(uidOf(info), func() error {
		d, err := inside.OpenStraight(at, syscall.O_RDONLY|syscall.O_DIRECTORY)
		if err != nil {
			return err
		}
		names, err = d.Readdirnames(-1)
		return errors.Join(err, d.Close())
	})
	slices.Sort(names)
	return names, err
}

func (k *capture) listFiles(ctx context.Context, dir string) ([]string, error) {
	if at := k.seen.At(dir); at != "" {
		if names, err := k.listSeen(at); err == nil {
			return names, nil
		}
	}
	rows, err := k.conn.Query(ctx, "SELECT pg_catalog.pg_ls_dir($1)", dir)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
