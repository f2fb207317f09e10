package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/secret"
)

// Version is a PostgreSQL version number as server_version_num has it: 150018 is 15.18.
type Version int

// Major is 15 of 15.18.
func (v Version) Major() int { return int(v) / 10000 }

func (v Version) String() string { return fmt.Sprintf("%d.%d", int(v)/10000, int(v)%10000) }

// Installation is a directory of PostgreSQL programs of one major version.
type Installation struct {
	Major int
	Dir   string
}

// Installed lists the installations with server programs (initdb) on this machine, by major, ascending: those
// of Debian and of the RPM packages, and those that $COFRE_POSTGRES_N names for a major N.
func Installed() []Installation {
	return slices.DeleteFunc(installations(), func(i Installation) bool { return !isFile(filepath.Join(i.Dir, "initdb")) })
}

// BinDir is the directory of the server programs of a major version.
//
// Errors: cofre.ErrNotFound, with what to install.
func BinDir(major int) (string, error) {
	for _, i := range Installed() {
		if i.Major == major {
			return i.Dir, nil
		}
	}
	return "", cofre.WithHint(fmt.Errorf("find the server programs of PostgreSQL %d: %w", major, cofre.ErrNotFound),
		cofre.Say("postgres.install_server", "apt-get install postgresql-{{.major}}, or name their directory: COFRE_POSTGRES_{{.major}}=/path/to/bin", "major", major))
}

// oldest and newest are the majors that are looked for: the oldest that this year's clients still dump, and
// some that do not exist yet.
const (
	oldest = 10
	newest = 30
)

func installations() []Installation {
	var found []Installation
	for major := oldest; major <= newest; major++ {
		for _, dir := range []string{
			os.Getenv(fmt.Sprintf("COFRE_POSTGRES_%d", major)),
			fmt.Sprintf("/usr/lib/postgresql/%d/bin", major),
			fmt.Sprintf("/usr/pgsql-%d/bin", major),
			fmt.Sprintf("/usr/local/pgsql-%d/bin", major),
			fmt.Sprintf("/opt/homebrew/opt/postgresql@%d/bin", major),
		} {
			if dir != "" && (isFile(filepath.Join(dir, "pg_dump")) || isFile(filepath.Join(dir, "initdb"))) {
				found = append(found, Installation{major, dir})
				break
			}
		}
	}
	return found
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Tools are the client programs of one version.
type Tools struct {
	Version Version
	Dir     string
}

// FindTools finds client programs that suit a server: those of its own major version, else the newest there
// are, and never older ones, which refuse a newer server. PATH is looked at after the installations. Once those of the
// server's major are found no other is asked for its version: each is a process.
//
// Errors: cofre.ErrNotFound, with the package to install.
func FindTools(ctx context.Context, server Version) (Tools, error) {
	candidates := slices.DeleteFunc(installations(), func(i Installation) bool { return !isFile(filepath.Join(i.Dir, "pg_dump")) })
	if own := slices.IndexFunc(candidates, func(i Installation) bool { return i.Major == server.Major() }); own > 0 {
		candidates = slices.Concat(candidates[own:own+1], candidates[:own], candidates[own+1:])
	}
	if onPath, err := exec.LookPath("pg_dump"); err == nil {
		candidates = append(candidates, Installation{Dir: filepath.Dir(onPath)})
	}
	var best Tools
	seen := []string{}
	for _, c := range candidates {
		v, err := VersionOf(ctx, filepath.Join(c.Dir, "pg_dump"))
		if err != nil {
			if ctx.Err() != nil {
				return Tools{}, err
			}
			continue // unpacked for another machine, or without its libraries: not a candidate
		}
		if v.Major() == server.Major() {
			return Tools{v, c.Dir}, nil
		}
		seen = append(seen, v.String())
		if v.Major() > server.Major() && v > best.Version {
			best = Tools{v, c.Dir}
		}
	}
	if best.Dir == "" {
		found := "none"
		if len(seen) > 0 {
			found = strings.Join(seen, ", ")
		}
		return best, cofre.WithHint(
			fmt.Errorf("find pg_dump for PostgreSQL %d: %w (found: %s; an older one refuses a newer server)", server.Major(), cofre.ErrNotFound, found),
			cofre.Say("postgres.install_client", "apt-get install postgresql-client-{{.major}}, or name its directory: COFRE_POSTGRES_{{.major}}=/path/to/bin", "major", server.Major()))
	}
	return best, nil
}

// Command runs a program of t against the database of c with nothing secret among its arguments. If conn is
// not nil the program reaches the very server that conn is connected to, of several that the URL may name, and its
// session has the parameters that those of Connect have.
//
// Errors: cofre.ErrConfig; cofre.ErrPreflight if a pooler stands between the two and a parameter is wrong.
func (t Tools) Command(c Config, conn *pgx.Conn, name string, args ...string) (process.Command, error) {
	var at net.Addr
	var options string
	if conn != nil {
		at = conn.PgConn().Conn().RemoteAddr()
		var err error
		if options, err = toolsPinned(conn, name); err != nil {
			return process.Command{}, err
		}
	}
	env, err := c.toolEnv(process.BaseEnv(), at, options)
	if err != nil {
		return process.Command{}, err
	}
	p, err := c.parse()
	if err != nil {
		return process.Command{}, err
	}
	return process.Command{
		Path: filepath.Join(t.Dir, name), Args: args, Env: env, Dir: "/",
		Name: fmt.Sprintf("%s %s", name, t.Version), Secrets: []secret.Value{secret.New(p.Password)},
	}, nil
}

var versionText = pattern.Lazy(`\) (\d+)(?:\.(\d+)|(?:devel|beta|rc)\d*)`)

// VersionOf asks a PostgreSQL program for its version.
//
// Errors: cofre.ErrNotFound if there is none; *cofre.ToolError.
func VersionOf(ctx context.Context, program string) (Version, error) {
	out, err := process.Output(ctx, process.Command{Path: program, Args: []string{"--version"}, Env: process.BaseEnv(), Dir: "/"})
	if err != nil {
		return 0, err
	}
	m := versionText().FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("read the version of %s: it says %.60q", program, out)
	}
	major, err1 := strconv.Atoi(string(m[1]))
	minor, err2 := strconv.Atoi(cmp.Or(string(m[2]), "0"))
	return Version(major*10000 + minor), errors.Join(err1, err2)
}
