package config_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

// Who configured cofre by variables is told of variables: there is no section to add to.
func TestWhatIsMissingIsAddedWhereTheRestIs(t *testing.T) {
	t.Parallel()
	c, err := config.FromEnvironment(func(name string) string {
		return map[string]string{"DB_HOST": "db", "COFRE_PASSWORD": "x", "BACKUP_DIR": "/var/backups"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[cofre.Kind]string{
		cofre.KindDatabase: "set DB_HOST, DB_NAME", cofre.KindStorage: "set SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY", cofre.KindCluster: "no variable leads to",
	} {
		if got := c.Adding(kind).Text; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, not %s", kind, got, want)
		}
		if got := new(config.Config).Adding(kind).Text; got != "add a section "+string(kind)+" to the configuration" {
			t.Errorf("with a file: %s", got)
		}
	}
}
