package files

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/trustlayer/cofre"
)

// factsOf reads the facts of a component. If they are lost, they are made of what the directories say: names of
// owners, extended attributes, set-id bits and the sums of files are then not known.
func factsOf(ctx context.Context, t cofre.Tree) (facts *Facts, lost error, err error) {
	facts, err = readFacts(ctx, t)
	var unread *lostError // and not facts of which no capture writes such
	if !errors.As(err, &unread) || !errors.Is(err, cofre.ErrCorrupt) {
		return facts, nil, err
	}
	lost, facts = err, &Facts{Format: 1}
	for _, root := range []string{TreeDir, VirtualDir} {
		if _, err := t.Stat(ctx, root); errors.Is(err, cofre.ErrNotFound) {
			continue
		}
		if err := walkFacts(ctx, t, root, facts); err != nil {
			return nil, nil, fmt.Errorf("%w; %w", lost, err)
		}
	}
	if len(facts.Entries) == 0 {
		return nil, nil, lost
	}
	return facts, lost, nil
}

func walkFacts(ctx context.Context, t cofre.Tree, dir string, facts *Facts) error {
	for e, err := range t.List(ctx, dir) {
		if errors.Is(err, cofre.ErrCorrupt) {
			// The files of a directory that is lost are named nowhere any more: the directory is.
			facts.Unlisted = append(facts.Unlisted, "/"+strings.TrimPrefix(strings.TrimPrefix(dir, TreeDir), "/"))
			return nil
		}
		if err != nil {
			return err
		}
		f := Fact{Mode: UnixMode(e.Mode.Perm()), UID: e.UID, GID: e.GID, ModTime: e.ModTime}
		if below, ok := strings.CutPrefix(e.Path, VirtualDir+"/"); ok {
			f.Path, f.Virtual = Name(below), true
		} else {
			f.Path = Name(path.Clean(strings.TrimPrefix(e.Path, TreeDir)))
		}
		switch {
		case e.IsDir():
			f.Type, f.Parent = TypeDirectory, true // one that is there stays as it is
		case e.IsLink():
			f.Type, f.Link = TypeLink, Name(e.Link)
		default:
			f.Type, f.Size = TypeFile, e.Size
		}
		if !f.Virtual || f.Type == TypeFile {
			if err := f.wrong(); err != nil {
				return fmt.Errorf("entry %q: %w: %w", string(f.Path), cofre.ErrCorrupt, err)
			}
			facts.Entries = append(facts.Entries, f)
		}
		if e.IsDir() {
			if err := walkFacts(ctx, t, e.Path, facts); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellLost names what is not known if the facts are lost.
func (j *job) tellLost(facts *Facts, lost error) {
	if lost == nil {
		return
	}
	because := cofre.Say("files.lost", "lost in the repository: {{.cause}}", "cause", lost)
	j.damaged = append(j.damaged, cofre.NewChecked(cofre.Say("files.lost_facts", "names of owners, extended attributes, set-id bits and sums of all files"), asCaptured(), because, false))
	for _, dir := range facts.Unlisted {
		j.damaged = append(j.damaged, cofre.NewChecked(cofre.Say("files.lost_below", "everything below {{.path}}", "path", dir), asCaptured(), because, false))
	}
}
