package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/walorigin"
)

// hear is walorigin.Ask with what this process has open.
func (in *Installation) hear(ctx context.Context) (walorigin.Heard, error) {
	repo, err := in.reading(ctx)
	if err != nil {
		return walorigin.Heard{}, err
	}
	return walorigin.Ask(ctx, in.cfg, func() (*journaling.Known, error) { return in.knownJournal(ctx, "") }, repo)
}

// notHeard tells why it is not known what the journal says of archived WAL.
func (in *Installation) notHeard(err error) {
	if err != nil {
		in.warn(cofre.Say("wal.journal_not_asked", "whether somebody took away what the repository says of the keys that sign WAL is not known from all of the journal ({{.cause}}); see what has become of it: cofre journal verify", "cause", err))
	}
}
