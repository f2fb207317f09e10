package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/policies"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/policy"
)

// Policy compares what the configuration promises with the policy that was signed last. Nothing is changed.
//
// Errors: those of policies.Compare, with the policy if something was found; those of the repository.
func (in *Installation) Policy(ctx context.Context) (*policies.Policy, error) {
	repo, err := in.reading(ctx)
	if err != nil {
		return nil, err
	}
	return policies.Compare(ctx, in.cfg, in.Journal().Verify, repo)
}

// SignPolicy signs what the configuration promises, in the name of a person, who is believed to be whom the host says if by is empty. It is durable, in the journal, when
// SignPolicy returns nil.
//
// Errors: cofre.ErrFindings if the journal takes no entry, or is not whole; those of the repository; any of the journal.
func (in *Installation) SignPolicy(ctx context.Context, by, note string) (_ *policy.Signed, err error) {
	end := in.begin(ctx, cofre.RunSign, observe.About{})
	defer func() { err = end(err) }()
	repo, err := in.changing(ctx)
	if err != nil {
		return nil, err
	}
	fact, err := policies.Sign(ctx, in.cfg, in.Journal().Verify, repo, by, note, observe.Here(in.Version))
	if err != nil {
		return nil, err
	}
	cofre.Tell(in.observer, fact)
	if err := in.written(cofre.Say("policy.not_written", "the journal does not have it, so nothing is signed")); err != nil {
		return nil, err
	}
	return policies.Newest(ctx, in.cfg.Name, in.Journal().Verify, repo)
}
