package journaling

import (
	"context"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// Expect refuses what a store holds unless its journal goes on from each line that a person has brought: it was taken back, written anew, or deleted. read reads the
// journal, and remembers the lines if they fit; again is the command that goes on without them. What else is wrong with the journal is not asked here.
//
// Errors: cofre.ErrFindings; those of read, without a result.
func Expect(ctx context.Context, read func(context.Context, string, Reading) (*Verified, error), lines []journal.Checkpoint, again string) error {
	v, err := read(ctx, "", Reading{Since: lines})
	if v == nil {
		return err
	}
	for _, f := range v.Findings {
		at := slices.IndexFunc(lines, func(c journal.Checkpoint) bool { return c.String() == f.Object })
		if at < 0 {
			continue
		}
		err := cofre.Fail(cofre.Say("journal.not_expected", "the storage does not hold what was expected, {{.line}}: {{.found}}", "line", f.Object, "found", f.Messages.Of(f.What)), cofre.ErrFindings)
		return cofre.WithHint(err, cofre.Say("journal.expect_hint", "compare each letter of the line with what was printed; if it is the same, bring the repository back from a copy or from older versions in the bucket. "+
			"To give up what the line vouches for, {{.expected}} entries of which the storage has {{.there}} or others, and go on with what is there: {{.command}}",
			"expected", lines[at].Size, "there", min(v.Entries, lines[at].Size), "command", again))
	}
	return nil
}
