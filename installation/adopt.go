package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres/physical/adopting"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/wal"
)

// AdoptOptions say which restored cluster becomes the original. Dir must be set.
type AdoptOptions struct {
	Dir       string // its data directory
	Superuser string // the role to ask a copy that runs with
	Restart   bool   // a copy that runs is restarted, and backed up

	// Confirm is shown the plan before anything is changed. Its error ends the adoption, as it is. Nil confirms.
	Confirm func(*cofre.Plan) error
}

// Adopted is what an adoption did. Result is nil if nothing was changed.
type Adopted struct {
	Plan *cofre.Plan
	*adopting.Result
	Point *cofre.RecoveryPoint // of the base backup that followed; nil without one
}

// PlanAdoption looks at a restored cluster and changes nothing.
//
// Errors: those of adopting.Plan; cofre.ErrPreflight if the original still answers at the configured address.
func (in *Installation) PlanAdoption(ctx context.Context, o AdoptOptions) (*cofre.Plan, error) {
	adoption, err := in.adoption(ctx, o)
	if err != nil {
		return nil, err
	}
	return adoption.Plan(), nil
}

func (in *Installation) adoption(ctx context.Context, o AdoptOptions) (*adopting.Adoption, error) {
	p := adopting.Options{Dir: o.Dir, Superuser: o.Superuser, Restart: o.Restart}
	p.Env, _ = walstore.Environment(in.cfg)
	if c := in.cfg.Cluster; c != nil && c.WAL != "" {
		var err error
		if p.Archive, err = in.archiveAsOwner(ctx, o.Dir); err != nil {
			return nil, err
		}
	}
	adoption, err := adopting.Plan(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := in.noOther(ctx, adoption); err != nil {
		return nil, err
	}
	return adoption, nil
}

// Adopt makes a restored cluster the original, and backs it up if it was restarted. Interrupted anywhere, another adoption goes on. What was
// done is returned with an error, too; nil if it was not begun.
//
// Errors: those of PlanAdoption; that of Confirm; those of adopting.Adoption.Adopt and, with the cluster adopted, of Backup.
func (in *Installation) Adopt(ctx context.Context, o AdoptOptions) (_ *Adopted, err error) {
	end := in.begin(ctx, cofre.RunAdopt, aboutCluster())
	defer func() { end(err) }()
	adoption, err := in.adoption(ctx, o)
	if err != nil {
		return nil, err
	}
	adopted := &Adopted{Plan: adoption.Plan()}
	if o.Confirm != nil {
		if err := o.Confirm(adopted.Plan); err != nil {
			return nil, err
		}
	}
	done, err := adoption.Adopt(ctx)
	adopted.Result = done
	if err != nil {
		return adopted, err
	}
	cofre.Tell(in.observer, cofre.ClusterAdopted{Dir: done.Dir, System: done.SystemID, Timeline: done.Timeline, Archived: done.Archived, Restarted: done.Restarted})
	adopted.Point, err = in.backUpAdopted(ctx, done)
	return adopted, err
}

// noOther refuses if the original still answers at the configured address.
func (in *Installation) noOther(ctx context.Context, adoption *adopting.Adoption) error {
	if in.cfg.Cluster == nil {
		return nil
	}
	server, err := sources.ServerOf(in.cfg.Cluster.URL, in.cfg.Cluster.Password)
	if err != nil {
		return err
	}
	other, err := adoption.Other(ctx, server)
	if err != nil || !other {
		return err
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("adopt.original_runs", "the original of {{.system}} still runs at the configured address", "system", adoption.SystemID), cofre.ErrPreflight), cofre.Say("adopt.stop_original", "stop it for good, and adopt then"))
}

// backUpAdopted takes a base backup of the copy if it was restarted: nothing before its timeline is as short a way back.
func (in *Installation) backUpAdopted(ctx context.Context, done *adopting.Result) (*cofre.RecoveryPoint, error) {
	if in.cfg.Cluster == nil {
		return nil, nil
	}
	const command = "cofre backup cluster"
	if !done.Restarted {
		done.Next = append(done.Next, cofre.Next{Do: cofre.DoBackUp, Command: command, Said: cofre.Verbatim(command)})
		return nil, nil
	}
	point, err := in.capture(ctx, BackupOptions{Kinds: []cofre.Kind{cofre.KindCluster}})
	if err != nil && point == nil {
		err = cofre.WithHint(cofre.Fail(cofre.Say("adopt.not_backed_up", "it is the original now, and could not be backed up"), err), cofre.Say("adopt.once_mended", "once that is mended: {{.command}}", "command", command))
	}
	return point, err
}

// archiveAsOwner archives as the owner of the data directory, who archives from then on: what root writes into a folder
// he could not go on in.
func (in *Installation) archiveAsOwner(ctx context.Context, dir string) (func(context.Context, string) error, error) {
	as, err := datadir.OwnerOf(dir)
	if err != nil {
		return nil, err
	}
	if as == nil {
		archives := walstore.Archives(ctx, in.cfg)
		walstore.Signing(in.cfg, archives, "", func(m cofre.Message) { in.warn(m) })
		archiver := &wal.Archiver{Archives: archives}
		return func(ctx context.Context, path string) error {
			_, err := archiver.Archive(ctx, path)
			return err
		}, nil
	}
	command, err := in.walCommand("archive")
	if err != nil {
		return nil, err
	}
	// What it says is read below, in the language of the conditions.
	command = append(command, "--lang", "en")
	return func(ctx context.Context, path string) error {
		err := process.Run(ctx, process.Command{Path: command[0], Args: append(command[1:len(command):len(command)], path), Env: os.Environ(), Dir: "/", Credential: as, Name: "cofre wal archive"})
		return asArchived(err)
	}, nil
}

// asArchived gives what the program says of another file under the same name its condition.
func asArchived(err error) error {
	tool, ok := errors.AsType[*cofre.ToolError](err)
	if !ok || !strings.Contains(tool.Stderr, cofre.ErrExists.Error()) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cofre.ErrExists)
}
