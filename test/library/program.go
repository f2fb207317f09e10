// Package library is a program outside cmd that does with one installation what cofre's commands do: it opens the configuration, backs
// up, follows the events, recovers to a moment, and verifies. Its test runs it against a real server. Read program.go, which is all of it.
package library

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
)

// Run backs up what a configuration describes, lets work go on, recovers a copy in dir to the moment that work says, and verifies. Program
// is the cofre-wal that the copy's server fetches WAL with. Events go to w, one JSON document a line.
func Run(ctx context.Context, path, program, dir string, w io.Writer, work func() (time.Time, error)) (err error) {
	cfg, err := config.Load(path, os.Getenv)
	if err != nil {
		return err
	}
	findings := 0
	in, err := installation.Open(ctx, cfg, observe.Tee(observe.NewLines(w), cofre.ObserverFunc(func(e cofre.Event) {
		if _, ok := e.Fact.(cofre.FindingMade); ok {
			findings++
		}
	})))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := in.Close(ctx); err == nil {
			err = cerr
		}
	}()
	in.Version, in.Program = "a program", program
	point, err := in.Backup(ctx, installation.BackupOptions{})
	if err != nil {
		return err
	}
	at, err := work()
	if err != nil {
		return err
	}
	done, err := in.Recover(ctx, installation.Cluster{
		Options: restoring.Options{Dir: dir, Recovery: cofre.RecoveryTarget{At: at}, Action: settings.ActionPromote},
		Start:   true,
	}, installation.RestoreOptions{})
	if err != nil {
		return err
	}
	if done.Point != point.ID || !done.Recovered.Promoted {
		return fmt.Errorf("recovered %s, promoted %v: want %s", done.Point, done.Recovered.Promoted, point.ID)
	}
	found, err := in.Verify(ctx, installation.VerifyOptions{Level: cofre.LevelContent})
	if err == nil && (found.Reached != cofre.LevelContent || findings > 0) {
		err = fmt.Errorf("reached %s with %d findings", found.Reached, findings)
	}
	return err
}
