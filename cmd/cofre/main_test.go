package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cofre": main})
}

// TestScripts runs the scripts in testdata/script: one for each story of a user. Those that speak of a database
// get one of their own on a real server, as $DBURL.
func TestScripts(t *testing.T) {
	t.Parallel()
	runScripts(t, "testdata/script", testkit.DefaultMajor)
}

// TestMajorScripts runs the stories that depend on what PostgreSQL itself writes on every version that is here.
func TestMajorScripts(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		runScripts(t, "testdata/majors", major)
	})
}

func runScripts(t *testing.T, dir string, major int) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"postgres": cmdPostgres,
			"s3":       cmdS3,
			"sql":      cmdSQL,
			"points":   cmdPoints,
			"kept":     cmdKept,
			"exits":    cmdExits,
			"envsubst": cmdEnvsubst,

			"serveruser": cmdServerUser,
			"moment":     cmdMoment,
			"archived":   cmdArchived,
			"failing":    cmdFailing,
			"streamed":   cmdStreamed,
			"serve":      cmdServe,
			"ctl":        cmdCtl,
			"settled":    cmdSettled,
			"runs":       cmdRuns,
			"line":       cmdLine,
			"forge":      cmdForge,
			"lose":       cmdLose,
			"swap":       cmdSwap,

			"fingerprint": cmdFingerprint,
		},
		Setup: func(e *testscript.Env) error {
			e.Values[scriptTest{}] = e.T()
			e.Setenv("MAJOR", strconv.Itoa(major))
			e.Setenv("TZ", "America/Sao_Paulo")
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			password := filepath.Join(e.WorkDir, "password") // a script may have brought one, which others can read
			return errors.Join(os.WriteFile(password, []byte("a long password\n"), 0o600), os.Chmod(password, 0o600))
		},
	})
}

// scriptTest is the key of a script's *testing.T.
type scriptTest struct{}

func testOf(ts *testscript.TestScript) testing.TB { return ts.Value(scriptTest{}).(testing.TB) }

// postgres: a database of the script's own on a real server; $DBURL leads to it and $DB is its name. "postgres own"
// starts a server of the script's own, and $PGPID is its postmaster; "own archiving" one with archive_mode on,
// "own archiving checksums" one whose pages have checksums, too.
func cmdPostgres(ts *testscript.TestScript, _ bool, args []string) {
	t := testOf(ts)
	var opts []testkit.Option
	if len(args) > 0 && args[0] == "own" {
		opts = append(opts, testkit.Conf("wal_keep_size = 512MB"))
		if len(args) > 1 {
			opts = append(opts, testkit.Conf("archive_mode = on"))
		}
		if len(args) > 2 {
			opts = append(opts, testkit.InitArgs("--data-checksums"))
		}
	}
	major, err := strconv.Atoi(ts.Getenv("MAJOR"))
	ts.Check(err)
	s := testkit.Postgres(t, major, opts...)
	db := s.Database(t)
	ts.Setenv("DB", db)
	ts.Setenv("DBURL", s.URL(db))
	ts.Setenv("SERVERURL", s.URL("postgres"))
	ts.Setenv("PGPID", fmt.Sprint(s.PID()))
	ts.Setenv("PGBIN", s.BinDir)
	ts.Setenv(fmt.Sprintf("COFRE_POSTGRES_%d", s.Major), s.BinDir)
	ts.Setenv("PGDATA", s.Query(t, "postgres", "SHOW data_directory"))
	// Before those of the machine, which may be of another major.
	ts.Setenv("PATH", s.BinDir+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// runs EVENTS FILE: writes a line for each run in EVENTS, with its events in their order, tasks, notes and warnings left out, and one for what is
// of no run. The same event several times in a row is there once, with a +. Each event of a run must say when and of which installation it is, and
// each run by whom it is done, where, and with which configuration.
func cmdRuns(ts *testscript.TestScript, _ bool, args []string) {
	var runs []string
	lines := map[string]string{}
	for text := range strings.Lines(ts.ReadFile(args[0])) {
		var e struct {
			Run, Type string
			At        time.Time
			Source    struct{ Installation string }
			Fact      struct {
				Kind, What, Code, When, State, Within string
				Actor                                 cofre.Actor
				Configuration                         string `json:"configuration_sha256"`
			}
		}
		ts.Check(json.Unmarshal([]byte(text), &e))
		by := e.Fact.Actor
		if e.Run != "" && (e.At.IsZero() || e.Source.Installation == "") || e.Type == "run_began" && (by.Host == "" || by.User == "" || by.Version == "" || len(e.Fact.Configuration) != 64) {
			ts.Fatalf("this event does not say enough: %s", text)
		}
		if strings.HasPrefix(e.Type, "task_") || e.Type == "note" || e.Type == "warning" {
			continue
		}
		if lines[e.Run] == "" {
			runs = append(runs, e.Run)
			lines[e.Run] = "no run:"
		}
		switch e.Type {
		case "run_began":
			lines[e.Run] = strings.TrimSpace(e.Fact.Kind+" "+e.Fact.What) + ":"
			if e.Fact.Within != "" {
				lines[e.Run] = "within " + strings.Fields(lines[e.Fact.Within])[0] + " " + lines[e.Run]
			}
		case "run_ended":
			lines[e.Run] += " ended " + e.Fact.Code
		case "hook_began", "hook_ran":
			lines[e.Run] += " " + e.Type + "(" + e.Fact.When + ")"
		case "gap_found":
			lines[e.Run] += " gap_found(" + e.Fact.State + ")"
		default:
			if before := strings.TrimSuffix(lines[e.Run], "+"); strings.HasSuffix(before, " "+e.Type) {
				lines[e.Run] = before + "+"
			} else {
				lines[e.Run] += " " + e.Type
			}
		}
	}
	var b strings.Builder
	for _, r := range runs {
		b.WriteString(lines[r] + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}

// line NAME FILE: sets $NAME to the checkpoint of the journal that a backup has printed.
func cmdLine(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if checkpoint, ok := strings.CutPrefix(line, "journal "); ok {
			ts.Setenv(args[0], strings.TrimSpace(checkpoint))
			return
		}
	}
	ts.Fatalf("%s has no line of the journal", args[1])
}

// s3: a real object store of the script's own; $S3URL is an address in it, and its keys are in the environment.
func cmdS3(ts *testscript.TestScript, _ bool, _ []string) {
	s := testkit.S3(testOf(ts))
	ts.Setenv("S3URL", s.URL("cofre"))
	ts.Setenv("S3DIR", filepath.Join(s.Dir, s.Bucket))
	ts.Setenv("AWS_ACCESS_KEY_ID", s.AccessKey)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", s.SecretKey)
	ts.Defer(s.Stop)
}

// sql URL TEXT: runs TEXT through psql, stopping at the first error.
func cmdSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sql URL TEXT")
	}
	text := args[1]
	if name, ok := strings.CutPrefix(text, "@"); ok {
		text = ts.ReadFile(name)
	}
	cmd := exec.Command(filepath.Join(ts.Getenv("PGBIN"), "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", args[0])
	cmd.Stdin = strings.NewReader(text)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); (err != nil) != neg {
		ts.Fatalf("sql: %v", err)
	}
}

// points FILE: reads the JSON of cofre list and sets $P1, $P2, … to the ids, oldest first, and $PN to how many.
func cmdPoints(ts *testscript.TestScript, _ bool, args []string) {
	var doc struct{ Points []struct{ ID string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	for i, p := range doc.Points {
		ts.Setenv(fmt.Sprintf("P%d", i+1), p.ID)
	}
	ts.Setenv("PN", fmt.Sprint(len(doc.Points)))
}

// kept FILE: reads the JSON of cofre drill --keep, and sets $KEPT to the address of the database.
func cmdKept(ts *testscript.TestScript, _ bool, args []string) {
	var doc struct{ Kept struct{ URL string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	ts.Setenv("KEPT", doc.Kept.URL)
}

// exits CODE PROGRAM ARGS…: runs a program that must end with that exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// envsubst FILE…: replaces $NAME in files by the script's environment.
func cmdEnvsubst(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		b, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, []byte(os.Expand(string(b), ts.Getenv)), 0o600))
	}
}
