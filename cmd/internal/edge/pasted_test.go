package edge_test

import (
	"testing"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

func TestCommandsHaveTheConfigurationThatWasNamed(t *testing.T) {
	for text, want := range map[string]string{
		"cofre list":                                        "cofre --config '/etc/my cofre.yaml' list",
		"see which with: cofre verify; then":                "see which with: cofre --config '/etc/my cofre.yaml' verify; then",
		"in cofre.yaml, or see them with: cofre list --all": "in cofre.yaml, or see them with: cofre --config '/etc/my cofre.yaml' list --all",
		"/usr/bin/cofre wal archive %p":                     "/usr/bin/cofre wal archive %p",
		"a cofre of its own":                                "a cofre of its own",
		"cofre check-provider s3":                           "cofre --config '/etc/my cofre.yaml' check-provider s3",
	} {
		a := &edge.App{ConfigFile: "/etc/my cofre.yaml"}
		if got := a.Pasted(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := (&edge.App{}).Pasted(text); got != text {
			t.Errorf("without a configuration: %q", got)
		}
	}
}
