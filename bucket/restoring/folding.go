package restoring

import (
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/spill"
)

// claims says whose a name is in a place that takes several names for one: the first comer's, and before that what is there.
// In any other place it is nil. What is guarded by Target.mu.
type claims map[string]string

// claimPresent finds out whether the place folds names, and gives what is there its names.
func (t *Target) claimPresent() error {
	f, ok := t.cfg.To.(bucket.Folding)
	if !ok {
		return nil
	}
	if !slices.ContainsFunc(t.buckets, func(b bucket.Bucket) bool { _, folds := f.Folded(b.ID + "/a"); return folds }) {
		return nil
	}
	t.claims = claims{}
	for _, shard := range spill.Shards(spill.MaxDigits) {
		rows, err := spill.Records[bucket.Object](t.present, shard)
		if err != nil {
			return err
		}
		for _, o := range rows {
			t.claim(f, o.Path())
		}
	}
	return nil
}

// claim takes a path and the folders on it, and returns what has one of these names already.
func (t *Target) claim(f bucket.Folding, whole string) (other string, taken bool) {
	var steps []string
	for p := whole; p != "." && p != "/" && strings.Contains(p, "/"); p = path.Dir(p) {
		steps = append(steps, p)
	}
	for _, p := range slices.Backward(steps) {
		folded, _ := f.Folded(p)
		if has, ok := t.claims[folded]; ok && has != p {
			return has, true
		}
		t.claims[folded] = p
	}
	return "", false
}

// folded says that an object cannot have its name, as the place takes it for one that another has, or nothing.
func (t *Target) folded(l bucket.Located) cofre.Message {
	if t.claims == nil {
		return cofre.Message{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	other, taken := t.claim(t.cfg.To.(bucket.Folding), l.Path())
	if !taken {
		return cofre.Message{}
	}
	t.counts.folded++
	return cofre.Say("bucket.folded", "the file system takes its name for that of {{.other}}, which is there", "other", other)
}
