package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

func nothing(string) string { return "" }

func environment(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestGoodFilesLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files to test", err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := config.Load(file, nothing)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yml")+".json", strings.ReplaceAll(string(got), here, "HERE")+"\n")
		})
	}
}

func TestBadFilesNameEveryProblem(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files to test", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := config.Load(file, nothing)
			if !errors.Is(err, cofre.ErrConfig) {
				t.Fatalf("got %v, want a configuration error", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats a secret:\n%v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yml")+".txt", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./config -update writes it anew:\n%s", file, diff)
	}
}

func TestAMissingFileSaysSo(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "cofre.yaml"), nothing)
	if !errors.Is(err, cofre.ErrNotFound) || cofre.Hint(err) == "" {
		t.Errorf("got %v (hint %q), want not found with a hint", err, cofre.Hint(err))
	}
}

func TestTheExampleLoadsWithEverySectionUncommented(t *testing.T) {
	dir := t.TempDir()
	load := func(text string) *config.Config {
		t.Helper()
		path := filepath.Join(dir, "cofre.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nothing)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := load(config.Example()); c.Database == nil || c.Cluster != nil {
		t.Errorf("the example as it is configures %+v", c)
	}
	// A line that begins with "# key:" or "#   key:" is YAML behind a mark; prose has no colon after its first word.
	var lines []string
	for line := range strings.Lines(config.Example()) {
		trimmed := strings.TrimLeft(line, " ")
		rest, isComment := strings.CutPrefix(trimmed, "# ")
		word, _, _ := strings.Cut(strings.TrimLeft(rest, " -"), ":")
		if isComment && word != "" && word == strings.ToLower(word) && !strings.ContainsAny(word, " .,(#") {
			line = line[:len(line)-len(trimmed)] + rest
		}
		lines = append(lines, line)
	}
	c := load(strings.Join(lines, ""))
	if c.Cluster == nil || c.Storage == nil || c.Files == nil || len(c.Copies) != 1 || len(c.Notify.To) != 2 || c.Notify.Heartbeat.URL.IsZero() || c.StateDir == "" || c.Timezone == "" {
		t.Errorf("not every section was read: %+v", c)
	}
}

func TestSecretsAreReadWhenAsked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cofre.yaml")
	text := "name: t\nrepository: {url: b, password: file:pw}\ndatabase: {url: postgres://u@h/d, password: env:PW}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	c, err := config.Load(path, environment(env))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Repository.Password.Read(); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "pw")) {
		t.Errorf("a missing file gave %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("senha\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env["PW"] = "outra"
	if v, err := c.Repository.Password.Read(); err != nil || v.Reveal() != "senha" {
		t.Errorf("the file gave %v", err)
	}
	if v, err := c.Database.Password.Read(); err != nil || v.Reveal() != "outra" {
		t.Errorf("the variable gave %v", err)
	}
	if c.Repository.URL != filepath.Join(dir, "b") {
		t.Errorf("the repository is %s, not beside the file", c.Repository.URL)
	}
}

func TestTheGuidesVariables(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{
			"the guide's script",
			map[string]string{
				"DB_HOST": "db", "DB_PASSWORD": "hunter2", "BACKUP_DIR": "/srv/b", "S3_BUCKET": "tl",
				"AWS_ACCESS_KEY_ID": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_ENDPOINT_URL": "http://s3:9000", "COFRE_PASSWORD": "hunter2",
			},
			`{"repository":"/srv/b/cofre","copies":["s3://tl/cofre?endpoint=http%3A%2F%2Fs3%3A9000"],"database":"postgres://postgres@db:5432/trustlayer","days":30,"storage":""}`,
		},
		{
			"a bucket alone, storage too",
			map[string]string{
				"S3_BUCKET": "tl", "AWS_REGION": "sa-east-1", "DB_NAME": "grc", "DB_PORT": "5433", "DB_USER": "app", "RETENTION_DAYS": "7",
				"SUPABASE_URL": "https://x", "SUPABASE_SERVICE_ROLE_KEY": "hunter2", "COFRE_PASSWORD_FILE": "/etc/pw",
			},
			`{"repository":"s3://tl/cofre?region=sa-east-1","copies":null,"database":"postgres://app@localhost:5433/grc","days":7,"storage":"https://x"}`,
		},
		{
			"a socket",
			map[string]string{"DB_HOST": "/run/postgresql", "COFRE_PASSWORD": "hunter2"},
			`{"repository":"/var/backups/trustlayer/cofre","copies":null,"database":"postgres://postgres@/trustlayer?host=%2Frun%2Fpostgresql\u0026port=5432","days":30,"storage":""}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := config.FromEnvironment(environment(test.env))
			if err != nil {
				t.Fatal(err)
			}
			seen := struct {
				Repository string   `json:"repository"`
				Copies     []string `json:"copies"`
				Database   string   `json:"database"`
				Days       int      `json:"days"`
				Storage    string   `json:"storage"`
			}{Repository: c.Repository.URL, Database: c.Database.URL, Days: c.Database.Keep.Days}
			for _, r := range c.Copies {
				seen.Copies = append(seen.Copies, r.URL)
			}
			if c.Storage != nil {
				seen.Storage = c.Storage.Supabase.URL
			}
			got, _ := json.Marshal(seen)
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
			all, err := json.Marshal(c)
			if err != nil || strings.Contains(string(all), "hunter2") {
				t.Errorf("the configuration prints a secret: %s (%v)", all, err)
			}
		})
	}
}

func TestWrongVariablesAreNamed(t *testing.T) {
	_, err := config.FromEnvironment(environment(map[string]string{
		"DB_PORT": "many", "RETENTION_DAYS": "-1", "S3_BUCKET": "s3://x", "SUPABASE_URL": "x", "BACKUP_DIR": "relative", "AWS_ACCESS_KEY_ID": "x",
	}))
	if !errors.Is(err, cofre.ErrConfig) {
		t.Fatal(err)
	}
	golden(t, "testdata/environment.txt", err.Error()+"\n")
	_, err = config.FromEnvironment(nothing)
	if !errors.Is(err, cofre.ErrConfig) || !strings.Contains(cofre.Hint(err), "cofre init") {
		t.Errorf("no variable at all gave %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(config.Example()))
	f.Add([]byte("name: &a [*a]\nhooks: *a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "cofre.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nothing)
		if err == nil && (c.Name == "" || c.Repository.URL == "") {
			t.Errorf("loaded without a name or a repository: %+v", c)
		}
		if err != nil && !errors.Is(err, cofre.ErrConfig) {
			t.Errorf("an error that is none of the configuration: %v", err)
		}
	})
}

func TestWhatIsNotActedOnIsNamed(t *testing.T) {
	c, err := config.Load("testdata/full.good.yml", nothing)
	if err != nil {
		t.Fatal(err)
	}
	if unused := c.Unused(); len(unused) > 0 { // what is read and not acted on is marked notYet
		t.Errorf("%v", unused)
	}
	if c, err = config.Load("testdata/minimal.good.yml", nothing); err != nil || len(c.Unused()) > 0 {
		t.Errorf("%v, %v", c.Unused(), err)
	}
}

func TestRelativePathsAreBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cofre.yaml")
	text := "name: t\nrepository: {url: 's3://b/p', password: file:pw, ca: ca.pem}\ntimezone: America/Sao_Paulo\n" +
		"storage: {s3: {endpoint: 'https://s3.example.com', ca: store.pem}}\ndatabase: {url: 'postgres://u@h:65535/?dbname=grc'}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if c.Storage.S3.CA != filepath.Join(dir, "store.pem") || c.Repository.CA != filepath.Join(dir, "ca.pem") {
		t.Errorf("the authorities are in %s and %s", c.Storage.S3.CA, c.Repository.CA)
	}
	if got := c.Database.DatabaseName(); got != "grc" {
		t.Errorf("the database is %q", got)
	}
	if got := c.Location().String(); got != "America/Sao_Paulo" {
		t.Errorf("the zone is %s", got)
	}
	if got, err := c.Repositories()[0].Address(); err != nil || got != "s3://b/p?ca="+url.QueryEscape(c.Repository.CA) {
		t.Errorf("the address is %s, %v", got, err)
	}
}

func TestAConfigurationThatCannotBeReadIsAnError(t *testing.T) {
	if _, err := config.Load(t.TempDir(), nothing); err == nil || errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("a folder for a file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "cofre.yaml")
	if err := os.WriteFile(path, bytes.Repeat([]byte("# long\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, nothing); err == nil {
		t.Error("7 MB were taken for a configuration")
	}
}

func TestStateFolder(t *testing.T) {
	c := &config.Config{}
	t.Setenv("XDG_CACHE_HOME", "/var/cache/of-mine")
	if got, err := c.StateFolder(); err != nil || got != "/var/cache/of-mine/cofre" {
		t.Error(got, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	t.Setenv("TMPDIR", t.TempDir())
	got, err := c.StateFolder()
	if os.Geteuid() == 0 {
		if got != "/var/cache/cofre" || err != nil {
			t.Error(got, err)
		}
	} else if info, statErr := os.Stat(got); err != nil || statErr != nil || info.Mode().Perm() != 0o700 {
		t.Error(got, err, statErr)
	} else {
		if err := os.Chmod(got, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := c.StateFolder(); !errors.Is(err, cofre.ErrConfig) {
			t.Errorf("a folder that all may write to: %v", err)
		}
	}
	c.StateDir = "/state"
	if got, err := c.StateFolder(); err != nil || got != "/state" {
		t.Error(got, err)
	}
}
