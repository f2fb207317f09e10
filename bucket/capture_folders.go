package bucket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/trustlayer/cofre"
)

// putFolders writes the folders of a store that has them, empty ones too.
func (r *run) putFolders(ctx context.Context) error {
	store, ok := r.store.(Foldered)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		pw.CloseWithError(r.writeFolders(ctx, store, pw))
	}()
	e := cofre.Entry{Path: FoldersFile, Layout: cofre.LayoutFacts, Mode: 0o600, ModTime: r.takenAt, Size: -1}
	_, err := r.c.Session.Put(ctx, e, pr)
	cancel()
	_ = pr.CloseWithError(errors.New("nobody reads on")) // ends a writer whose reader failed
	<-written
	if err != nil {
		return fmt.Errorf("write %s: %w", FoldersFile, err)
	}
	return nil
}

func (r *run) writeFolders(ctx context.Context, store Foldered, w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var ids []string
	if len(r.cfg.Buckets) == 0 {
		ids = append(ids, "") // the folder that holds the buckets
	}
	for _, b := range r.buckets {
		ids = append(ids, b.ID)
	}
	for _, id := range ids {
		for f, err := range store.Folders(ctx, id) {
			if err != nil {
				return err
			}
			if err := enc.Encode(f); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// FoldersFile holds what a capture of a folder says of the folders in it, one Folder a line.
const FoldersFile = "folders.jsonl"

// ReadFolders yields the folders of a component.
//
// Errors: cofre.ErrNotFound if none were captured.
func ReadFolders(ctx context.Context, tree cofre.Tree) iter.Seq2[Folder, error] {
	return func(yield func(Folder, error) bool) {
		r, err := tree.Open(ctx, FoldersFile)
		if err != nil {
			yield(Folder{}, fmt.Errorf("read %s: %w", FoldersFile, err))
			return
		}
		defer r.Close()
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, 0, 64<<10), MaxLine)
		for sc.Scan() {
			var f Folder
			if err := json.Unmarshal(sc.Bytes(), &f); err != nil {
				yield(Folder{}, fmt.Errorf("read %s: %w: %w", FoldersFile, cofre.ErrCorrupt, err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			yield(Folder{}, fmt.Errorf("read %s: %w", FoldersFile, err))
		}
	}
}
