package drilling

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// Newest is the moment of a drill that recovers everything there is.
const Newest = "newest"

// Choose finds the way to the moment of a drilled cluster, by what finds the way to a target from a base backup, the newest that leads there if none
// is named.
//
// Errors: cofre.ErrPreflight if a moment is to be drawn and there is only one; those of checkpoint and of find.
func (d *Job) Choose(cfg *config.Config, checkpoint func() (string, error), find func(to cofre.RecoveryTarget, point string) (Recovery, error)) error {
	point := d.Point
	if point == catalog.Latest {
		point = ""
	}
	way, err := find(cofre.RecoveryTarget{}, point)
	if err != nil {
		return err
	}
	if d.Moment == Random {
		newest := way.Plan
		if newest == nil {
			return cofre.WithHint(cofre.Fail(cofre.Say("drill.nothing_to_draw", "no WAL follows base backup {{.point}}: there is no moment to draw but its end", "point", way.Point), cofre.ErrPreflight),
				cofre.Say("drill.without_moment", "cofre drill cluster, without --moment, recovers to there"))
		}
		var m *Moment
		m, d.Drawn, err = DrawMoment(newest, checkpoint, func(at cofre.LSN) (err error) {
			way, err = find(cofre.RecoveryTarget{LSN: at, Timeline: newest.Timeline}, string(newest.Backup.Point))
			return err
		})
		if err != nil {
			return err
		}
		way.Moment = m
	}
	way.Config = cfg
	d.Recovery, d.Point = &way, string(way.Point)
	return nil
}

// Moment is a position in the WAL that was drawn, so that nobody chooses one that is known to do well: it is From plus the hash of the checkpoint,
// modulo what lies up to To. Of a draw after the first the hashed text ends with its number, behind a line feed.
type Moment struct {
	LSN  cofre.LSN `json:"lsn"`
	From cofre.LSN `json:"from"` // where the base backup is consistent
	To   cofre.LSN `json:"to"`   // where the last record of the newest moment starts
	Draw int       `json:"draw"` // from 1
}

// maxDraws is how often a position is drawn. One inside of what removes files is no state that the cluster was in, and is drawn again.
const maxDraws = 16

// DrawMoment draws a position between a base backup and the newest moment, that plan finds a way to. Without a journal, which is cofre.ErrNotFound of
// checkpoint, it is chance, and drawn is empty.
//
// Errors: those of checkpoint and of plan, the last *cofre.UnreachableError if no draw can be reached.
func DrawMoment(newest *recovery.Recovery, checkpoint func() (string, error), plan func(cofre.LSN) error) (m *Moment, drawn string, err error) {
	drawn, err = checkpoint()
	by := drawn
	switch {
	case errors.Is(err, cofre.ErrNotFound):
		by, drawn = rand.Text(), ""
	case err != nil:
		return nil, "", err
	}
	m = &Moment{From: newest.Backup.Stop, To: newest.Stop}
	for m.Draw = 1; ; m.Draw++ {
		text := by
		if m.Draw > 1 {
			text = fmt.Sprintf("%s\n%d", by, m.Draw)
		}
		m.LSN = m.From
		if m.To > m.From {
			m.LSN += cofre.LSN(place(text, int(m.To-m.From)+1))
		}
		err := plan(m.LSN)
		if _, inside := errors.AsType[*cofre.UnreachableError](err); !inside || m.Draw == maxDraws {
			return m, drawn, err
		}
	}
}
