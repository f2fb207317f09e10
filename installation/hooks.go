package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/hooks"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/reserve"
	"github.com/trustlayer/cofre/observe"
)

// begin begins a run, to which everything belongs that the installation does until its end: hooks, what is chosen, warnings, and the use case
// itself. The outermost one is written into the journal. end returns the error that the run ends with.
func (in *Installation) begin(ctx context.Context, kind cofre.RunKind, about observe.About) (end func(error) error) {
	before, outermost := in.observer, in.recording == nil
	outer := before
	if outermost {
		in.recording = journaling.NewRecording(in.marks())
		outer = observe.Tee(before, in.recording)
	}
	about.Of.Installation, about.By, about.Configuration = in.cfg.Name, observe.Here(in.Version), in.cfg.Digest
	run := observe.Begin(outer, kind, about)
	in.observer = run
	return func(err error) error {
		in.observer = before
		err = in.journaled(kind, err)
		run.End(ctx, err)
		if outermost {
			in.noteEnd(ctx, kind, err)
			if in.purpose == toWrite {
				reserve.Do(ctx, in.cfg.Repository, reserve.After(kind))
			}
			in.recording.Close()
			in.recording = nil
		}
		return err
	}
}

// hooks run the commands of the configuration.
func (in *Installation) hooks() hooks.Hooks {
	return hooks.Hooks{Observer: in.observer, Output: in.HookOutput}
}
