// Package screen draws what a person who runs cofre sees: events as bars or lines, plans, recovery points, what was restored,
// compared and verified, tables, moments in one time zone, and the question before something gives way. It renders values and
// decides nothing: what they mean is said in installation and below it. Read screen.go, then progress.go, then one of the others.
package screen

import (
	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// Screen is one call of a program that a person follows. The zero value is of no use: edge.System gives it its streams.
type Screen struct {
	edge.App

	told  told
	drawn *progress // of the events, nil before Follow
}
