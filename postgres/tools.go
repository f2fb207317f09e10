package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
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
		"apt-get install postgresql-%d, or name their directory: COFRE_POSTGRES_%d=/path/to/bin", major, major)
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

var versionText = regexp.MustCompile(`\) (\d+)(?:\.(\d+)|(?:devel|beta|rc)\d*)`)

// VersionOf asks a PostgreSQL program for its version.
//
// Errors: cofre.ErrNotFound where there is none; *cofre.ToolError.
func VersionOf(ctx context.Context, program string) (Version, error) {
	out, err := process.Output(ctx, process.Command{Path: program, Args: []string{"--version"}, Env: process.BaseEnv(), Dir: "/"})
	if err != nil {
		return 0, err
	}
	m := versionText.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("read the version of %s: it says %.60q", program, out)
	}
	major, err1 := strconv.Atoi(string(m[1]))
	minor, err2 := strconv.Atoi(cmp.Or(string(m[2]), "0"))
	return Version(major*10000 + minor), errors.Join(err1, err2)
}
