package wal

import (
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// Unread is an object beside the segments that cannot be read, or that has a name which no file of the cluster has: a history, an
// acknowledgement, a note. What it said is lost, and nothing else is.
type Unread struct {
	Object string `json:"object"`
	Error  string `json:"error"`
	Err    error  `json:"-"`
}

// pass remembers an object that cannot be read, and lets the reading of the others go on.
//
// Errors: err itself, if it says nothing of the object.
func (inv *Inventory) pass(object string, err error) error {
	if !Damaging(err) && !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	if Damaging(err) {
		inv.Unread = append(inv.Unread, Unread{object, cofre.OneLine(err), err})
	}
	return nil
}

// MoveAway is what to do about an object that nobody reads, because of err. One of a host that waits to be believed is whole.
func MoveAway(err error) cofre.Message {
	if origin.IsRefusal(err) && !cofre.HintOf(err).IsZero() {
		return cofre.HintOf(err)
	}
	return cofre.Say("wal.move_away", "cofre wal mend stores a history afresh if another repository has it or WAL of its timeline is there, and cofre wal acknowledge an acknowledgement; what is left of it, move out of the repository")
}
