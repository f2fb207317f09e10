package restoring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// folders are those that a restore makes and sets.
type folders struct {
	store bucket.Foldered
	// captured are in the order of the capture: a folder before what is in it.
	captured []bucket.Folder
	made     map[string]bool
	blocked  map[string]bool // something else is in their place
}

// planFolders selects the folders, and says what the place cannot hold of them.
func (t *Target) planFolders(ctx context.Context, plan *cofre.Plan) (*folders, error) {
	if !t.facts.Kept().Files {
		return nil, nil
	}
	store, can := t.cfg.To.(bucket.Foldered)
	out := &folders{store: store, made: map[string]bool{}, blocked: map[string]bool{}}
	fit := newFitting()
	for f, err := range bucket.ReadFolders(ctx, t.tree) {
		if errors.Is(err, cofre.ErrNotFound) {
			plan.Note(cofre.Say("bucket.no_folders", "the version that made this point did not capture mode, owner, extended attributes and time of files, nor empty folders; new files belong to the user who restores"))
			return nil, nil
		}
		if isLost(err) {
			t.leaveLost(cofre.Say("bucket.all_folders", "mode, owner and time of folders, and empty folders"), err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if !t.wantBucket(f.Bucket) || !t.asCaptured() || t.cfg.Object != "" || !strings.HasPrefix(f.Name+"/", t.cfg.Prefix) ||
			f.Bucket == "" && t.cfg.Prefix != "" {
			continue
		}
		if !can {
			fit.add(f.Path(), []cofre.Message{cofre.Say("bucket.lost_folder", "a folder with its mode, owner and time")})
			continue
		}
		_, lost := store.FitFolder(f)
		fit.add(f.Path(), lost)
		out.captured = append(out.captured, f)
	}
	fit.note(plan, t.desc.Kind)
	if !can {
		return nil, nil
	}
	return out, nil
}

// makeFolders makes what is missing.
func (t *Target) makeFolders(ctx context.Context) error {
	if t.folders == nil {
		return nil
	}
	for _, f := range t.folders.captured {
		way, in := t.inTheWay(f.Bucket, f.Name, true)
		if t.folders.blocked[f.Path()] = in; in {
			if t.cfg.Replace {
				t.block(way)
			}
			continue
		}
		fitted, _ := t.folders.store.FitFolder(f)
		made, err := t.folders.store.MakeFolder(ctx, fitted)
		if err != nil {
			return fmt.Errorf("make folder %s: %w", f.Path(), err)
		}
		t.folders.made[f.Path()] = made || t.folders.made[f.Path()]
	}
	return nil
}

// setFolders gives folders their attributes and times when nothing is written into them any more, the deepest first,
// and compares them. One that existed with others keeps them, unless they are to be replaced.
func (t *Target) setFolders(ctx context.Context) error {
	if t.folders == nil {
		return t.sweep(ctx)
	}
	if err := t.sweep(ctx); err != nil {
		return err
	}
	now := map[string]bucket.Folder{}
	if err := t.lookAtFolders(ctx, now); err != nil {
		return err
	}
	for _, f := range slices.Backward(t.folders.captured) {
		if t.folders.blocked[f.Path()] {
			continue
		}
		want, _ := t.folders.store.FitFolder(f)
		is, ok := now[f.Path()]
		set := want
		switch differ := want.Attributes.Differing(is.Attributes); {
		case !ok || differ.IsZero() || t.folders.made[f.Path()]:
		case f.Bucket == "" && len(t.existing) == 0: // it was made to be restored into
		case !t.cfg.Replace:
			t.leave(folder(f), asCaptured(), differ)
			set.Attributes = is.Attributes
		default:
			t.keeping(cofre.ThingMode, f.Path(), "", cofre.Say("bucket.folder_was", "folder {{.path}} had mode {{.mode}} and owner {{.uid}}:{{.gid}}", "path", f.Path(), "mode", is.Attributes.Mode, "uid", is.Attributes.UID, "gid", is.Attributes.GID))
		}
		if ok && set.Attributes.Differing(is.Attributes).IsZero() && (f.Bucket == "" || set.ModifiedAt.Equal(is.ModifiedAt)) {
			continue
		}
		err := t.folders.store.SetFolder(ctx, set)
		switch {
		case errors.Is(err, cofre.ErrDenied): // somebody else's: the objects in it are here
			t.leave(folder(f), asCaptured(), cofre.SayError(err))
		case err != nil:
			return fmt.Errorf("set folder %s: %w", f.Path(), err)
		}
	}
	return t.compareFolders(ctx)
}

func (t *Target) lookAtFolders(ctx context.Context, into map[string]bucket.Folder) error {
	ids := []string{""}
	for _, b := range t.buckets {
		if _, in := t.inTheWay(b.ID, "", true); !in {
			ids = append(ids, b.ID)
		}
	}
	for _, id := range ids {
		for f, err := range t.folders.store.Folders(ctx, id) {
			if err != nil {
				return fmt.Errorf("list the folders of bucket %s: %w", id, err)
			}
			into[f.Path()] = f
		}
	}
	return nil
}

func (t *Target) compareFolders(ctx context.Context) error {
	now := map[string]bucket.Folder{}
	if err := t.lookAtFolders(ctx, now); err != nil {
		return err
	}
	for _, f := range t.folders.captured {
		want, _ := t.folders.store.FitFolder(f)
		is, ok := now[f.Path()]
		switch way, in := t.inTheWay(f.Bucket, f.Name, true); {
		case in:
			t.leave(folder(f), asCaptured(), way.said())
		case !ok:
			t.leave(folder(f), asCaptured(), cofre.Say("bucket.not_there", "is not there"))
		case f.Bucket != "" && !is.ModifiedAt.Equal(want.ModifiedAt):
			t.leave(folder(f), asCaptured(), bucket.DifferingTime(is.ModifiedAt, want.ModifiedAt))
		}
	}
	return nil
}

// sweep removes what the restore needed for itself.
func (t *Target) sweep(ctx context.Context) error {
	if s, ok := t.cfg.To.(bucket.Foldered); ok {
		return s.Sweep(ctx)
	}
	return nil
}

func folder(f bucket.Folder) cofre.Message {
	return cofre.Say("bucket.folder", "folder {{.path}}", "path", f.Path())
}
