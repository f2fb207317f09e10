package cofre_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/trustlayer/cofre"

// heights holds every package of the house. A package imports only what is lower; adapters of one height
// never see one another. The longest matching prefix counts.
var heights = map[string]int{
	".":                              0, // vocabulary
	"internal/":                      1, // plumbing, one idea each
	"internal/testkit":               4, // real services for tests: above what starts them
	"store":                          2, // plain durable objects, on a folder or S3
	"observe":                        1, // events to those who follow them
	"postgres/pgdata":                1, // pure: on-disk formats
	"postgres/recovery":              2, // pure: base backups, WAL and a recovery target to the way there
	"postgres/pgarchive":             1, // pure: the pg_dump archive format
	"postgres":                       2, // connects; says what the server is; finds the client tools
	"postgres/fingerprint":           3, // what the catalogs say of a database, and the comparison of two such readings
	"postgres/storagerows":           3, // storage.objects of Supabase, read and set
	"postgres/throwaway":             3, // a PostgreSQL server that ends with its user
	"postgres/drilled":               4, // a throwaway server that touches nothing real, and is asked
	"postgres/logical":               4, // the component of a dump
	"postgres/logical/globals":       4, // the script of roles, as statements
	"postgres/logical/foreignkey":    4, // keys over rows that are lost
	"postgres/logical/pgrestore":     4, // what pg_restore says, and what ends it
	"postgres/logical/checks":        4, // CHECK constraints that wait until rows were compared
	"postgres/logical/dump":          5, // a component, from a database
	"postgres/logical/restoring":     5, // a database, from a component
	"postgres/logical/rescue":        5, // one table, from a component
	"postgres/logical/export":        5, // files that stock tools read, from a component
	"postgres/logical/logicaltest":   7,
	"postgres/physical":              3, // the component of a base backup
	"postgres/physical/datadir":      2, // a data directory on disk
	"postgres/physical/view":         3, // a server's files, as this process sees them
	"postgres/physical/conffile":     4, // configuration files without includes
	"postgres/physical/archiving":    4, // how a server fares with its WAL archive
	"postgres/physical/settings":     4, // what a restored cluster is told
	"postgres/physical/basebackup":   5, // takes one
	"postgres/physical/restoring":    5, // a data directory, from a component
	"postgres/physical/recovering":   5, // the server of one, until its target
	"postgres/physical/adopting":     5, // a copy becomes the original
	"postgres/physical/physicaltest": 7,
	"postgres/wal":                   3,
	"postgres/wal/origin":            2, // who archived it, and who is believed
	"postgres/wal/keyfile":           2, // the key of a repository, kept twice
	"postgres/wal/sealed":            2, // what one archived file is as an object
	"postgres/wal/fetch":             4, // brings it back, for a server or a reader
	"postgres/wal/check":             4, // reads all of it back
	"postgres/wal/probe":             5, // sends a mark through it
	"postgres/wal/stream":            4, // receives from a replication slot
	"bucket":                         2,
	"bucket/spill":                   1, // more records than memory should hold, by shards
	"bucket/restoring":               3, // a captured storage, to a store
	"bucket/s3":                      3,
	"bucket/supabase":                3,
	"bucket/dir":                     3,
	"bucket/buckettest":              3,
	"files":                          2,
	"repository":                     5,
	"repository/seal":                2, // what was written, with its hash
	"repository/epochs":              2, // which indexes the library is shown
	"repository/blobs":               3, // Kopia's storage on a store
	"repository/readback":            4, // what the store holds, compared with its seals
	"repository/trouble":             2, // what an error of the library means
	"repository/told":                1, // what records of damage say, as messages
	"repository/opening":             4, // what is needed before the library is
	"repository/kit":                 4, // what a person needs when the machine is gone
	"repository/vouching":            4, // what somebody with the password has written, told from what others have
	"repository/pruning":             3, // gives back what no point refers to
	"repository/compressors":         1, // the library's, faster
	"repository/manifests":           3, // the catalog as Kopia keeps it
	"repository/published":           4, // which points there are, with a memory of this machine
	"repository/directory":           2, // directories as Kopia has them
	"repository/repositorytest":      6,
	"catalog":                        2, // use cases see contracts, never adapters
	"schedule":                       1, // pure: a crontab line and a time zone to moments
	"alerts":                         1, // pure: when somebody is to be called, and the files that say so
	"agent/due":                      2, // pure: a schedule, what ran, and the time to what is to be done
	"retention":                      1, // pure: components, rules, holds and clocks to what is kept
	"lease":                          3, // one process at a time, across machines
	"journal":                        3, // what happened to a repository, never rewritten
	"coverage":                       3, // what was read back, and what is due
	"backup":                         3,
	"restore":                        3,
	"restore/targettest":             2, // the contract of a cofre.Target, for the tests of adapters
	"verify":                         4,
	"drills":                         4, // pure: what drills have established, and how long a recovery takes
	"config":                         4,
	"demo":                           5,
	"policy":                         5, // pure: what a configuration promises, for people to read and sign
	"status":                         5, // pure: configuration, catalog, journal and WAL to how an installation stands
	"installation":                   8, // the product as a library: adapters meet use cases
	"installation/difference":        6, // what changed from one point to another
	"installation/needs":             6, // what a restore needs that a point does not have
	"installation/walcheck":          6, // the WAL of each repository, proven by itself
	"installation/walhealth":         5, // what keeps archived WAL from being of use
	"installation/walorigin":         6, // whom each repository believes of those that archive
	"installation/walmend":           5, // what one repository has lost of it, from another
	"installation/turn":              6, // one machine at a time does a job
	"installation/remedy":            6, // what mends what a verification found
	"installation/journaling":        5, // the journal of what the product does, from its facts
	"installation/record":            6, // the catalog against the journal
	"installation/policies":          6, // what is promised against what was signed
	"installation/reserve":           6, // room for the day on which the disk is full
	"installation/custody":           5, // who else may read or write the files that an installation believes
	"installation/hooks":             5, // commands around backups and restores
	"installation/sources":           6, // what is captured, and the servers and stores that a configuration names
	"installation/loss":              5, // what is known to be lost, by the names that people know
	"installation/room":              6, // whether the next backup has room
	"installation/sealing":           6, // the repository, sealed under its password
	"installation/expiry":            6, // what goes, what stays, and why
	"installation/belief":            7, // the catalog against the journal, for latest and what is missing
	"installation/standing":          7, // gathers what a status goes by
	"installation/drilling":          7, // what is captured, restored where it touches nothing, and proven there
	"installation/doctor":            7, // looks at everything that a backup needs
	"installation/runs":              4, // each run: begun, step by step, ended or killed
	"installation/walstore":          5, // what PostgreSQL calls for each segment needs of it: no repository
	"metrics":                        6, // a status, as Prometheus reads it
	"notify":                         6, // people are told what is wrong, once
	"tracing":                        1, // what happens, as spans to whoever collects them
	"agent":                          9, // what is due, done by itself
	"bench":                          9,
	"cmd/internal/edge":              8, // what the programs have in common
	"cmd/internal/screen":            9, // draws what a person sees
	"cmd/":                           10,
	"test/":                          9,
}

// Where a package may import another of a height that is not lower, the reason is written here.
var exceptions = map[[2]string]string{}

// useCases never import an adapter: they test in memory.
var useCases = []string{"catalog", "backup", "restore", "verify"}

var adapters = []string{"store", "postgres", "bucket", "files", "repository"}

// guarded names the only importers of a third-party module, and why.
var guarded = []struct {
	module string
	only   []string
	why    string
}{
	{"github.com/kopia/kopia", []string{"repository"}, "the engine's words stay in one room, so that it can be replaced"},
	{"github.com/jackc/", []string{"postgres", "bench", "demo", "test", "internal/testkit"}, "PostgreSQL is spoken in one family"},
	{"github.com/minio/minio-go", []string{"internal/s3client", "store", "bucket/s3", "internal/testkit"}, "one way of reaching S3"},
	{"github.com/goccy/go-yaml", []string{"config"}, "one reader of configuration"},
	{"github.com/spf13/cobra", []string{"cmd"}, "the command line is the edge"},
	{"github.com/vbauerster/mpb", []string{"cmd/internal/screen"}, "one package draws"},
	{"github.com/jedib0t/go-pretty", []string{"cmd/internal/screen"}, "one package draws"},
	{"github.com/prometheus", []string{"metrics"}, "one place where a status becomes metrics"},
	{"go.opentelemetry.io", []string{"tracing"}, "one place says what leaves the machine as a trace"},
	{"github.com/nicholas-fedor/shoutrrr", []string{"notify"}, "its errors repeat addresses, which are secrets, and are cleaned there"},
	{"github.com/nicksnyder/go-i18n", []string{"internal/language"}, "one place where sentences become a language"},
	{"filippo.io/age", []string{"postgres/wal", "repository"}, "WAL segments are the only age files"},
}

func TestArchitecture(t *testing.T) {
	for dir, files := range goFiles(t) {
		height, ok := heightOf(dir)
		if !ok {
			t.Errorf("%s has no height: add it to heights in arch_test.go, with what it is", dir)
			continue
		}
		for file, imports := range files {
			isTest := strings.HasSuffix(file, "_test.go")
			for _, imp := range imports {
				if inner, ok := strings.CutPrefix(imp, module); ok {
					to := strings.TrimPrefix(inner, "/")
					if to == "" {
						to = "."
					}
					if !isTest {
						checkArrow(t, file, dir, height, to)
					}
					continue
				}
				if dir == "." && !isTest && strings.Contains(imp, ".") {
					t.Errorf("%s imports %s: the vocabulary imports the standard library only", file, imp)
				}
				for _, g := range guarded {
					if strings.HasPrefix(imp, g.module) && !isTest && !under(dir, g.only) {
						t.Errorf("%s imports %s, which only %s may: %s", file, imp, strings.Join(g.only, ", "), g.why)
					}
				}
			}
		}
	}
}

func checkArrow(t *testing.T, file, from string, height int, to string) {
	t.Helper()
	toHeight, ok := heightOf(to)
	if !ok {
		return // reported where that directory is visited
	}
	if isKit(to) && !isKit(from) && !under(from, []string{"bench", "test"}) {
		t.Errorf("%s imports %s: test kits are for tests", file, to)
	}
	sameRoom := from != "." && to != "." && strings.HasPrefix(from, "internal/") && strings.HasPrefix(to, "internal/")
	if toHeight >= height && !sameRoom && exceptions[[2]string{from, to}] == "" {
		t.Errorf("%s (height %d) imports %s (height %d): arrows point down", file, height, to, toHeight)
	}
	if under(from, useCases) && under(to, adapters) {
		t.Errorf("%s is a use case and imports the adapter %s: it should see a contract of package cofre", file, to)
	}
	if under(from, adapters) && under(to, adapters) && family(from) != family(to) && to != "store" && !isKit(from) {
		t.Errorf("%s is an adapter and imports the adapter %s: they meet in installation", file, to)
	}
}

// isKit reports whether a package helps tests, which its name says.
func isKit(dir string) bool {
	return under(dir, []string{"internal/testkit"}) || strings.Contains(dir, "/") && strings.HasSuffix(dir, "test")
}

// most is how many lines a package may have without its tests: with more, nobody finds the room of a line.
const most = 4000

func TestNoPackageIsTooLarge(t *testing.T) {
	for dir, files := range goFiles(t) {
		lines := 0
		for file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(text), "\n")
		}
		if lines > most {
			t.Errorf("package %s has %d lines, more than %d: which of its ideas can have a package of its own?", dir, lines, most)
		}
	}
}

// PostgreSQL starts cofre-wal for each segment, and waits while it is linked and initialized.
func TestTheSmallProgramBringsNoRepository(t *testing.T) {
	found := goFiles(t)
	seen := map[string]bool{}
	var visit func(dir string, way []string)
	visit = func(dir string, way []string) {
		way = append(way, dir)
		if family(dir) == "repository" {
			t.Errorf("%s: what cofre-wal needs must be had without the repository's engine", strings.Join(way, " imports "))
		}
		if seen[dir] {
			return
		}
		seen[dir] = true
		for file, imports := range found[dir] {
			for _, imp := range imports {
				if inner, ok := strings.CutPrefix(imp, module+"/"); ok && !strings.HasSuffix(file, "_test.go") {
					visit(inner, way)
				}
			}
		}
	}
	visit("cmd/cofre-wal", nil)
	if !seen["installation/walstore"] {
		t.Error("cofre-wal does not come by installation/walstore: this test looks at nothing")
	}
}

// light are the packages that each segment of WAL pays for: they never reach the engine of the repository.
var light = []string{"installation/walstore", "cmd/internal/edge", "cmd/cofre-wal"}

func TestWhatPostgreSQLCallsKnowsNoEngine(t *testing.T) {
	packages := goFiles(t)
	for _, from := range light {
		if len(packages[from]) == 0 {
			t.Fatalf("%s is no package", from)
		}
		reached := map[string]bool{from: true}
		for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
			for file, imports := range packages[queue[0]] {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				for _, imp := range imports {
					to, ok := strings.CutPrefix(imp, module+"/")
					if !ok || reached[to] {
						continue
					}
					reached[to] = true
					queue = append(queue, to)
					if family(to) == "repository" {
						t.Errorf("%s reaches %s, by %s: every segment of WAL would pay for it", from, to, file)
					}
				}
			}
		}
	}
}

// A program that was built in the checkout is soon committed by accident, and every clone carries it for ever.
func TestNothingLargeIsInTheHistory(t *testing.T) {
	if _, err := os.Stat(".git"); err != nil {
		t.Skip("not a checkout")
	}
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		if info, err := os.Lstat(name); err == nil && info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes; files of the project have at most 1 MiB", name, info.Size())
		}
	}
}

func TestEveryPackageHasADoc(t *testing.T) {
	for dir, files := range goFiles(t) {
		documented, source := false, false
		for file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source = true
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || f.Doc != nil
		}
		if source && !documented {
			t.Errorf("package %s has no package comment: say what it is, what it is not, and what to read first", dir)
		}
	}
}

func heightOf(dir string) (int, bool) {
	if h, ok := heights[dir]; ok {
		return h, true
	}
	best, height := -1, 0
	for prefix, h := range heights {
		if prefix == "." {
			continue
		}
		trimmed := strings.TrimSuffix(prefix, "/")
		if under(dir, []string{trimmed}) && len(trimmed) > best {
			best, height = len(trimmed), h
		}
	}
	return height, best >= 0
}

func under(dir string, prefixes []string) bool {
	for _, p := range prefixes {
		if dir == p || strings.HasPrefix(dir, p+"/") {
			return true
		}
	}
	return false
}

func family(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// goFiles parses the imports itself: what a subprocess such as go list reads is invisible to the test cache,
// and the test would go on passing after a violation was added.
func goFiles(t *testing.T) map[string]map[string][]string {
	t.Helper()
	found := map[string]map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "node_modules" || (strings.HasPrefix(name, ".") && name != ".") {
				return filepath.SkipDir
			}
			// A module of its own has a house of its own.
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if found[dir] == nil {
			found[dir] = map[string][]string{}
		}
		imports := []string{}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, p)
		}
		found[dir][filepath.ToSlash(path)] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
