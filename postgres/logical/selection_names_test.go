package logical

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
)

func TestANameAsItIsShownIsGivenBackAsItIsTyped(t *testing.T) {
	_, _, err := TableName(`public.Açúcar, "doce"`)
	want := `'"public"."Açúcar, ""doce"""'`
	if hint := cofre.Hint(err); !strings.HasSuffix(hint, want) {
		t.Fatalf("hint %q, want %s", hint, want)
	}
	schema, name, err := TableName(strings.Trim(want, "'"))
	if err != nil || schema != "public" || name != `Açúcar, "doce"` {
		t.Errorf("read as %q %q, %v", schema, name, err)
	}
	if got := quotedForShell(`d'água`); got != `'"public"."d'\''água"'` {
		t.Errorf("quoted %s", got)
	}
}
