package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/trustlayer/cofre"
)

// Check is the name of the findings of Verify.
const Check = "journal"

// Verified is what Verify found.
type Verified struct {
	Entries  int64           `json:"entries"`
	Newest   Checkpoint      `json:"newest"`   // whose signature and root are right
	Unsigned int64           `json:"unsigned"` // entries that no checkpoint covers yet: a writer ended between the two
	Findings []cofre.Finding `json:"findings"`
}

// Verify reads the whole journal, and compares it with every checkpoint that it has, and with those that somebody kept elsewhere. What was
// dropped, changed, put in another order, cut off at the end, forked or taken back is named. It needs no password. What nobody kept a
// checkpoint of can be rewritten whole by whoever has the signing key: that is what since is for.
//
// Errors: those of the store.
func (j *Journal) Verify(ctx context.Context, since ...Checkpoint) (*Verified, error) {
	v := &verifier{j: j, kept: map[int64][]Checkpoint{}, res: &Verified{Findings: []cofre.Finding{}}}
	for _, c := range since {
		v.kept[c.Size] = append(v.kept[c.Size], c)
	}
	var err error
	if v.entries, err = v.numbers(ctx, entriesPrefix); err == nil {
		v.checkpoints, err = v.numbers(ctx, checkpointsPrefix)
	}
	if err == nil {
		err = v.walk(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("verify the journal: %w", err)
	}
	return v.res, nil
}

type verifier struct {
	j                    *Journal
	kept                 map[int64][]Checkpoint // by size
	entries, checkpoints map[int64]bool         // by number: what is there
	tree                 compact                // of what was read
	res                  *Verified
}

// numbers lists what is there. A name that is no number is a finding: nothing of ours has such a name.
func (v *verifier) numbers(ctx context.Context, prefix string) (map[int64]bool, error) {
	there := map[int64]bool{}
	for o, err := range v.j.store.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(o.Name, prefix), 10, 64)
		if err != nil || len(o.Name) != len(prefix)+digits || n < 0 {
			v.find(o.Name, cofre.Say("journal.foreign", "it is not of a journal"))
			continue
		}
		there[n] = true
	}
	return there, nil
}

func (v *verifier) find(object string, what cofre.Message) {
	v.res.Findings = append(v.res.Findings, cofre.Finding{Check: Check, Object: object}.Saying(what))
}

// walk reads the entries in order. After each it looks at the checkpoint of that size.
func (v *verifier) walk(ctx context.Context) error {
	last := int64(-1)
	for n := range v.entries {
		last = max(last, n)
	}
	end := last + 1
	for n := range v.checkpoints {
		end = max(end, n)
	}
	signed := int64(0)
	for n := int64(0); n < end; n++ {
		if err := v.entry(ctx, n, last); err != nil {
			return err
		}
		if v.checkpoints[n+1] {
			ok, err := v.checkpoint(ctx, n+1)
			if err != nil {
				return err
			}
			if ok {
				signed = n + 1
			}
		}
		v.compare(n + 1)
	}
	v.res.Entries, v.res.Unsigned = last+1, max(0, last+1-signed)
	for size, kept := range v.kept {
		if size > end {
			for _, c := range kept {
				v.find(c.String(), cofre.SayN("journal.taken_back", int(end), "the journal was taken back: it has 1 entry, and had more when this was signed", "the journal was taken back: it has {{.n}} entries, and had more when this was signed"))
			}
		}
	}
	return nil
}

// entry reads one entry. What cannot be read counts in the tree as what it is not, so that the next checkpoint finds it, too, and is then
// gone on from.
func (v *verifier) entry(ctx context.Context, n, last int64) error {
	if !v.entries[n] {
		what := cofre.Say("journal.missing", "it was removed: there are later ones")
		if n > last {
			what = cofre.Say("journal.cut", "it was removed from the end: a checkpoint says that it was there")
		}
		v.find(entryName(n), what)
		v.tree.add(tlog.Hash{})
		return nil
	}
	text, err := v.j.read(ctx, entryName(n), maxEntry)
	if err == nil {
		_, parseErr := parse(text)
		if parseErr != nil {
			v.find(entryName(n), cofre.Say("journal.unreadable", "it cannot be read: {{.err}}", "err", parseErr))
		}
		v.tree.add(tlog.RecordHash(text))
		return nil
	}
	if !errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	v.find(entryName(n), cofre.Say("journal.unreadable", "it cannot be read: {{.err}}", "err", err))
	v.tree.add(tlog.Hash{})
	return nil
}

// checkpoint compares a signed checkpoint with what was read up to it. If they differ, the last entry before it is named: the checkpoint
// before it was right. The walk then goes on from what was signed, so that each change is named once.
func (v *verifier) checkpoint(ctx context.Context, size int64) (ok bool, err error) {
	c, r, err := v.j.open(ctx, size)
	if errors.Is(err, cofre.ErrCorrupt) {
		v.find(checkpointName(size), cofre.Say("journal.checkpoint_unsigned", "no admitted key has signed it: {{.err}}", "err", err))
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if v.tree.root() != c.Root {
		if v.entries[size-1] {
			v.find(entryName(size-1), cofre.Say("journal.changed", "it is not what was signed, or one of those before it that have no checkpoint of their own"))
		}
		v.tree = *r
	}
	v.res.Newest = c
	return true, nil
}

// compare holds what was read against what somebody kept.
func (v *verifier) compare(size int64) {
	for _, c := range v.kept[size] {
		if v.res.Newest.Origin != "" && v.res.Newest.Origin != c.Origin {
			v.find(c.String(), cofre.Say("journal.another", "it is of another journal: this one is of {{.origin}}", "origin", v.res.Newest.Origin))
		} else if v.tree.root() != c.Root {
			v.find(c.String(), cofre.Say("journal.rewritten", "the journal was rewritten: what it begins with is not what was signed here"))
		}
	}
}
