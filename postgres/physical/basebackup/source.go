package basebackup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/view"
)

// defaultWALTimeout bounds the wait for the archive to receive the last segment that a base backup needs.
const defaultWALTimeout = 2 * time.Minute

// signing is what an Archive may do besides: it says whether it believes nothing but what an admitted key has signed, and which keys it does not believe any more.
type signing interface {
	Signed(ctx context.Context, system cofre.SystemID) (required bool, revoked []string)
}

// Archive is a WAL archive, as far as a base backup asks it.
type Archive interface {
	// Missing returns those of the named segments of a cluster that the archive does not hold yet, in the order
	// given.
	//
	// Errors: that this could not be found out.
	Missing(ctx context.Context, system cofre.SystemID, segments []string) ([]string, error)
	// Holds reports whether what the archive has under the name of a file of pg_wal is exactly content.
	//
	// Errors: cofre.ErrNotFound if it has nothing under that name; cofre.ErrCorrupt if what it has is damaged.
	Holds(ctx context.Context, system cofre.SystemID, name string, content []byte) (bool, error)
	// Put archives a file of pg_wal, and takes the place of one that is damaged.
	//
	// Errors: cofre.ErrExists if another file has the name; cofre.ErrCorrupt or cofre.ErrRefused if the content is not what
	// the name says; those of the store.
	Put(ctx context.Context, system cofre.SystemID, name string, content []byte) error
	// Readable says what keeps the archive, or a copy of it, from being read: its key may be damaged.
	//
	// Errors: cofre.ErrCorrupt or cofre.ErrNotFound for its key, with what is left to do; those of unlocking it; those of
	// the store.
	Readable(ctx context.Context) error
	// Mend stores afresh what is known to be damaged of a cluster's WAL, if the server still has it, which read asks, or
	// if another archive has it whole. healed and lost name each.
	//
	// Errors: that it could not be found out what is damaged; the error of ctx. What cannot be healed is in lost.
	Mend(ctx context.Context, system cofre.SystemID, read func(ctx context.Context, name string) ([]byte, error)) (healed, lost []cofre.Message, err error)
}

// Config says which cluster is captured and how.
type Config struct {
	Name   string          // of the source
	Server postgres.Config // how to reach the server; any database of it
	// DataDirectory is where this process sees the data directory, if elsewhere than the server says: a volume
	// mounted from a container. Empty asks the server.
	DataDirectory string
	Method        physical.Method // empty: files if the data directory is visible, else protocol

	// Archive keeps the WAL of the cluster. Nil: nothing does, and every component carries the WAL that makes it
	// consistent, so that it restores on its own, to the moment at which the backup ended.
	Archive Archive
	// Slot is the replication slot by which WAL is streamed into Archive; empty if archive_command brings it there.
	Slot string
	// WALTimeout bounds the wait for Archive; after it the component carries its WAL, with a warning. 0 is two
	// minutes.
	WALTimeout time.Duration

	Jobs             int  // files read at once; 0 leaves it to the capture
	SpreadCheckpoint bool // let the server take its time over the checkpoint that a backup begins with
	ReadEverything   bool // trust no modification time: read files that seem unchanged too
}

// Source captures a cluster. It is a cofre.Source and a cofre.Checker.
type Source struct {
	installation string
	cfg          Config
}

var (
	_ cofre.Source  = (*Source)(nil)
	_ cofre.Checker = (*Source)(nil)
)

// NewSource makes a source. Nothing is connected to before Capture or Doctor.
func NewSource(installation string, cfg Config) *Source {
	if cfg.WALTimeout == 0 {
		cfg.WALTimeout = defaultWALTimeout
	}
	return &Source{installation, cfg}
}

// ID names the source.
func (s *Source) ID() cofre.SourceID {
	return cofre.SourceID{Installation: s.installation, Kind: cofre.KindCluster, Name: s.cfg.Name}
}

// Capture takes one base backup. What ends it, an error, ctx, or kill -9, ends the server's side of it too: it is
// bound to a session of ours.
//
// Pages that do not match their checksum are captured as they are and named in the facts and in a warning, and
// the component is Partial: a page that should be whole is known not to be. Nothing else that is in the cluster
// would be helped by having no backup of it. It is Partial too if the archive holds WAL of another server under the
// names of this one's: it then carries its own, and nothing continues it.
//
// Errors: cofre.ErrPreflight if the server is not set up for backups; cofre.ErrDenied; those of package
// postgres and of the session.
func (s *Source) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	conn, err := postgres.Connect(ctx, s.cfg.Server)
	if err != nil {
		return cofre.Captured{}, err
	}
	k := &capture{cfg: s.cfg, given: c, conn: conn}
	done, err := k.run(ctx)
	if err != nil && cofre.Hint(err) == "" {
		err = postgres.Explain(err)
	}
	if end := k.end(ctx); err == nil {
		err = end
	}
	return done, err
}

// capture is one base backup under way, by either method.
type capture struct {
	cfg    Config
	given  *cofre.Capture
	conn   *pgx.Conn
	server postgres.Server

	facts    physical.Facts
	history  pgdata.History
	branches []pgdata.Branch // the WAL that makes the component consistent
	warnings []cofre.Message
	findings []cofre.Finding
	// configuration is what the component holds instead of files of the data directory: see configuration.go.
	configuration map[string]string
	seen          view.View // of the server's files
	walDir        string    // pg_wal, where this process sees it
	unreadable    bool      // nobody reads what the archive holds
	foreign       string    // why the WAL in the archive is not this cluster's; empty if it is
	suspects      map[string][]suspect
	uid, gid      uint32 // of the data directory's files
}

// jobs is how many files are read at once.
func (k *capture) jobs() int { return max(cmp.Or(k.cfg.Jobs, k.given.Jobs), 1) }

func (k *capture) run(ctx context.Context) (cofre.Captured, error) {
	var none cofre.Captured
	var err error
	if k.server, err = postgres.ReadServer(ctx, k.conn); err != nil {
		return none, err
	}
	if k.server.Settings["wal_level"] == "minimal" {
		return none, cofre.WithHint(fmt.Errorf("base backup of a cluster with wal_level = minimal: %w", cofre.ErrPreflight),
			cofre.Say("cluster.wal_level", "ALTER SYSTEM SET wal_level = 'replica'; then restart PostgreSQL"))
	}
	host, _ := os.Hostname() // a name for people; none is no reason to take no backup
	set := k.server.Settings
	if set["cluster_name"] == datadir.CopyName {
		k.warn(cofre.Say("cluster.copy", "this server is a restored copy that nobody has adopted, and its WAL is not archived: cofre adopt {{.dir}} makes it the original", "dir", shellDir(k.server.DataDir)))
	}
	k.facts = physical.Facts{Format: 1, Summary: physical.Summary{
		SystemID: k.server.SystemID, ServerVersion: k.server.VersionText, Major: k.server.Version.Major(),
		Host: host, DataChecksums: set["data_checksums"] == "on", FromStandby: k.server.InRecovery,
		Settings: map[string]string{},
	}}
	// 10 is BOOTSTRAP_SUPERUSERID of pg_authid.dat.
	if err := k.conn.QueryRow(ctx, "SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10").Scan(&k.facts.Superuser); err != nil {
		return none, fmt.Errorf("read the name of the bootstrap superuser: %w", err)
	}
	for _, name := range recorded {
		if v, ok := set[name]; ok {
			k.facts.Settings[name] = v
		}
	}
	if k.facts.WALSegmentSize, err = strconv.ParseInt(set["wal_segment_size"], 10, 64); err != nil {
		return none, fmt.Errorf("read wal_segment_size: %w", err)
	}
	seen, dir, control, why := view.FindInPlace(ctx, k.conn, k.server, k.cfg.DataDirectory)
	if k.seen = seen; why == nil && k.facts.SystemID == 0 {
		k.facts.SystemID = control.SystemID
	}
	switch {
	case why == nil && k.cfg.Method != physical.MethodProtocol:
		if err = k.readConfiguration(ctx); err == nil {
			err = k.files(ctx, dir, control)
		}
	case k.cfg.Method == physical.MethodFiles:
		return none, cofre.WithHint(fmt.Errorf("read the data directory: %w: %v", cofre.ErrPreflight, why),
			cofre.Say("cluster.data_directory", "run cofre where it can read the data directory, as the user postgres or root, or leave the method to it"))
	default:
		if k.cfg.Method == "" {
			k.note(cofre.Say("cluster.sent", "the data directory is not visible here ({{.error}}): the server sends it instead", "error", why))
		}
		if err = k.readConfiguration(ctx); err == nil {
			err = k.protocol(ctx)
		}
	}
	if err != nil {
		return none, err
	}
	if err := k.putConfiguration(ctx); err != nil {
		return none, err
	}
	return k.conclude(ctx)
}

// recorded are the settings that recovery, or whoever starts the restored cluster, needs to know.
var recorded = []string{
	"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
	"wal_level", "wal_log_hints", "full_page_writes", "track_commit_timestamp", "block_size", "wal_block_size", "segment_size",
	"shared_preload_libraries", "archive_mode", "archive_command", "archive_timeout", "config_file", "hba_file", "ident_file",
	"TimeZone", "lc_collate", "lc_ctype", "server_encoding", "shared_buffers", "huge_pages", "port",
}

// Archiver asks the server how its archiving is.
//
// Errors: those of package postgres.
func (s *Source) Archiver(ctx context.Context) (archiving.Archiver, error) {
	conn, err := postgres.Connect(ctx, s.cfg.Server)
	if err != nil {
		return archiving.Archiver{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	server, err := postgres.ReadServer(ctx, conn)
	if err != nil {
		return archiving.Archiver{}, err
	}
	return s.cfg.archiver(ctx, conn, server)
}

// archiver asks the server how its archiving is.
func (c Config) archiver(ctx context.Context, conn *pgx.Conn, server postgres.Server) (archiving.Archiver, error) {
	refuser, _ := c.Archive.(archiving.Refuser)
	a, err := archiving.Read(ctx, conn, server, c.DataDirectory, refuser)
	if err == nil && c.Slot != "" {
		err = a.ReadStream(ctx, conn, c.Slot)
	}
	return a, err
}

// conclude makes sure of the WAL and writes what is known about the rest.
func (k *capture) conclude(ctx context.Context) (cofre.Captured, error) {
	if err := k.putManifest(ctx); err != nil {
		return cofre.Captured{}, err
	}
	k.facts.FileCount = len(k.facts.Files)
	if n := k.facts.BadPageCount; n > 0 {
		where := cofre.Say("cluster.pages_in_log", "the server's log names them")
		if len(k.facts.BadPages) > 0 {
			where = cofre.Say("cluster.first_page", "the first is block {{.block}} of {{.file}}", "block", k.facts.BadPages[0].Block, "file", k.facts.BadPages[0].File)
		}
		k.warn(cofre.SayN("cluster.bad_pages", n, "1 page does not match its checksum, {{.where}}: the cluster is damaged, and this backup of it holds the damage", "{{.n}} pages do not match their checksum, {{.where}}: the cluster is damaged, and this backup of it holds the damage", "where", where))
	}
	k.facts.OwnWALOnly = k.foreign != ""
	if a, ok := k.cfg.Archive.(signing); ok {
		k.facts.WALSigned, k.facts.WALRevoked = a.Signed(ctx, k.facts.SystemID)
	}
	summary, err := json.Marshal(k.facts.Summary)
	if err != nil {
		return cofre.Captured{}, err
	}
	hashes := k.facts.EncodeHashes()
	facts, err := k.facts.Encode()
	if err != nil {
		return cofre.Captured{}, err
	}
	for name, b := range map[string][]byte{physical.FactsFile: facts, physical.HashesFile: hashes} {
		if _, err := k.put(ctx, name, b); err != nil {
			return cofre.Captured{}, err
		}
	}
	captured := cofre.Captured{Facts: summary, Findings: k.findings, Partial: k.facts.BadPageCount > 0 || k.foreign != ""}
	for _, m := range k.warnings {
		captured.Warn(m)
	}
	return captured, nil
}

// end closes the session. A backup or a slot that it still holds ends with it.
func (k *capture) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBound)
	defer cancel()
	return postgres.Close(ctx, k.conn)
}

func (k *capture) note(m cofre.Message) {
	k.given.Observer.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(m))
}

// warn tells the operator now and keeps the sentence in the component.
func (k *capture) warn(m cofre.Message) {
	k.warnings = append(k.warnings, m)
	k.given.Observer.Observe(cofre.Event{Type: cofre.TypeWarning}.Saying(m))
}
