package journaling

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// Runs puts together what the journal, the logs and this host know of runs. It needs no password. Whoever reads only some of it gets what there
// is, with the error.
//
// Errors: those of Know and Known.Verify; those of the store. A repository without a journal has none.
func Runs(ctx context.Context, st cofre.Store, stateDir string, h *runs.History) error {
	var err error
	k, unknown := Know(ctx, st, stateDir, "")
	switch {
	case unknown == nil:
		_, err = k.Verify(ctx, Reading{Visit: h.Take})
	case !errors.Is(unknown, cofre.ErrNotFound):
		err = unknown
	}
	logs, unlisted := runs.List(ctx, st)
	h.Logs(logs)
	return cmp.Or(err, unlisted)
}

// Detail is all that is known of one run.
type Detail struct {
	runs.Run
	Steps  *runs.Log `json:"log"`           // nil if it has no log, or it could not be read: Unread says why
	Unread error     `json:"-"`             // of the log, or of what an entry has sealed
	Why    *Why      `json:"why,omitempty"` // of one that failed
}

// FindRun is the run that an id or an unambiguous beginning or end of one names, or latest.
//
// Errors: cofre.ErrNotFound; cofre.ErrAmbiguous.
func FindRun(all []runs.Run, name string) (runs.Run, error) {
	named := cofre.Say("runs.run", "run \"{{.run}}\"", "run", name)
	list := cofre.Say("runs.list", "cofre runs lists them")
	if name == "latest" && len(all) > 0 {
		return all[len(all)-1], nil
	}
	found := slices.DeleteFunc(slices.Clone(all), func(r runs.Run) bool {
		return name == "" || !strings.HasPrefix(string(r.ID), name) && !strings.HasSuffix(string(r.ID), name)
	})
	switch len(found) {
	case 0:
		return runs.Run{}, cofre.WithHint(cofre.Fail(named, cofre.ErrNotFound), list)
	case 1:
		return found[0], nil
	}
	return runs.Run{}, cofre.WithHint(cofre.Fail(named, cofre.ErrAmbiguous, cofre.Fail(cofre.SayN("runs.several", len(found), "1 run is called so", "{{.n}} runs are called so"))), list)
}

// Describe reads what a run did. v may be nil, and unopened says why: then it is told without its log.
func Describe(ctx context.Context, r runs.Run, v Vault, unopened error) *Detail {
	d := &Detail{Run: r}
	if d.Steps = r.Local; d.Steps != nil {
		w := reasons(d.Steps.Message, d.Steps.Hint, d.Steps.Messages)
		d.Why = &w
		return d
	}
	if r.Log == nil && r.Sealed() == "" {
		return d
	}
	if v == nil {
		d.Unread = unopened
		return d
	}
	if r.Log != nil {
		l, err := r.Log.Read(ctx, v, r.Digest())
		if d.Unread = err; err == nil {
			d.Steps, d.Why = &l, &Why{l.Message, l.Hint, l.Messages}
			return d
		}
	}
	if r.Failed() && r.Sealed() != "" {
		var w Why
		err := journal.Open(v.Floor(), nil, nil).Unseal(ctx, v, r.Sealed(), &w)
		if d.Why = &w; err != nil {
			d.Why, d.Unread = nil, cmp.Or(d.Unread, err)
		}
	}
	return d
}
