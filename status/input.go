package status

import (
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/retention"
)

// Input is all that a status depends on.
type Input struct {
	Now          time.Time
	Installation string
	RPO          time.Duration // the objective; 0 is none
	RTO          time.Duration // the objective; 0 is none
	Window       time.Duration // within which everything is to be read back; 0 is DefaultWindow
	Sources      []Configured  // in the order of cofre.Kinds
	Points       []cofre.RecoveryPoint
	Damage       map[cofre.PointID][]cofre.Finding
	Gone         []cofre.PointID // that the journal says were published and did not expire, and that are not there
	Overtaken    cofre.Messages  // that the newest point by its own clock is not the newest, and what to do; nil if it is
	History      *History        // nil is none
	Unended      []runs.Unended
	Why          map[cofre.RunID]Why // why runs failed, as far as that could be read
	Retention    *retention.Plan     // nil if it could not be decided
	Holds        []cofre.Hold        // that were not lifted, also those that have ended
	WAL          []Archived          // of each system
	Archiver     *archiving.Archiver // nil if it was not asked, or could not be
	Repository   Repository
	Copies       []string // addresses
	Unknown      []Unknown

	byName map[cofre.PointID]int // of Points
}

// DefaultWindow is the time within which everything is to be read back if nothing says another.
const DefaultWindow = 30 * 24 * time.Hour

// Configured is a source as the configuration has it.
type Configured struct {
	ID       cofre.SourceID
	Schedule string                    // as it is written; "" for none
	Next     func(time.Time) time.Time // the first moment after another at which it is due; nil without a schedule
	// NextDrill is the first moment after another at which a drill of it is due; nil without a schedule of drills, and of what is not drilled.
	NextDrill func(time.Time) time.Time
	// Archives says that the WAL of the cluster is archived, or streamed.
	Archives bool
	// Within is the source that brings the same data back as well: the cluster that a database is in. Zero if there is none.
	Within cofre.SourceID
}

// Archived is what is archived of the WAL of one system.
type Archived struct {
	wal.Status
	// Former says that a newer base backup of the cluster is of another system: what is archived of this one goes on no more.
	Former   bool
	StoredAt []time.Time // of each window, when the newest segment in it was stored, by the clock of the store
}

// Why is why a run failed.
type Why struct {
	Message  string
	Hint     string
	Messages cofre.Messages
}

// Area is something that a status is made of, and that can be unknown by itself.
type Area string

// The areas.
const (
	AreaRepository Area = "repository" // it could not be opened: neither catalog nor damage are known
	AreaCatalog    Area = "catalog"
	AreaPoints     Area = "points" // some may be hidden: those that are known are
	AreaJournal    Area = "journal"
	AreaWAL        Area = "wal"
	AreaServer     Area = "server" // what PostgreSQL says of its archiving
	AreaSpace      Area = "space"
	AreaSize       Area = "size"
)

// Unknown is an area that could not be read, and why.
type Unknown struct {
	Area Area
	Err  error
}

func (in *Input) unknown(areas ...Area) bool {
	return slices.ContainsFunc(in.Unknown, func(u Unknown) bool { return slices.Contains(areas, u.Area) })
}

// Repository is where bytes rest.
type Repository struct {
	URL     string        `json:"url"`
	Bytes   int64         `json:"stored_bytes"` // -1 if that is not known
	Free    int64         `json:"free_bytes"`   // -1 if the store does not say
	Added   int64         `json:"added_bytes"`  // within Within; -1 if that is not known
	Within  time.Duration `json:"added_within_ns"`
	Largest int64         `json:"largest_backup_bytes"` // the most that one backup added within Within
	// FullIn is how long the free space lasts if it goes on like this and nothing is pruned; 0 if that cannot be said.
	FullIn time.Duration `json:"full_in_ns,omitempty"`
	// WALAdded is what of Added is archived WAL.
	WALAdded int64 `json:"wal_added_bytes"`
	// Unsealed says that whoever holds the storage can write the seals: a repository of before, which was not sealed under its password.
	Unsealed bool `json:"unsealed,omitempty"`
}
