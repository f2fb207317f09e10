package edge

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/observe"
)

// follow opens the file of --events. It is appended to: each run of a cron job, and each segment of WAL, adds its own.
func (a *App) follow() error {
	if a.eventsFile == "" {
		return nil
	}
	f, err := inside.Append(a.eventsFile, 0o640)
	if err != nil {
		return fmt.Errorf("open the file of --events: %w", err)
	}
	a.events = observe.NewLines(f) // the end of the process closes it
	return nil
}

// Events is the observer that writes the file of --events; without one it forgets everything.
func (a *App) Events() cofre.Observer {
	if a.events == nil {
		return cofre.Discard
	}
	return a.events
}
