package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation/loss"
)

// Files is where configuration files are restored to. The zero value brings all of them back to where they were.
type Files struct {
	To      string   // a directory that does not exist or is empty; "" is in place
	Paths   []string // these paths or patterns alone; nil is all
	NoOwner bool     // everything belongs to the user of this process, without set-id bits
}

func (Files) kind() cofre.Kind { return cofre.KindConfig }
func (Files) called() string   { return "config" }

func (Files) instead(_ context.Context, _ *Installation, from loss.Choice) (cofre.PointID, bool) {
	return newestWhole(from)
}

func (f Files) replaces(cofre.Component) cofre.Message {
	if f.To != "" {
		return cofre.Message{}
	}
	return cofre.Say("replace.files", "replace the files that are there")
}

func (f Files) target(_ context.Context, in *Installation, _ reader, from loss.Choice) (cofre.Target, error) {
	return files.NewTarget(files.TargetConfig{Installation: in.cfg.Name, Name: from.Component.Name, To: f.To, Paths: f.Paths, NoOwner: f.NoOwner}), nil
}
