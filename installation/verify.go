package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/needs"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walcheck"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/verify"
)

// VerifyOptions say what is verified, and how deep. The zero value looks whether everything that any point refers to is there.
type VerifyOptions struct {
	Point string      // an id, an unambiguous prefix of one, or latest; empty is every point of the repository
	Level cofre.Level // "" is LevelStructure
}

// Verify checks recovery points, and the WAL that is archived beside them. Damage is named by table, object or file if it can be.
//
// Errors: cofre.ErrFindings with the result, if something is wrong; cofre.ErrPartial with it, if what is stored is whole and a point that
// counts is known to lack something; those of the repository, with what was found before.
func (in *Installation) Verify(ctx context.Context, o VerifyOptions) (_ *verify.Result, err error) {
	end := in.begin(ctx, cofre.RunVerify, observe.About{})
	defer func() { end(err) }()
	res, err := in.verify(ctx, o)
	if errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrFindings) {
		// So damaged that it does not open: that is what was asked.
		err = fmt.Errorf("%w: %w", cofre.ErrFindings, err)
	}
	return res, err
}

func (in *Installation) verify(ctx context.Context, o VerifyOptions) (*verify.Result, error) {
	since, unread := in.journalSize(ctx) // before the catalog is read: what is published later is not asked for
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	points, lacking := slices.Collect(cat.List(catalog.Want{})), cat.Lacking()
	if o.Point != "" {
		p, err := cat.Find(o.Point, catalog.Want{Installation: in.cfg.Name})
		if err != nil {
			return nil, err
		}
		points, lacking = []cofre.RecoveryPoint{p}, catalog.Lacking(p, catalog.Want{})
	}
	level := cmp.Or(o.Level, cofre.LevelStructure)
	backups, sizes, err := baseBackups(cat, "")
	if err != nil {
		return nil, err
	}
	beside := walcheck.Options{Level: level, Backups: backups, Sizes: sizes, Since: in.WAL().promisedSince()}
	req := verify.Request{
		Points: points, Level: level, Checks: sources.PointChecks(), Observer: in.observer,
		Beside: func(ctx context.Context) []verify.WAL { return walcheck.Run(ctx, in.walRepositories(ctx), beside) },
		Name:   func(found []cofre.Finding) { loss.NameVerified(ctx, repo, points, found) },
		Needs:  needs.Of(points),
	}
	if o.Point == "" {
		req.Recorded = func(ctx context.Context) ([]cofre.Finding, error) {
			if unread != nil {
				return nil, unread
			}
			return in.recorded(ctx, points, since)
		}
	}
	res, err := verify.Run(ctx, repo, req)
	switch n := res.Count(); {
	case err != nil && (n == 0 || !walUnread(res)):
	case n > 0:
		found := cofre.Fail(cofre.SayN("verify.findings", n, "1 finding", "{{.n}} findings"))
		if err != nil { // the WAL of a repository was not read; what was found counts for more
			found = errors.Join(found, err)
		}
		err = cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, found), mends(res, in.cfg.Repository.URL))
	case len(lacking) > 0:
		first := lacking[0]
		err = cofre.WithHint(cofre.Fail(cofre.Say("verify.point_incomplete", "what is stored is as it was captured, and recovery point {{.point}} does not hold {{.source}} whole", "point", first.Point, "source", named(first)), cofre.ErrPartial,
			cofre.Fail(first.Messages.Of(first.Why))),
			cofre.Say("verify.see_missing", "see what is missing with: cofre show {{.point}}; then back up again", "point", first.Point))
	}
	return res, err
}

// walRepositories opens the floor of every repository.
func (in *Installation) walRepositories(ctx context.Context) []walcheck.Repository {
	var all []walcheck.Repository
	for _, r := range in.cfg.Repositories() {
		st, err := walstore.Open(ctx, r)
		all = append(all, walcheck.Repository{URL: r.URL, Store: st, Unlock: walstore.Unlock(ctx, r, st), Err: err})
	}
	return all
}

// walUnread reports whether all that was asked for was looked at but the WAL of some repository.
func walUnread(res *verify.Result) bool {
	return slices.ContainsFunc(res.WAL, func(w verify.WAL) bool { return w.Err != nil })
}

// mends says what mends what was found. A backup stores afresh what it reads again, and of WAL what the
// server or a copy still has; if nobody has it, all that helps is a base backup that does not need it.
func mends(res *verify.Result, url string) cofre.Message {
	ofOne := func(f cofre.Finding) bool { return f.Repository != "" && strings.HasPrefix(f.Object, "wal/") }
	if len(res.Findings) == res.Count() && !slices.ContainsFunc(res.Findings, func(f cofre.Finding) bool { return !ofOne(f) }) {
		return cofre.Say("verify.wal_mend", "cofre wal mend stores in each repository what it has lost of WAL and another has; then: cofre verify --level content. What nobody has any more, cofre backup cluster stores afresh if the server still has it, and is a base backup that does not need it")
	}
	if segment := damagedSegment(res); segment != "" {
		return cofre.Say("verify.damaged_wal", "cofre backup cluster stores it afresh if the server or a copy still has it, and is a base backup that does not need it; if it says that nobody has it, record that the loss is known: cofre wal acknowledge {{.segment}} {{.segment}} --why 'damaged in the repository'", "segment", segment)
	}
	if !slices.ContainsFunc(res.Findings, func(f cofre.Finding) bool { return f.Check != journal.Check }) && len(res.Findings) == res.Count() {
		return cofre.Say("verify.journal", "somebody took something back: compare the repository with a copy of it, and the journal with a line that was kept: cofre journal verify --since LINE")
	}
	if i := slices.IndexFunc(res.Findings, func(f cofre.Finding) bool { return f.Object == wal.IdentityObject || f.Object == wal.RecipientObject }); i >= 0 {
		return wal.KeyLost(url)
	}
	return cofre.Say("verify.back_up", "back up again now: cofre backup stores afresh what is damaged and still exists at its source, and says what is whole again")
}

// damagedSegment is the first archived segment of which something was found; "" if anything else was found, which a backup mends.
func damagedSegment(res *verify.Result) string {
	if len(res.Findings) != res.Count() {
		return ""
	}
	for _, f := range res.Findings {
		if !strings.HasPrefix(f.Object, "wal/") || !pgdata.IsSegmentName(path.Base(f.Object)) {
			return ""
		}
	}
	return path.Base(res.Findings[0].Object)
}
