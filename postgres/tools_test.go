package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/postgres"
)

// TestToolsOfTheOwnMajorAreTheOnlyOnesAsked has three installations, each of which writes down that it was asked for its version.
func TestToolsOfTheOwnMajorAreTheOnlyOnesAsked(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	for _, major := range []int{28, 29, 30} {
		bin := filepath.Join(dir, fmt.Sprint(major))
		if err := os.Mkdir(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		program := fmt.Sprintf("#!/bin/sh\necho %d >>%s\necho 'pg_dump (PostgreSQL) %d.1'\n", major, asked, major)
		if err := os.WriteFile(filepath.Join(bin, "pg_dump"), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv(fmt.Sprintf("COFRE_POSTGRES_%d", major), bin)
	}
	for _, c := range []struct {
		server postgres.Version
		want   string
		only   bool
	}{
		{280000, "28.1", true},
		{290003, "29.1", true},
		{300000, "30.1", true},
		{270000, "30.1", false}, // none of its own: the newest of all
	} {
		if err := os.RemoveAll(asked); err != nil {
			t.Fatal(err)
		}
		tools, err := postgres.FindTools(t.Context(), c.server)
		if err != nil || tools.Version.String() != c.want || filepath.Base(tools.Dir) != fmt.Sprint(tools.Version.Major()) {
			t.Fatalf("for %s: %+v, %v", c.server, tools, err)
		}
		b, err := os.ReadFile(asked)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(string(b)); c.only && (len(got) != 1 || got[0] != fmt.Sprint(tools.Version.Major())) {
			t.Errorf("for %s these were asked: %q", c.server, got)
		} else if !c.only && len(got) != 3 {
			t.Errorf("for %s only these were asked: %q", c.server, got)
		}
	}
	if _, err := postgres.FindTools(t.Context(), 310000); err == nil || !strings.Contains(err.Error(), "28.1, 29.1, 30.1") {
		t.Errorf("nothing is new enough: %v", err)
	}
}
