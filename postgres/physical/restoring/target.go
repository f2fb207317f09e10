package restoring

import (
	"context"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// Options say where a cluster is restored to and how it recovers.
type Options struct {
	Dir string // the data directory
	// Tablespaces maps the OID, or the directory that the server named, to the directory to use instead.
	Tablespaces map[string]string

	// At most one of these, for a directory that is not empty. Delta rewrites in place what differs from the
	// component and deletes what is not in it. MoveAside restores beside it and then gives it another name.
	Delta     bool
	MoveAside bool

	Jobs  int    // pieces restored at once; below 1 means 1
	Owner string // user to own the files, if this process is root; empty finds out

	Recovery cofre.RecoveryTarget
	// Plan is how Recovery is reached, from this component; nil leaves it to the server, to the end of the component's own
	// WAL.
	Plan           *recovery.Recovery
	Action         settings.Action
	RestoreCommand string // of postgresql.conf; empty if the component's own WAL is enough
	EndCommand     string // recovery_end_command of postgresql.conf: run once, when the recovery ends in a promotion
	KeepArchiving  bool   // it takes the place of the original at once, archiving and all. Only if that is gone for good
	// KeepLibraries are libraries of shared_preload_libraries to load although they act, or are not known.
	KeepLibraries []string

	// VerifyBackup has pg_verifybackup of the component's major version, if it is installed, read everything
	// back once more.
	VerifyBackup bool
	// Loss is what the repository has lost of the component.
	Loss LossOptions
	// KeepPartial leaves what was staged when a restore fails, so that the next one goes on with it.
	KeepPartial bool
}

// Target restores a cluster component. It is a cofre.Target: Plan makes a plan, which looks and changes nothing; Stage makes a
// stage of it, which alone writes.
//
// Durability: everything is synced before Publish, which renames pg_control into place as its last act. A crash
// at any moment leaves a directory that no server starts on, or the whole cluster.
type Target struct {
	o     Options
	plan  *plan  // nil before Plan
	stage *stage // nil before Stage
}

var _ cofre.Target = (*Target)(nil)

// NewTarget makes a target. Nothing is looked at before Plan.
func NewTarget(o Options) *Target {
	o.Jobs = max(o.Jobs, 1)
	return &Target{o: o}
}

// Plan looks at the component and at the directory.
//
// Errors: those of reading the component and the directory; what forbids the restore is in the plan.
func (t *Target) Plan(ctx context.Context, c cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	p, out, err := newPlan(ctx, t.o, c, tree)
	t.plan, t.stage = p, nil
	return out, err
}

// Promise says whether the cluster is built in a place of its own. A delta overwrites the older copy as it goes, which is what makes
// it fast; nothing of that copy is kept.
func (t *Target) Promise() cofre.Promise {
	if t.plan == nil {
		return cofre.Promise{}
	}
	return t.plan.promise
}

// Stage brings every file but pg_control to the directory, several at once, compares each block with the hash
// that was recorded when it was captured, and syncs everything. What is there already and has the right hash is
// not brought again.
//
// Errors: cofre.ErrCorrupt if the repository yields other bytes than were captured; cofre.ErrLocked and cofre.ErrRefused if the
// directory is another restore's, or is not what was planned for, and nothing was touched.
func (t *Target) Stage(ctx context.Context, obs cofre.Observer) error {
	if t.plan == nil {
		return fmt.Errorf("restore to %s: %w: nothing is planned", t.o.Dir, cofre.ErrRefused)
	}
	if t.stage == nil {
		t.stage = newStage(t.plan)
	}
	return t.stage.run(ctx, obs)
}

// Check says what was compared: the size of every file on disk, every block's hash as it was written or found,
// and, if asked, what pg_verifybackup says.
//
// Errors: *cofre.ToolError from pg_verifybackup; cofre.ErrNotFound if it was asked for and is not installed.
func (t *Target) Check(ctx context.Context, _ cofre.Observer) (*cofre.Proof, error) {
	if t.stage == nil {
		return nil, fmt.Errorf("check %s: %w: nothing is staged", t.o.Dir, cofre.ErrRefused)
	}
	return t.stage.check(ctx)
}

// Publish gives the directory its name if it was built beside another, and then pg_control its own: the last
// act, so that a crash anywhere before leaves a directory that no server starts on.
//
// Errors: cofre.ErrRefused if nothing is staged; those of the renames.
func (t *Target) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t.stage == nil || !t.stage.touched {
		return nil, fmt.Errorf("publish %s: %w: nothing is staged", t.o.Dir, cofre.ErrRefused)
	}
	return t.stage.publish()
}

// Discard removes what Stage made in a place of its own. What a delta has overwritten cannot be brought back.
//
// Errors: of the removal; one that names the directory if something is left on purpose.
func (t *Target) Discard(context.Context) error {
	if t.stage == nil || !t.stage.touched {
		return nil
	}
	return t.stage.discard()
}

// Next are the commands for a cluster that was published, each at the end of its line; promoted says that it has been
// recovered, and takes writes.
//
// Errors: of reading its postgresql.conf.
func (t *Target) Next(promoted bool) ([]cofre.Next, error) { return t.plan.next(promoted) }

// Torn is that of the recovery, which the plan or the component's own WAL knows.
func (t *Target) Torn() []cofre.Message {
	if t.plan == nil {
		return nil
	}
	return t.plan.torn
}

// Summary is what the component says about itself; Plan has read it.
func (t *Target) Summary() physical.Summary { return t.plan.facts.Summary }
