package restoring

import (
	"errors"
	"maps"
	"os"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

// claim makes the directory this restore's own until it is released, and looks once more at what the plan has found there: another
// restore, or a server, may have come since. What it refuses is another's, and is not touched.
//
// Errors: cofre.ErrLocked if another restore into the directory runs; cofre.ErrRefused if it is not what was planned for.
func (s *stage) claim() (err error) {
	if err := s.lookAgain(); err != nil {
		return err
	}
	if _, err := s.data(); err != nil {
		return err
	}
	if s.unlock, err = durable.LockDir(s.built); err != nil {
		s.rooms.close()
		if !errors.Is(err, cofre.ErrLocked) {
			return err
		}
		return cofre.WithHint(cofre.Fail(cofre.Say("cluster.busy", "another restore to {{.dir}} runs", "dir", s.o.Dir), err),
			cofre.Say("cluster.busy_wait", "wait until it has ended, or restore to another directory"))
	}
	// Nobody else begins there now.
	if err := s.lookAtClaimed(); err != nil {
		s.release()
		return err
	}
	s.touched = true
	return nil
}

// lookAtClaimed looks again, also at a directory beside the one that is moved aside, which a plan expects not to be there.
func (s *stage) lookAtClaimed() error {
	if s.built == s.o.Dir || s.inPlace {
		return s.lookAgain()
	}
	names, err := os.ReadDir(s.built)
	if err == nil && len(names) > 0 {
		err = s.changed(cofre.Say("cluster.not_empty", "{{.dir}} is not empty", "dir", s.built))
	}
	return err
}

func (s *stage) release() {
	s.rooms.close()
	if s.unlock != nil {
		_ = s.unlock() // nothing is lost with a lock
		s.unlock = nil
	}
}

// lookAgain compares the directory, and those of the tablespaces, with what the plan was made for.
func (s *stage) lookAgain() error {
	again := *s.plan
	again.existed, again.inPlace, again.built = false, false, s.o.Dir
	var found cofre.Plan
	if err := again.planDirectory(&found); err != nil {
		return err
	}
	again.planSpaces(&found)
	var problems []cofre.Message
	for _, p := range found.Problems {
		problems = append(problems, p.Messages.Of(p.What))
	}
	if len(problems) > 0 || again.inPlace != s.inPlace || again.built != s.built || !maps.Equal(again.spaces, s.spaces) {
		return s.changed(problems...)
	}
	return nil
}

func (s *stage) changed(how ...cofre.Message) error {
	because := []error{cofre.ErrRefused}
	for _, h := range how {
		because = append(because, cofre.Fail(h))
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("cluster.changed", "{{.dir}} has changed since the restore was planned", "dir", s.o.Dir), because...),
		cofre.Say("cluster.plan_again", "look at what is there, and restore again"))
}
