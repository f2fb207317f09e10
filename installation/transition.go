package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
)

// What the commands call until they are methods of Installation.
var (
	BaseBackups    = baseBackups
	ClusterSource  = clusterSource
	Configured     = configured
	DamageOf       = damageOf
	Incomplete     = incomplete
	InitRepository = initRepository
	KitOf          = kitOf
	NameFindings   = nameFindings
	NameVerified   = nameVerified
	Named          = named
	OpenStore      = openStore
	OpenTarget     = openTarget
	PointChecks    = pointChecks
	RestoreServer  = restoreServer
	ServerOf       = serverOf
	Sources        = sources
	StorageRowsOf  = storageRowsOf
	WALCopies      = walCopies
	CheckWAL       = checkWAL
	Parallel       = parallel
	OpenOne        = openOne
	_              = (*Installation).open
)

// Until then, too.
const (
	ToRead      = toRead
	ToWrite     = toWrite
	ClusterName = clusterName
)

func (in *Installation) Reading(ctx context.Context) (reader, error) { return in.reading(ctx) }

func (in *Installation) Config() *config.Config { return in.cfg }

func (in *Installation) Catalog(ctx context.Context, repo reader) (*catalog.Catalog, error) {
	return in.catalog(ctx, repo)
}

func (in *Installation) Observer() cofre.Observer { return in.observer }

func (in *Installation) RunHooks(ctx context.Context, when string, commands []string) error {
	return in.runHooks(ctx, when, commands)
}

func (in *Installation) HooksAfter(ctx context.Context, when string, commands []string, err error) error {
	return in.hooksAfter(ctx, when, commands, err)
}

func (in *Installation) Capture(ctx context.Context, o BackupOptions) (*cofre.RecoveryPoint, error) {
	return in.capture(ctx, o)
}
