package basebackup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestConfigurationOutside backs up a cluster whose configuration lies outside of its data directory, loses that, and starts
// what is restored with what is printed.
func TestConfigurationOutside(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		dir := physicaltest.Room(t)
		etc := physicaltest.Shared(t, dir, "etc")
		physicaltest.Shared(t, etc, "conf.d")
		for name, text := range map[string]string{
			"postgresql.conf": fmt.Sprintf("# ours\nwork_mem = '7MB'\nhba_file = '%[1]s/pg_hba.conf'\nident_file = '%[1]s/pg_ident.conf'\n"+
				"wal_level = replica\ninclude_dir = 'conf.d' # further files\ninclude_if_exists 'none.conf'\ninclude = '%[1]s/more'\n", etc),
			"pg_hba.conf": "local @admins all trust # @none\nlocal all @admins trust\nlocal replication all trust\n",
			"admins":      "all # everybody\n@more.names\n", "more.names": "\"a b\", c", "pg_ident.conf": "map root postgres\n",
			"conf.d/10-more.conf": "maintenance_work_mem = '77MB'\n", "conf.d/passed-over.txt": "work_mem = '1MB'\n", "more": "WORK_MEM = 9MB\n",
		} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s := testkit.Postgres(t, major, func(o *throwaway.Options) { o.Args = append(o.Args, "-c", "config_file="+etc+"/postgresql.conf") })
		s.Exec(t, "postgres", "CREATE TABLE answers AS SELECT generate_series(1, 100) AS id")
		repo := repositorytest.NewMemory()
		for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
			source := basebackup.NewSource("test", basebackup.Config{Name: string(method), Server: s.Config("postgres"), Method: method})
			c := physicaltest.Backup(t, repo, source, nil)
			if err := os.Rename(etc, etc+".away"); err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, string(method))
			out := physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, VerifyBackup: true})
			if !strings.HasSuffix(out.Next[0].Command, "pg_ctl start -D "+to) {
				t.Errorf("next: %q", out.Next)
			}
			copied := physicaltest.Started{Bin: s.BinDir, Dir: to}
			copied.Ctl(t, "start")
			for sql, want := range map[string]string{
				"SHOW work_mem": "9MB", "SHOW maintenance_work_mem": "77MB", "SHOW hba_file": to + "/pg_hba.conf", "SHOW ident_file": to + "/pg_ident.conf",
				"SHOW config_file": to + "/postgresql.conf", "SELECT count(*) FROM answers": "100",
				"SELECT database || user_name FROM pg_hba_file_rules LIMIT 1":    `{all,"a b",c,all}`,
				"SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL": "0",
				"SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL":  "0",
			} {
				if got := copied.Ask(t, "postgres", sql); got != want {
					t.Errorf("%s: %s is %q, want %q", method, sql, got, want)
				}
			}
			copied.Ctl(t, "stop", "-m", "fast")
			if err := os.Rename(etc+".away", etc); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestConfigurationLeadsOut: postgresql.conf lies in the data directory, and what it names does not.
func TestConfigurationLeadsOut(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		dir := physicaltest.Room(t)
		etc := physicaltest.Shared(t, dir, "etc")
		for name, text := range map[string]string{"more.conf": "work_mem = '7MB'\n", "pg_hba.conf": "local all all trust\nlocal replication all trust\n"} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s := testkit.Postgres(t, major, testkit.Conf("hba_file = '"+etc+"/pg_hba.conf'", "include '"+etc+"/more.conf'"))
		for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
			repo := repositorytest.NewMemory()
			c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: string(method), Server: s.Config("postgres"), Method: method}), nil)
			if err := os.Rename(etc, etc+".away"); err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, string(method))
			physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, VerifyBackup: true})
			copied := physicaltest.Started{Bin: s.BinDir, Dir: to}
			copied.Ctl(t, "start")
			for sql, want := range map[string]string{"SHOW work_mem": "7MB", "SHOW hba_file": to + "/pg_hba.conf"} {
				if got := copied.Ask(t, "postgres", sql); got != want {
					t.Errorf("%s: %s is %q, want %q", method, sql, got, want)
				}
			}
			copied.Ctl(t, "stop", "-m", "fast")
			if err := os.Rename(etc+".away", etc); err != nil {
				t.Fatal(err)
			}
		}
	})
}
