package demo_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/demo"
	"github.com/trustlayer/cofre/internal/testkit"
)

func TestDemonstration(t *testing.T) {
	if len(testkit.Majors()) == 0 {
		testkit.Missing(t, "postgres", "no PostgreSQL server programs: make services")
	}
	before, err := filepath.Glob(filepath.Join(os.TempDir(), "cofre-demo-*"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := demo.Run(ctx, demo.Options{Program: testkit.Release(t, "../cmd/cofre"), Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, sentence := range []string{"$ cofre backup", "$ cofre restore database latest", "$ cofre restore cluster", "promoted, and shut down", "EQUAL: everything"} {
		if !strings.Contains(out.String(), sentence) {
			t.Errorf("it does not say %q:\n%s", sentence, out.String())
		}
	}
	t.Log(out.String())
	if after, _ := filepath.Glob(filepath.Join(os.TempDir(), "cofre-demo-*")); len(after) > len(before) {
		t.Errorf("left behind: %q", after)
	}
}
