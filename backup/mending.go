package backup

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// mending has the repository act upon what is known to be damaged in it, and says afterwards what became of it. A
// repository that remembers nothing is left alone.
type mending struct {
	repo   repository
	obs    cofre.Observer
	name   func(context.Context, cofre.Damage) cofre.Damage // nil leaves the names of the repository
	before []cofre.Damage
}

// begin has the captures that follow store afresh what is damaged.
func (m *mending) begin(ctx context.Context) error {
	mender, ok := m.repo.(cofre.Mender)
	if !ok {
		return nil
	}
	if err := mender.Heal(ctx); err != nil {
		return err
	}
	damage, err := mender.Damage(ctx)
	if err != nil {
		return fmt.Errorf("ask what is damaged: %w", err)
	}
	if m.before == nil {
		m.before = damage
	}
	return nil
}

// end says which points are whole again and which are not. The point of this run is published: that the answer cannot
// be had is a warning.
func (m *mending) end(ctx context.Context) {
	mender, ok := m.repo.(cofre.Mender)
	if !ok || len(m.before) == 0 {
		return
	}
	after, err := mender.Damage(ctx)
	if err != nil {
		m.warn(cofre.Say("backup.unknown_whole", "it is not known which points are whole again: {{.cause}}", "cause", err))
		return
	}
	left := map[cofre.PointID]cofre.Damage{}
	for _, d := range after {
		left[d.Point] = d
	}
	var whole []string
	for _, d := range m.before {
		if _, ok := left[d.Point]; !ok {
			whole = append(whole, string(d.Point))
		}
	}
	if len(whole) > 0 {
		m.note(cofre.SayN("backup.healed", len(whole), "what was damaged is stored afresh; this point is whole again: {{.points}}", "what was damaged is stored afresh; these {{.n}} points are whole again: {{.points}}", "points", strings.Join(whole, ", ")))
	}
	for _, d := range after {
		if m.name != nil {
			d = m.name(ctx, d)
		}
		m.warn(cofre.Say("backup.lost", "point {{.point}} has lost what its source no longer holds: {{.objects}}", "point", d.Point, "objects", lostOf(d)))
	}
}

// mostNamed bounds what one sentence names.
const mostNamed = 5

func lostOf(d cofre.Damage) cofre.Message {
	var all cofre.Message
	for i, f := range d.Findings {
		if i == mostNamed {
			return cofre.List(all, cofre.SayN("backup.lost_more", len(d.Findings)-i, "and 1 more (cofre show {{.point}})", "and {{.n}} more (cofre show {{.point}})", "point", d.Point))
		}
		all = cofre.List(all, cofre.Verbatim(fmt.Sprintf("%s %q", f.Kind, f.Object)))
	}
	return all
}

func (m *mending) note(what cofre.Message) { m.say(cofre.TypeNote, what) }
func (m *mending) warn(what cofre.Message) { m.say(cofre.TypeWarning, what) }

func (m *mending) say(t cofre.EventType, what cofre.Message) {
	m.obs.Observe(cofre.Event{At: time.Now(), Type: t}.Saying(what))
}
