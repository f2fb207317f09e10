package edits_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/repository"
)

// view is what a repository answers.
type view struct {
	points  []string
	trees   map[cofre.PointID]given // by point and source
	fetched map[string]given        // of WAL
	wal     string
	status  []string
	problem []string // what a verification, the list and the journal say
}

var nothing = &view{}

// given is the digest of what came back, or why nothing did.
type given struct{ digest, err string }

// said is what names something that was not named before.
func (v *view) said(before *view) []string {
	return append(slices.Clone(v.problem), slices.DeleteFunc(slices.Clone(v.status), func(s string) bool { return before == nothing || slices.Contains(before.status, s) })...)
}

func (v *view) finds(what string, err error) {
	if err != nil {
		v.problem = append(v.problem, what+": "+err.Error())
	}
}

// look asks everything, of the repository as it is now.
func (s *scene) look(t *testing.T, points []cofre.RecoveryPoint) *view {
	t.Helper()
	v := &view{trees: map[cofre.PointID]given{}, fetched: map[string]given{}}
	// What has read a repository keeps it in mind: the trees are read by a process of their own, and at the same time.
	var done sync.WaitGroup
	done.Go(func() { s.read(t.Context(), v, points) })
	done.Go(func() { s.fetch(t.Context(), v) })
	asked := &view{}
	s.ask(t, asked)
	done.Wait()
	v.points, v.wal, v.status, v.problem = asked.points, asked.wal, asked.status, asked.problem
	return v
}

func (s *scene) ask(t *testing.T, v *view) {
	ctx := t.Context()
	in := s.open(t)
	defer func() { _ = in.Close(context.WithoutCancel(ctx)) }()
	listed, err := in.Points(ctx, installation.PointsOptions{All: true})
	v.finds("list", err)
	if listed != nil {
		for _, p := range listed.Points {
			b, _ := json.Marshal(p.Components)
			v.points = append(v.points, fmt.Sprintf("%s %x", p.ID, sha256.Sum256(b)))
			for _, d := range p.Damage {
				v.finds("list", errors.New(d.What))
			}
		}
	}
	if w, err := in.WAL().Status(ctx); err != nil {
		v.wal = err.Error()
	} else {
		for _, of := range w.Systems {
			of.Bytes = 0 // with what lies beside the segments, and says nothing by its size
			b, _ := json.Marshal(of)
			v.wal += string(b)
		}
	}
	for _, level := range []cofre.Level{cofre.LevelStructure, cofre.LevelContent} {
		_, err = in.Verify(ctx, installation.VerifyOptions{Level: level, Again: true})
		v.finds("verify "+string(level), err)
	}
	_, err = in.Journal().Verify(ctx, "", journaling.Reading{})
	v.finds("journal verify", err)
	st, err := in.Status(ctx)
	v.finds("status", err)
	if st != nil {
		for _, f := range st.Findings {
			v.status = append(v.status, f.What)
		}
	}
}

// read reads every component of every point.
func (s *scene) read(ctx context.Context, v *view, points []cofre.RecoveryPoint) {
	fails := func(err error) {
		for _, p := range points {
			for _, c := range p.Components {
				if id := p.ID + "/" + cofre.PointID(c.Label()); v.trees[id] == (given{}) {
					v.trees[id] = given{err: err.Error()}
				}
			}
		}
	}
	r, err := repository.Open(ctx, repository.Config{URL: s.repo(), Password: secret.New(password), StateDir: filepath.Join(s.dir, "reader"), ReadOnly: true})
	if err != nil {
		fails(err)
		return
	}
	defer r.Close(context.WithoutCancel(ctx))
	for _, p := range points {
		for _, c := range p.Components {
			h := sha256.New()
			tree, err := r.Tree(ctx, c.Root)
			if err == nil {
				err = digest(ctx, tree, "", h)
			}
			got := given{digest: hex.EncodeToString(h.Sum(nil))}
			if err != nil {
				got = given{err: err.Error()}
			}
			v.trees[p.ID+"/"+cofre.PointID(c.Label())] = got
		}
	}
}

func digest(ctx context.Context, tree cofre.Tree, dir string, w io.Writer) error {
	for e, err := range tree.List(ctx, dir) {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%q %v %d %q\n", e.Path, e.Mode, e.Size, e.Link)
		switch {
		case e.Mode.IsDir():
			if err := digest(ctx, tree, e.Path, w); err != nil {
				return err
			}
		case e.Mode.IsRegular():
			f, err := tree.Open(ctx, e.Path)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, f)
			_ = f.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch fetches every file of WAL that was archived, and the one after the last.
func (s *scene) fetch(ctx context.Context, v *view) {
	to := filepath.Join(s.dir, "fetched")
	f, err := walstore.Fetcher(ctx, s.cfg, walstore.FetchOptions{})
	for _, name := range s.archived {
		if err != nil {
			v.fetched[name] = given{err: err.Error()}
			continue
		}
		f.System = s.system
		_ = os.Remove(to)
		answer, err := f.Fetch(ctx, name, to)
		if err != nil {
			v.fetched[name] = given{err: answer.String() + ": " + strings.ReplaceAll(err.Error(), to, "TO")}
			continue
		}
		b, err := os.ReadFile(to)
		if err != nil {
			v.fetched[name] = given{err: err.Error()}
			continue
		}
		sum := sha256.Sum256(b)
		v.fetched[name] = given{digest: hex.EncodeToString(sum[:])}
	}
}
