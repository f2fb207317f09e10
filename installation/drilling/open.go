package drilling

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/dir"
	objects "github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/postgres/drilled"
)

// Open makes the place that a component is restored into, and returns the drill as the target of a restore. Close must be called.
//
// Errors: cofre.ErrCorrupt if the repository is known to have lost something of it, which is then in the findings, or if it cannot be read;
// cofre.ErrPreflight if the machine does not have the server programs; those of drilled.Start. After one nothing is left.
func (d Job) Open(ctx context.Context, repo Repository, point cofre.RecoveryPoint, c cofre.Component, lost []cofre.Finding) (_ *Drill, err error) {
	r := &Result{
		What: string(c.Kind), Point: point.ID, Source: cofre.SourceID{Installation: point.Installation, Kind: c.Kind, Name: c.Name}, BeganAt: time.Now().UTC(),
		Answers: []drilled.Answer{}, Findings: []cofre.Finding{}, Steps: []cofre.DrillStep{}, Drawn: d.Drawn, root: c.Root, bytes: c.Bytes, TakenAt: c.StartedAt,
	}
	drill := &Drill{o: d, Result: r}
	if len(lost) > 0 {
		for _, f := range lost {
			drill.add(f)
		}
		return drill, cofre.Fail(cofre.Say("drill.lost", "drill {{.source}} of {{.point}}", "source", c.Label(), "point", point.ID), cofre.ErrCorrupt)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, drill.Close(ctx))
		}
	}()
	switch c.Kind {
	case cofre.KindDatabase:
		return drill, drill.openDatabase(ctx, repo, c)
	case cofre.KindCluster:
		return drill, drill.openCluster(c)
	}
	if err := drill.enter(); err != nil {
		return drill, err
	}
	in := drill.room.record.Folder
	switch c.Kind {
	case cofre.KindConfig:
		drill.Target = files.NewTarget(files.TargetConfig{Installation: point.Installation, Name: c.Name, To: filepath.Join(in, "files")})
	default:
		to, err := dir.OpenNew(filepath.Join(in, "objects"))
		if err != nil {
			return drill, err
		}
		drill.Target = objects.NewTarget(objects.Restore{Source: r.Source, Point: point.ID, To: to, Jobs: d.Jobs, TempDir: in, StateDir: filepath.Join(in, "state")})
	}
	return drill, nil
}

// enter makes the room of the drill.
func (d *Drill) enter() (err error) {
	socket := socketName
	if d.cluster != nil {
		socket = recoveringSocket
	}
	d.room, err = d.o.Rooms.begin(strings.ToLower(rand.Text()[:8]), Record{What: d.Result.What, Point: d.Result.Point}, socket)
	return err
}

// titled is the plan of a restore of files or objects as that of a drill.
func (d *Drill) titled(plan *cofre.Plan) *cofre.Plan {
	own := cofre.NewPlan(cofre.Say("drill.title_folder", "drill {{.source}}, captured {{.taken}}, in {{.folder}}", "source", d.Result.Source.Label(), "taken", d.Result.TakenAt, "folder", d.room.record.Folder))
	return d.around(own, plan)
}
