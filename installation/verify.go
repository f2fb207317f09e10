package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/coverage"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/needs"
	"github.com/trustlayer/cofre/installation/remedy"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walcheck"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/verify"
)

// VerifyOptions say what is verified, and how deep. The zero value looks whether everything that any point refers to is there.
type VerifyOptions struct {
	Point string      // an id, an unambiguous prefix of one, or latest; empty is every point of the repository
	Level cofre.Level // "" is LevelStructure
	// Again reads everything back at LevelContent, also what was read back within the window of the configuration.
	Again bool
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
	all := points
	if o.Point != "" {
		p, err := cat.Find(o.Point, catalog.Want{Installation: in.cfg.Name})
		if err != nil {
			return nil, err
		}
		points, lacking = []cofre.RecoveryPoint{p}, catalog.Lacking(p, catalog.Want{})
	}
	level := cmp.Or(o.Level, cofre.LevelStructure)
	backups, sizes, err := physical.BaseBackups(cat.List(catalog.Want{}))
	if err != nil {
		return nil, err
	}
	ledger, err := in.ledger(ctx, repo, o)
	if err != nil {
		return nil, err
	}
	beside := walcheck.Options{Level: level, Points: points, Backups: backups, Sizes: sizes, Since: in.WAL().promisedSince()}
	if ledger != nil {
		beside.Proven = ledger
	}
	req := verify.Request{
		Points: points, Level: level, Checks: sources.PointChecks(), Observer: in.observer, Ledger: ledger, All: all,
		Beside: func(ctx context.Context) []verify.WAL {
			heard, _ := in.hear(ctx) // what is wrong with the journal is found by itself
			beside.Origins, beside.Acknowledged = heard.Origins, heard.Acknowledged
			return walcheck.Run(ctx, walcheck.Open(ctx, in.cfg), beside)
		},
		Name:  func(found []cofre.Finding) { loss.NameVerified(ctx, repo, points, found) },
		Needs: needs.Of(points),
	}
	if o.Point == "" {
		h := &expiry.History{Installation: in.Name()}
		req.News = h.News
		req.Recorded = func(ctx context.Context) (verify.Record, error) {
			if unread != nil {
				return verify.Record{}, unread
			}
			rec := verify.Record{}
			if why := cat.Lacks(); why != nil {
				rec.Findings = append(rec.Findings, cofre.Finding{Check: "structure", Object: "x/"}.Saying(cofre.SayError(why)))
			}
			l := in.looker(repo)
			l.Sealed = true
			l.Visit = func(e journal.Numbered) {
				rec.Entries++
				h.Take(e)
			}
			d, res, err := l.Look(ctx, points, since)
			if errors.Is(err, cofre.ErrFindings) {
				rec.Findings, err = append(rec.Findings, res.Findings...), nil
			}
			rec.Findings = append(rec.Findings, d.Findings()...)
			return rec, err
		}
	}
	res, err := verify.Run(ctx, repo, req)
	if c := res.Coverage; c != nil && c.Unsaved != nil {
		in.warn(cofre.Say("verify.unsaved", "what was read back could not be written down, so that the next verification reads it again: {{.cause}}", "cause", c.Unsaved))
	}
	switch n := res.Count(); {
	case err != nil && (n == 0 || !walUnread(res)):
	case n > 0:
		found := cofre.Fail(cofre.SayN("verify.findings", n, "1 finding", "{{.n}} findings"))
		if err != nil { // the WAL of a repository was not read; what was found counts for more
			found = errors.Join(found, err)
		}
		way := remedy.Of(res, in.cfg.Repository.URL)
		if hidden := cat.Lacks(); hidden != nil { // that points are gone is the consequence
			way = cofre.HintOf(hidden)
		}
		err = cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, found), way)
	case len(lacking) > 0:
		first := lacking[0]
		err = cofre.WithHint(cofre.Fail(cofre.Say("verify.point_incomplete", "what is stored is as it was captured, and recovery point {{.point}} does not hold {{.source}} whole", "point", first.Point, "source", loss.Named(first)), cofre.ErrPartial,
			cofre.Fail(first.Messages.Of(first.Why))),
			cofre.Say("verify.see_missing", "see what is missing with: cofre show {{.point}}; then back up again", "point", first.Point))
	}
	return res, err
}

// ledger opens what was read back before. A repository that keeps nothing beside its points has none.
//
// Errors: those of the store.
func (in *Installation) ledger(ctx context.Context, repo reader, o VerifyOptions) (*coverage.Ledger, error) {
	v, ok := repo.(journaling.Vault)
	if !ok {
		return nil, nil
	}
	return coverage.Open(ctx, v.Floor(), v, coverage.Options{Window: cmp.Or(in.cfg.Verify.Window.Duration, coverage.UsualWindow), Again: o.Again})
}

// Coverage is how much of what is stored was read back, and how far each component is proven, as the last verification has established it. found is
// false if there was none.
//
// Errors: those of the repository.
func (in *Installation) Coverage(ctx context.Context) (c cofre.Coverage, found bool, err error) {
	repo, err := in.reading(ctx)
	if err != nil {
		return c, false, err
	}
	v, ok := repo.(journaling.Vault)
	if !ok {
		return c, false, nil
	}
	return coverage.Read(ctx, v.Floor(), v, time.Now())
}

// walUnread reports whether all that was asked for was looked at but the WAL of some repository.
func walUnread(res *verify.Result) bool {
	return slices.ContainsFunc(res.WAL, func(w verify.WAL) bool { return w.Err != nil })
}
