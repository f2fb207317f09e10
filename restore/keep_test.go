package restore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/restore"
)

// keeping is a target that keeps a copy that differs.
type keeping struct {
	target
	fails error
}

func (k *keeping) Keep(context.Context, *cofre.Proof) (cofre.KeptCopy, error) {
	k.calls = append(k.calls, "keep")
	return cofre.KeptCopy{Name: "app_restore_1", Drop: "DROP IT"}, k.fails
}

func TestACopyThatDiffersIsKeptUntilItIsAccepted(t *testing.T) {
	repo, c := stored(t)
	proof := func() *cofre.Proof {
		return &cofre.Proof{Checks: []cofre.Checked{
			{What: "rows", Want: "2", Got: "2", OK: true},
			{What: "index i", Want: "as captured", Got: "missing"},
			{What: "policy p on t", Want: "as captured", Got: "missing"},
			{What: "order of columns", Want: "a, b", Got: "b, a", Accepted: "no dump keeps it"},
		}}
	}
	for name, test := range map[string]struct {
		accept []string
		fails  error
		calls  string
		want   error
		names  []string // what is still to be accepted
	}{
		"nothing is accepted": {nil, nil, "plan stage check keep", cofre.ErrUnproven, []string{"index i", "policy p on t"}},
		"one of two":          {[]string{"index i", "another"}, nil, "plan stage check keep", cofre.ErrUnproven, []string{"policy p on t"}},
		"all":                 {[]string{"policy p on t", "index i"}, nil, "plan stage check publish", cofre.ErrPartial, nil},
		"it cannot be kept":   {nil, errors.New("gone"), "plan stage check keep discard", cofre.ErrUnproven, nil},
	} {
		k := &keeping{target: target{proof: proof()}, fails: test.fails}
		res, err := restore.Run(t.Context(), repo, restore.Request{Point: "p", Component: c, Target: k, Accept: test.accept})
		if !errors.Is(err, test.want) || strings.Join(k.calls, " ") != test.calls {
			t.Errorf("%s: %v after %q", name, err, k.calls)
		}
		if (res.Kept != nil) != (len(test.names) > 0) {
			t.Errorf("%s: kept %+v", name, res.Kept)
			continue
		}
		if res.Kept != nil {
			var names []string
			d := res.Decision(func(n []string) string { names = n; return "TAKE IT" }).Text
			if !slices.Equal(names, test.names) || !strings.Contains(d, "TAKE IT") || !strings.Contains(d, "DROP IT") {
				t.Errorf("%s: %s, for %q", name, d, names)
			}
		}
	}
}
