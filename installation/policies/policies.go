// Package policies holds what the configuration of an installation promises against the policy that somebody has signed in its journal.
package policies

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/policy"
)

// Policy is the backup policy of an installation: what its configuration promises, and what was signed.
type Policy struct {
	Terms  policy.Terms `json:"terms"`
	Digest string       `json:"digest"`
	// Signed is the newest that was signed; nil if none was.
	Signed *policy.Signed `json:"signed,omitempty"`
	// Findings are differences of the terms from what was signed, a review that is overdue, and where they fall short of their class.
	Findings []cofre.Finding `json:"findings"`
}

// AsSigned reports whether the terms are those that were signed.
func (p *Policy) AsSigned() bool { return p.Signed != nil && p.Signed.Digest == p.Digest }

// checkPolicy is the Check of findings about the policy.
const checkPolicy = "policy"

// Read reads a journal, as installation.Journal.Verify does.
type Read func(ctx context.Context, key string, o journaling.Reading) (*journaling.Verified, error)

// Compare compares what a configuration promises with the policy that was signed last. repo is the repository of the journal.
//
// Errors: cofre.ErrFindings, with the policy, if something was found; those of Newest.
func Compare(ctx context.Context, cfg *config.Config, read Read, repo any) (*Policy, error) {
	p := &Policy{Terms: policy.Of(cfg), Findings: []cofre.Finding{}}
	p.Digest = p.Terms.Digest()
	var err error
	if p.Signed, err = Newest(ctx, cfg.Name, read, repo); err != nil {
		return nil, err
	}
	now := time.Now()
	find := func(m cofre.Message) {
		p.Findings = append(p.Findings, cofre.Finding{Check: checkPolicy, Object: cfg.Name}.Saying(m))
	}
	if s := p.Signed; s != nil {
		switch {
		case p.AsSigned():
		case s.Terms == nil:
			find(cofre.Say("policy.differs_somehow", "the configuration is not what was signed, and what was signed cannot be read"))
		default:
			for _, m := range policy.Differences(*s.Terms, p.Terms) {
				find(m)
			}
		}
		if due := s.Due(cfg.Policy.ReviewEvery().Duration); due.Before(now) {
			find(cofre.Say("policy.overdue", "it was to be read and signed again by {{.due}}", "due", due.UTC().Format(time.DateOnly)))
		}
	}
	for _, m := range p.Terms.Shortfalls(now) {
		find(m)
	}
	if n := len(p.Findings); n > 0 {
		err = fmt.Errorf("%w: %w", cofre.ErrFindings, cofre.Fail(cofre.SayN("verify.findings", n, "1 finding", "{{.n}} findings")))
		if s := p.Signed; s != nil && !p.AsSigned() {
			err = cofre.WithHint(err, cofre.Say("policy.sign_hint", "if the configuration is right, sign what it says now: cofre policy sign --by NAME; who changed it, and when: cofre journal"))
		}
	}
	return p, err
}

// Newest is the newest policy of an installation that its journal has; nil without one.
//
// Errors: cofre.ErrFindings if the journal is not whole: it may have lost what was signed; those of the store.
func Newest(ctx context.Context, installation string, read Read, repo any) (*policy.Signed, error) {
	var signed *policy.Signed
	var sealed string
	_, err := read(ctx, "", journaling.Reading{Visit: func(e journal.Numbered) {
		var f journal.PolicyFacts
		if e.Body.Event != journal.EventSignedOff || e.Body.Installation != installation || json.Unmarshal(e.Body.Facts, &f) != nil || f.What != journal.SignedPolicy {
			return
		}
		signed, sealed = &policy.Signed{Number: f.Number, At: e.Body.At, By: e.Body.User + "@" + e.Body.Host, Entry: e.Number, Digest: f.Digest}, e.Body.Sealed
	}})
	if errors.Is(err, cofre.ErrNotFound) { // a repository of before has no journal
		return nil, nil
	}
	if err != nil || signed == nil {
		return nil, err
	}
	text, err := journaling.Unseal(ctx, repo, sealed)
	if err != nil {
		return signed, nil // that it is another is known by its digest
	}
	var fact cofre.PolicySigned
	var terms policy.Terms
	if json.Unmarshal(text, &fact) == nil && json.Unmarshal(fact.Terms, &terms) == nil && terms.Digest() == signed.Digest {
		signed.By, signed.Note, signed.Terms = fact.By, fact.Note, &terms
	}
	return signed, nil
}

// Sign makes the fact that somebody signs what a configuration promises, after whatever was signed before: who is at this host, if nobody says by whom.
//
// Errors: those of Newest.
func Sign(ctx context.Context, cfg *config.Config, read Read, repo any, by, note string, here cofre.Actor) (cofre.PolicySigned, error) {
	fact := cofre.PolicySigned{Number: 1, By: cmp.Or(by, here.User+"@"+here.Host), Note: note}
	before, err := Newest(ctx, cfg.Name, read, repo)
	if err != nil {
		return fact, err
	}
	if before != nil {
		fact.Number = before.Number + 1
	}
	terms := policy.Of(cfg)
	fact.Digest = terms.Digest()
	fact.Terms, err = json.Marshal(terms)
	return fact, err
}
