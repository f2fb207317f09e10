package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// cmdServerUser makes every later cofre run as the user of the servers, as archive_command and restore_command do.
func cmdServerUser(ts *testscript.TestScript, _ bool, _ []string) {
	work := ts.Getenv("WORK")
	for _, dir := range []string{"as", "bin"} {
		ts.Check(os.MkdirAll(filepath.Join(work, dir), 0o755))
	}
	self, err := os.Executable()
	ts.Check(err)
	b, err := os.ReadFile(self)
	ts.Check(err)
	program := filepath.Join(work, "as", "cofre")
	ts.Check(os.WriteFile(program, b, 0o755))
	change := ""
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		ts.Check(err)
		ts.Check(os.Chmod(filepath.Dir(work), 0o711))
		uid, err := strconv.Atoi(u.Uid)
		ts.Check(err)
		ts.Check(filepath.WalkDir(work, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, -1)
		}))
		change = "setpriv --reuid " + u.Uid + " --regid " + u.Gid + " --clear-groups "
	}
	script := "#!/bin/sh\nexec " + change + program + " \"$@\"\n"
	ts.Check(os.WriteFile(filepath.Join(work, "bin", "cofre"), []byte(script), 0o755))
	ts.Setenv("COFRE", program)
	for name, socket := range map[string]string{"LOOKURL": "back", "AGAINURL": "again", "AFTERURL": "as"} {
		ts.Setenv(name, "postgres://postgres@/postgres?host="+filepath.Join(work, socket))
	}
	ts.Setenv("PATH", filepath.Join(work, "bin")+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// ask runs SQL on a server and returns what it answers.
func ask(ts *testscript.TestScript, url, sql string) string {
	out, err := exec.Command(filepath.Join(ts.Getenv("PGBIN"), "psql"), "-XAtqd", url, "-c", sql).CombinedOutput()
	if err != nil {
		ts.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// moment VAR: sets $VAR to the server's time, after everything before it and before everything that follows.
func cmdMoment(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.ParseInt(ask(ts, ts.Getenv("SERVERURL"), "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"), 10, 64)
	ts.Check(err)
	ts.Setenv(args[0], time.UnixMicro(at).UTC().Format(time.RFC3339Nano))
}

// archived: waits until the server has archived every segment that is complete.
func cmdArchived(ts *testscript.TestScript, neg bool, _ []string) {
	cmdSettled(ts, neg, []string{ts.Getenv("PGDATA")})
}

// settled DIR: waits until the server on a data directory has archived every segment that is complete.
func cmdSettled(ts *testscript.TestScript, _ bool, args []string) {
	until(testOf(ts), "archived", func() bool {
		waiting, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "pg_wal", "archive_status", "*.ready"))
		ts.Check(err)
		return len(waiting) == 0
	})
}

// failing VAR: waits until archive_command of the server fails, and sets $VAR to the file.
func cmdFailing(ts *testscript.TestScript, _ bool, args []string) {
	until(testOf(ts), "archiving fails", func() bool {
		name := ask(ts, ts.Getenv("SERVERURL"), "SELECT last_failed_wal FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity')")
		ts.Setenv(args[0], name)
		return name != ""
	})
}

// streamed: waits until all WAL that the server has written can be recovered from the repository.
func cmdStreamed(ts *testscript.TestScript, _ bool, _ []string) {
	want, err := cofre.ParseLSN(ask(ts, ts.Getenv("SERVERURL"), "SELECT pg_current_wal_insert_lsn()")) // what has committed is flushed a little later
	ts.Check(err)
	until(testOf(ts), fmt.Sprintf("streamed to %s", want), func() bool {
		cmd := exec.Command(filepath.Join(ts.Getenv("WORK"), "bin", "cofre"), "wal", "status", "--json")
		cmd.Dir, cmd.Env = ts.Getenv("WORK"), append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
		out, err := cmd.Output()
		ts.Check(err)
		var status struct {
			Systems []struct{ Windows []struct{ To cofre.LSN } }
		}
		ts.Check(json.Unmarshal(out, &status))
		for _, s := range status.Systems {
			for _, w := range s.Windows {
				if w.To >= want {
					return true
				}
			}
		}
		return false
	})
}

// serve DIR: runs a server on a restored data directory, until the script ends; $BACKURL leads to it.
func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := throwaway.Start(ctx, throwaway.Options{BinDir: ts.Getenv("PGBIN"), DataDir: ts.MkAbs(args[0])})
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv("BACKURL", s.URL("postgres"))
}

// ctl start|stop|restart DIR: runs pg_ctl as the user of servers. A server that is started is stopped when the script ends.
func cmdCtl(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[1])
	run := func(action string) error {
		words := []string{filepath.Join(ts.Getenv("PGBIN"), "pg_ctl"), action, "-D", dir, "-w", "-s", "-l", filepath.Join(dir, "ctl.log")}
		if os.Geteuid() == 0 {
			words = append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"}, words...)
		}
		return exec.Command(words[0], words[1:]...).Run()
	}
	if err := run(args[0]); err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "ctl.log"))
		ts.Fatalf("pg_ctl %s: %v\n%s", args[0], err, said)
	}
	if args[0] == "start" {
		ts.Defer(func() { _ = run("stop") }) // it is no error that it was stopped before
	}
}
