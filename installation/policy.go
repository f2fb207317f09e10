package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/observe"
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

// Policy compares what the configuration promises with the policy that was signed last. Nothing is changed.
//
// Errors: cofre.ErrFindings, with the policy, if something was found; cofre.ErrFindings without it if the journal is not whole: it may have lost what was signed; those of
// the repository.
func (in *Installation) Policy(ctx context.Context) (*Policy, error) {
	repo, err := in.reading(ctx)
	if err != nil {
		return nil, err
	}
	p := &Policy{Terms: policy.Of(in.cfg), Findings: []cofre.Finding{}}
	p.Digest = p.Terms.Digest()
	if p.Signed, err = in.signedPolicy(ctx, repo); err != nil {
		return nil, err
	}
	now := time.Now()
	find := func(m cofre.Message) {
		p.Findings = append(p.Findings, cofre.Finding{Check: checkPolicy, Object: in.cfg.Name}.Saying(m))
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
		if due := s.Due(in.cfg.Policy.ReviewEvery().Duration); due.Before(now) {
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

// signedPolicy is the newest policy of this installation that the journal has; nil without one.
func (in *Installation) signedPolicy(ctx context.Context, repo reader) (*policy.Signed, error) {
	var signed *policy.Signed
	var sealed string
	_, err := in.Journal().Verify(ctx, "", journaling.Reading{Visit: func(e journal.Numbered) {
		var f journal.PolicyFacts
		if e.Body.Event != journal.EventSignedOff || e.Body.Installation != in.cfg.Name || json.Unmarshal(e.Body.Facts, &f) != nil || f.What != journal.SignedPolicy {
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

// SignPolicy signs what the configuration promises, in the name of a person, who is believed to be whom the host says if by is empty. It is durable, in the journal, when
// SignPolicy returns nil.
//
// Errors: cofre.ErrFindings if the journal takes no entry, or is not whole; those of the repository; any of the journal.
func (in *Installation) SignPolicy(ctx context.Context, by, note string) (_ *policy.Signed, err error) {
	end := in.begin(ctx, cofre.RunSign, observe.About{})
	defer func() { err = end(err) }()
	repo, err := in.writing(ctx)
	if err != nil {
		return nil, err
	}
	if err := in.mayWrite(); err != nil {
		return nil, err
	}
	before, err := in.signedPolicy(ctx, repo)
	if err != nil {
		return nil, err
	}
	number := 1
	if before != nil {
		number = before.Number + 1
	}
	terms := policy.Of(in.cfg)
	text, err := json.Marshal(terms)
	if err != nil {
		return nil, err
	}
	if here := observe.Here(in.Version); by == "" {
		by = here.User + "@" + here.Host
	}
	cofre.Tell(in.observer, cofre.PolicySigned{Number: number, Digest: terms.Digest(), Terms: text, By: by, Note: note})
	if err := in.written(cofre.Say("policy.not_written", "the journal does not have it, so nothing is signed")); err != nil {
		return nil, err
	}
	return in.signedPolicy(ctx, repo)
}
