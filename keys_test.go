package cofre_test

import (
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/config"
)

// A key that is accepted and documented, and that nothing reads, is a promise that is not kept. What the programs read of a
// configuration is found by the compiler's own types; each key that the table calls used must be among it, and each
// that it says nothing acts on must not.
func TestEveryConfigurationKeyIsUsedAsTheTableSays(t *testing.T) {
	read := fieldsRead(t, "agent", "notify", "installation", "installation/expiry", "installation/standing", "installation/sources", "installation/drilling", "installation/walstore", "policy", "cmd/cofre", "cmd/internal/edge", "cmd/internal/screen")
	// Read where the configuration is put together: what a copy and a storage take from elsewhere, and which is set.
	for _, inside := range []string{"S3.Buckets", "Config.Path"} {
		read[inside] = true
	}
	for _, s := range config.Sections() {
		for _, k := range s.Keys {
			field := s.Field(k.Name)
			switch {
			case k.UsedBy != "" && !read[field]:
				t.Errorf("%s is used by %s, says the table, and nothing reads config.%s", strings.TrimPrefix(s.Name+"."+k.Name, "."), k.UsedBy, field)
			case k.UsedBy == "" && read[field]:
				t.Errorf("nothing acts on %s, says the table, and config.%s is read", strings.TrimPrefix(s.Name+"."+k.Name, "."), field)
			}
		}
	}
}

// fieldsRead names the fields of the types of package config that packages read: "Cluster.Jobs".
func fieldsRead(t *testing.T, packages ...string) map[string]bool {
	t.Helper()
	read := map[string]bool{}
	for _, p := range typed(t) {
		if !slices.Contains(packages, p.path) {
			continue
		}
		for _, s := range p.info.Selections {
			of := s.Recv()
			if ptr, ok := of.(*types.Pointer); ok {
				of = ptr.Elem()
			}
			named, ok := of.(*types.Named)
			if ok && s.Kind() == types.FieldVal && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == module+"/config" {
				read[named.Obj().Name()+"."+s.Obj().Name()] = true
			}
			// A method of the configuration reads for its caller.
			if ok && s.Kind() == types.MethodVal && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == module+"/config" {
				for _, field := range readByMethod[named.Obj().Name()+"."+s.Obj().Name()] {
					read[field] = true
				}
			}
		}
	}
	return read
}

// readByMethod says which fields the methods of package config read for those who call them.
var readByMethod = map[string][]string{
	"Config.Repositories": {"Config.Repository", "Config.Copies"},
	"Config.Location":     {"Config.Timezone"},
	"Policy.ReviewEvery":  {"Policy.Review"},
	"Config.StateFolder":  {"Config.StateDir"},
	"Repository.Address":  {"Repository.URL", "Repository.CA"},
	"Credentials.Into":    {"Credentials.AccessKey", "Credentials.SecretKey", "Credentials.SessionToken"},
}
