package manifests

import (
	"cmp"
	"context"
	"fmt"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/directory"
)

// SaveSnapshot makes a component of p something that Kopia knows, as of a user of that name: it shows cofre@trustlayer:/database/trustlayer.
//
// Errors: those of the library.
func SaveSnapshot(ctx context.Context, w repo.RepositoryWriter, user string, p cofre.RecoveryPoint, c cofre.Component) error {
	id, err := object.ParseID(string(c.Root))
	if err != nil {
		return err
	}
	reader, err := w.OpenObject(ctx, id)
	if err != nil {
		return err
	}
	defer reader.Close()
	summary, err := directory.ReadSummary(reader)
	if err != nil {
		return err
	}
	m := &snapshot.Manifest{
		Source:      snapshot.SourceInfo{UserName: user, Host: cmp.Or(p.Installation, "cofre"), Path: Path(c)},
		Description: fmt.Sprintf("cofre %s: %s %s", p.ID, c.Kind, c.Name),
		StartTime:   kopiafs.UTCTimestampFromTime(c.StartedAt),
		EndTime:     kopiafs.UTCTimestampFromTime(c.EndedAt),
		RootEntry: &snapshot.DirEntry{
			Name: string(c.Kind), Type: snapshot.EntryTypeDirectory, Permissions: snapshot.Permissions(directory.UnixMode(directory.ImpliedMode)),
			ObjectID: id, DirSummary: &summary, ModTime: kopiafs.UTCTimestampFromTime(c.StartedAt),
		},
		Tags: map[string]string{TagPrefix + PointLabel: string(p.ID), TagPrefix + "cofre-kind": string(c.Kind)},
		// A pin keeps Kopia's own retention, should somebody run it, from deleting the snapshot.
		Pins: []string{"cofre"},
	}
	_, err = snapshot.SaveSnapshot(ctx, w, m)
	return err
}
