package restoring

import (
	"errors"
	"fmt"
	"maps"
	"os"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

// claim makes the directory this restore's own until it is released, and looks once more at what the plan has found there: another
// restore, or a server, may have come since. What it refuses is another's, and is not touched.
//
// Errors: cofre.ErrLocked if another restore into the directory runs; cofre.ErrRefused if it is not what was planned for.
func (t *Target) claim() (err error) {
	if err := t.lookAgain(); err != nil {
		return err
	}
	if err := os.MkdirAll(t.stage, 0o700); err != nil {
		return err
	}
	if t.unlock, err = durable.LockDir(t.stage); err != nil {
		if !errors.Is(err, cofre.ErrLocked) {
			return err
		}
		return cofre.WithHint(cofre.Fail(cofre.Say("cluster.busy", "another restore to {{.dir}} runs", "dir", t.o.Dir), err),
			cofre.Say("cluster.busy_wait", "wait until it has ended, or restore to another directory"))
	}
	// Nobody else begins there now.
	if err := t.lookAtClaimed(); err != nil {
		t.release()
		return err
	}
	t.touched = true
	return nil
}

// lookAtClaimed looks again, also at a directory beside the one that is moved aside, which a plan expects not to be there.
func (t *Target) lookAtClaimed() error {
	if t.stage == t.o.Dir || t.inPlace {
		return t.lookAgain()
	}
	names, err := os.ReadDir(t.stage)
	if err == nil && len(names) > 0 {
		err = t.changed(t.stage + " is not empty")
	}
	return err
}

func (t *Target) release() {
	if t.unlock != nil {
		_ = t.unlock() // nothing is lost with a lock
		t.unlock = nil
	}
}

// lookAgain compares the directory, and those of the tablespaces, with what the plan was made for.
func (t *Target) lookAgain() error {
	existed, inPlace, stage, spaces := t.existed, t.inPlace, t.stage, t.spaces
	defer func() { t.existed, t.inPlace, t.stage, t.spaces = existed, inPlace, stage, spaces }()
	t.existed, t.inPlace, t.stage = false, false, t.o.Dir
	var problems []string
	problem := func(_, what string, args ...any) { problems = append(problems, fmt.Sprintf(what, args...)) }
	if err := t.planDirectory(problem); err != nil {
		return err
	}
	t.planSpaces(problem)
	if len(problems) > 0 || t.inPlace != inPlace || t.stage != stage || !maps.Equal(t.spaces, spaces) {
		return t.changed(problems...)
	}
	return nil
}

func (t *Target) changed(how ...string) error {
	because := []error{cofre.ErrRefused}
	for _, h := range how {
		because = append(because, errors.New(h))
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("cluster.changed", "{{.dir}} has changed since the restore was planned", "dir", t.o.Dir), because...),
		cofre.Say("cluster.plan_again", "look at what is there, and restore again"))
}
