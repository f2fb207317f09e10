// Package config reads cofre.yaml, or the environment variables of the guide if there is none, and says
// everything that is wrong with it at once, each problem with its path and its place in the file.
//
// It holds plain values: what connects, and each adapter's own settings, are made from them in package installation.
// Secrets are references (env:NAME, file:PATH) that are read when they are needed, never before.
//
// Read config.go first (the schema as Go values) and keys.go (what each key means, and what acts on it), then load.go,
// decode.go (strict YAML) and check.go (what makes a value wrong). Example in example.go is the same schema as a person
// reads it; the tables of the pages and the schema for editors are written from keys.go.
package config

import (
	"io/fs"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
)

// Config is one installation: what is backed up, when, where to, and for how long it is kept.
type Config struct {
	// Path is the file this was read from, absolute; empty if it came from the environment.
	Path string `yaml:"-"`
	// Digest is the SHA-256 of the file or, without one, of what the environment says, in hexadecimal. Secrets are in it by reference.
	Digest string      `yaml:"-"`
	file   fs.FileInfo // of Path, as it was read

	Name string `yaml:"name"` // of the installation; the host's name if it is left out
	// NameGuessed says that nobody chose Name: it is the host's, or the database's of the environment.
	NameGuessed bool `yaml:"-"`
	// FromVariables says that the environment is the configuration: there is no file to write into.
	FromVariables bool         `yaml:"-"`
	Timezone      string       `yaml:"timezone"`
	Language      string       `yaml:"language"`
	Repository    Repository   `yaml:"repository"`
	Copies        []Repository `yaml:"copies"`

	Database *Database `yaml:"database"`
	Cluster  *Cluster  `yaml:"cluster"`
	Storage  *Storage  `yaml:"storage"`
	Files    *Files    `yaml:"config"`

	Verify     Verify     `yaml:"verify"`
	Serve      Serve      `yaml:"serve"`
	Drill      Drill      `yaml:"drill"`
	Objectives Objectives `yaml:"objectives"`
	Policy     Policy     `yaml:"policy"`
	Hooks      Hooks      `yaml:"hooks"`
	Notify     Notify     `yaml:"notify"`
	Log        Log        `yaml:"log"`
	// StateDir holds caches and connection files of this machine, and what it has seen of the journal: without that, a repository that was taken
	// back is not noticed. Everything else in it may be deleted at any time.
	// Empty: the default of the command line.
	StateDir string `yaml:"state_dir"`

	keptByDefault []cofre.Kind // which have no rules of retention in the file
}

// Repositories are the repository and its copies, in the order of the configuration.
func (c *Config) Repositories() []Repository {
	return append([]Repository{c.Repository}, c.Copies...)
}

// CopyOf is the address of the repository that r is a copy of; empty if r is the repository itself.
func (c *Config) CopyOf(r Repository) string {
	if r.URL == c.Repository.URL {
		return ""
	}
	return c.Repository.URL
}

// Location is the time zone that schedules are meant in, and in which times are shown. It was checked when the configuration was loaded.
func (c *Config) Location() *time.Location {
	if c.Timezone == "" {
		return time.Local
	}
	l, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return time.Local
	}
	return l
}

// Repository says where bytes rest. Copies have the same fields; what a copy leaves out it has from the repository.
type Repository struct {
	// URL is an absolute folder, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME. It carries no credentials.
	URL         string      `yaml:"url"`
	Password    Secret      `yaml:"password"`
	Compression string      `yaml:"compression"` // zstd-fastest if empty
	Credentials Credentials `yaml:"credentials"`
	CA          string      `yaml:"ca"` // PEM file with the authorities of the endpoint
	// WALRecipient is the key that WAL is encrypted for, age1…: another one in the repository is refused. Empty: the one of the first use.
	WALRecipient string `yaml:"wal_recipient"`
}

// IsS3 reports whether the repository is on an object store.
func (r Repository) IsS3() bool { return len(r.URL) > 5 && r.URL[:5] == "s3://" }

// Credentials open an object store. All zero: the chain of the S3 client (environment, shared file, instance).
type Credentials struct {
	AccessKey    Secret `yaml:"access_key"`
	SecretKey    Secret `yaml:"secret_key"`
	SessionToken Secret `yaml:"session_token"`
}

// IsZero reports whether no credentials are configured.
func (c Credentials) IsZero() bool { return c.AccessKey.IsZero() && c.SecretKey.IsZero() }

// Database is a database that is dumped.
type Database struct {
	URL      string   `yaml:"url"` // postgres://USER@HOST:PORT/NAME?sslmode=…, without a password
	Password Secret   `yaml:"password"`
	Schedule Schedule `yaml:"schedule"`
	Window   Duration `yaml:"window"` // within which a backup is to end after it was due; 0 is none
	Keep     Keep     `yaml:"keep"`
	Jobs     int      `yaml:"jobs"` // tables copied at once; 0 leaves it to cofre
	// LockTimeout bounds the wait for the lock on each table. 0 leaves it to cofre.
	LockTimeout Duration `yaml:"lock_timeout"`
	// RolePasswords stores the password hashes of roles, which needs a superuser.
	RolePasswords    bool     `yaml:"role_passwords"`
	ExcludeTableData []string `yaml:"exclude_table_data"` // patterns as of pg_dump
}

// The ways in which a cluster's WAL reaches the repository.
const (
	WALStream  = "stream"  // cofre receives it, from a replication slot
	WALArchive = "archive" // the server's archive_command calls cofre
)

// Cluster is a whole data directory: base backups and WAL.
type Cluster struct {
	URL           string   `yaml:"url"`
	Password      Secret   `yaml:"password"`
	Schedule      Schedule `yaml:"schedule"`
	Window        Duration `yaml:"window"` // within which a backup is to end after it was due; 0 is none
	Keep          Keep     `yaml:"keep"`
	WAL           string   `yaml:"wal"`            // WALStream, WALArchive, or empty for none
	Slot          string   `yaml:"slot"`           // of WALStream; empty leaves the name to cofre
	DataDirectory string   `yaml:"data_directory"` // where cofre sees it; empty asks the server and looks
	Jobs          int      `yaml:"jobs"`
	Checkpoint    string   `yaml:"checkpoint"` // CheckpointFast or CheckpointSpread; empty leaves it to cofre
}

// The checkpoints with which a base backup begins.
const (
	CheckpointFast   = "fast"
	CheckpointSpread = "spread"
)

// Storage is a set of object buckets. Exactly one of Supabase, S3 and Folder is set.
type Storage struct {
	Supabase *Supabase `yaml:"supabase"`
	S3       *S3       `yaml:"s3"`
	Folder   *Folder   `yaml:"folder"`
	Buckets  []string  `yaml:"buckets"` // empty: all
	Schedule Schedule  `yaml:"schedule"`
	Window   Duration  `yaml:"window"` // within which a backup is to end after it was due; 0 is none
	Keep     Keep      `yaml:"keep"`
	Jobs     int       `yaml:"jobs"`
}

// Supabase reaches Supabase Storage over its HTTP API.
type Supabase struct {
	URL            string `yaml:"url"`
	ServiceRoleKey Secret `yaml:"service_role_key"`
	CA             string `yaml:"ca"`
}

// S3 reaches buckets on an object store.
type S3 struct {
	Endpoint    string      `yaml:"endpoint"` // URL; empty is AWS
	Region      string      `yaml:"region"`
	Credentials Credentials `yaml:"credentials"`
	CA          string      `yaml:"ca"`
	Buckets     []string    `yaml:"buckets"` // another place for Storage.Buckets, where Load puts them
}

// Folder is a folder with one bucket per sub-folder.
type Folder struct {
	Path string `yaml:"path"`
}

// Files are the configuration files of the installation: the source of kind config.
type Files struct {
	Paths    []string `yaml:"paths"`   // absolute; a pattern with *, ?, [] or ** may match nothing
	Exclude  []string `yaml:"exclude"` // patterns: of a whole path if they hold a slash, of a name otherwise
	Schedule Schedule `yaml:"schedule"`
	Window   Duration `yaml:"window"` // within which a backup is to end after it was due; 0 is none
	Keep     Keep     `yaml:"keep"`
	// PostgreSQL also stores the server's own configuration files, read over SQL.
	PostgreSQL bool `yaml:"postgresql"`
	// Cofre also stores the configuration file of cofre itself. True unless it says false.
	Cofre bool `yaml:"cofre"`
}

// Keep is a retention policy: a component stays while any of its rules holds.
type Keep struct {
	// Everything lets nothing expire. It stands alone.
	Everything bool `yaml:"everything"`

	Days    int `yaml:"days"`   // younger than this many days
	Last    int `yaml:"last"`   // this many newest
	Hourly  int `yaml:"hourly"` // the newest of each of this many hours, …
	Daily   int `yaml:"daily"`
	Weekly  int `yaml:"weekly"`
	Monthly int `yaml:"monthly"`
	Yearly  int `yaml:"yearly"`
	// Verified is the number of verified recovery points that are never gone below.
	Verified int `yaml:"verified"`
}

// IsZero reports whether nothing is configured.
func (k Keep) IsZero() bool { return k == Keep{} }

// Verify says how what is stored is read back.
type Verify struct {
	// Window is the time within which verifications at the level content read everything back; 0 leaves it to cofre.
	Window Duration `yaml:"window"`
}

// Serve says what the agent does beside the backups.
type Serve struct {
	Expire Routine  `yaml:"expire"`
	Prune  Routine  `yaml:"prune"`
	Verify Routine  `yaml:"verify"`
	Drill  Routine  `yaml:"drill"`  // unlike the others, never if nobody says when: it needs the server programs of PostgreSQL, and room for a whole database
	Jitter Duration `yaml:"jitter"` // by which each job begins later, at most
	Limit  Duration `yaml:"limit"`  // of each run; 0 leaves it to cofre
}

// Routine is a schedule of what is done also if nobody says when. The zero Routine leaves it to cofre.
type Routine struct {
	Schedule
	Never bool
}

// Drill says what a restored copy is asked in a drill, beside being compared with what was captured.
type Drill struct {
	// Directory is where drilled servers have their files; empty leaves it to cofre.
	Directory   string  `yaml:"directory"`
	Checks      []Check `yaml:"checks"`
	RowSecurity []Probe `yaml:"row_security"`
}

// Check is one question to a drilled database. Exactly one of SQL and Command is set.
type Check struct {
	Name    string   `yaml:"name"`
	SQL     string   `yaml:"sql"`     // one statement that returns true
	Command string   `yaml:"command"` // of the shell; it gets the connection by environment
	Timeout Duration `yaml:"timeout"` // 0 leaves it to cofre
}

// texted is the key that a text in the place of the mapping is of.
func (Check) texted() string { return "sql" }

// Probe asks a drilled database as one of the application's own roles. Exactly one of Rows, Value and Denied is set.
type Probe struct {
	Name     string    `yaml:"name"`
	Role     string    `yaml:"role"`
	Claims   string    `yaml:"claims"` // JSON, as request.jwt.claims
	Settings []Setting `yaml:"settings"`
	Query    string    `yaml:"query"`
	Rows     *int      `yaml:"rows"`  // that the query returns
	Value    *string   `yaml:"value"` // of the first column of its only row, as text
	Denied   bool      `yaml:"denied"`
	Timeout  Duration  `yaml:"timeout"` // 0 leaves it to cofre
}

// Setting is a run-time parameter of a session.
type Setting struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Objectives are what is promised; status and drills measure against them.
type Objectives struct {
	RPO Duration `yaml:"rpo"`
	RTO Duration `yaml:"rto"`
}

// Policy is what the backup policy says that nothing else in the file does.
type Policy struct {
	Class       string   `yaml:"class"`       // ClassCritical, ClassImportant, ClassOrdinary; empty: none
	Responsible string   `yaml:"responsible"` // who answers for it: a person, or a role
	Elsewhere   string   `yaml:"elsewhere"`   // how backups come to another place, if not by cofre
	Review      Duration `yaml:"review"`      // after which it is to be signed anew; 0 leaves it to cofre
}

// The classes of systems, by what is asked of their backups.
const (
	ClassCritical  = "critical"
	ClassImportant = "important"
	ClassOrdinary  = "ordinary"
)

// ReviewEvery is after how long a policy is to be signed anew.
func (p Policy) ReviewEvery() Duration {
	if p.Review.Duration == 0 {
		return Duration{365 * 24 * time.Hour}
	}
	return p.Review
}

// Hooks are commands of the shell that run around backups and restores.
type Hooks struct {
	BeforeBackup  []string `yaml:"before_backup"`
	AfterBackup   []string `yaml:"after_backup"`
	BeforeRestore []string `yaml:"before_restore"`
	AfterRestore  []string `yaml:"after_restore"`
}

// Log says how cofre writes its log.
type Log struct {
	Format string `yaml:"format"` // text or json; empty is text
	Level  string `yaml:"level"`  // debug, info, warn or error; empty is info
}

// Secret refers to a secret: env:NAME or file:PATH. It prints as the reference; the secret is in Read alone.
type Secret struct {
	ref    string
	getenv func(string) string
}

// IsZero reports whether no secret is configured.
func (s Secret) IsZero() bool { return s.ref == "" }

// String is the reference, which is no secret.
func (s Secret) String() string { return s.ref }

// MarshalText writes the reference.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.ref), nil }

// Read resolves the reference now: the file or the variable may have changed since the configuration was
// loaded. The zero Secret reads as an absent secret.
//
// Errors: one that names the reference.
func (s Secret) Read() (secret.Value, error) {
	if s.ref == "" {
		return secret.Value{}, nil
	}
	return secret.Read(s.ref, s.getenv)
}

// Notify says who is told of what, when nobody looks.
type Notify struct {
	To        []Recipient `yaml:"to"`
	Repeat    Duration    `yaml:"repeat"` // of what still is; 0 leaves it to cofre
	Digest    Routine     `yaml:"digest"`
	Heartbeat Heartbeat   `yaml:"heartbeat"`
}

// listed is the key that a list in the place of the mapping is of.
func (Notify) listed() string { return "to" }

// Recipient is one service that is told.
type Recipient struct {
	URL      Address  `yaml:"url"`
	Language string   `yaml:"language"` // Config.Language if empty
	Only     []string `yaml:"only"`     // NotifyWords; empty: all
}

// texted is the key that a text in the place of the mapping is of.
func (Recipient) texted() string { return "url" }

// NotifyWords are what a recipient can be told of: the conditions of a status, and the digest.
var NotifyWords = []string{"damage", "gap", "rpo", "drill", "failure", "journal", "space", "late", "unread", "copy", "rto", "clock", "frozen", "unproven", "hold", "setup", "digest"}

// Heartbeat is a URL that is fetched as long as all is well, so that its silence is the alarm.
type Heartbeat struct {
	URL   Secret   `yaml:"url"`
	Fail  Secret   `yaml:"fail"`  // fetched instead if all is not well; zero: nothing is
	Every Duration `yaml:"every"` // 0 leaves it to cofre
}

// Address is the URL of a service: as it is if it holds no secret, or a reference to one.
type Address struct {
	URL string // empty if Secret is set
	Secret
}

// IsZero reports whether there is none.
func (a Address) IsZero() bool { return a.URL == "" && a.Secret.IsZero() }

// Read is the URL itself.
//
// Errors: those of Secret.Read.
func (a Address) Read() (secret.Value, error) {
	if a.URL != "" {
		return secret.New(a.URL), nil
	}
	return a.Secret.Read()
}

// Duration is a time.Duration that is also written in days and weeks: 90m, 1h30m, 7d, 2w.
type Duration struct{ time.Duration }
