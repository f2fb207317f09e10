package logical

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
)

// The tree of a database component. ArchiveDir is a directory-format archive that stock pg_restore reads once
// its files are out of the repository.
const (
	ArchiveDir  = "archive"     // toc.dat, one NNNN.dat for each table's data, large objects
	FactsFile   = "facts.json"  // Facts
	GlobalsFile = "globals.sql" // roles, memberships, role settings, tablespaces, as psql reads them
	TOCFile     = "archive/toc.dat"
	// FingerprintFile is what the catalogs say, as package fingerprint writes it; absent in components of before.
	FingerprintFile = "fingerprint.txt"
)

// Summary is what a database component carries in the catalog: small, whatever the size of the database.
type Summary struct {
	ServerVersion string         `json:"server_version"` // as the server prints it: 15.18 (Debian …)
	ClientVersion string         `json:"client_version"` // of pg_dump
	SystemID      cofre.SystemID `json:"system_identifier,omitempty"`
	LSN           cofre.LSN      `json:"lsn"`      // of the snapshot, or a little before it
	TakenAt       time.Time      `json:"taken_at"` // the server's clock when the snapshot was taken
	Tables        int            `json:"tables"`
	Rows          int64          `json:"rows"`
	LargeObjects  int64          `json:"large_objects"`
	Flavour       string         `json:"flavour,omitempty"` // "supabase" or empty
	// Relies names functions that only a restore with a search path can call: MaxReliances of them, and their number.
	Relies     []Reliance `json:"relies_on_search_path,omitempty"`
	RelyCount  int        `json:"relies_on_search_path_count,omitempty"`
	SearchPath string     `json:"search_path,omitempty"` // of the database's sessions, if there are any
}

// MaxReliances bounds what the catalog names of them.
const MaxReliances = 10

// Reliance is a function that a restore calls, for a stored expression, and that names something without its schema: archives are restored with
// an empty search path.
type Reliance struct {
	Function string   `json:"function"`
	Missing  string   `json:"missing"` // what it names: "relation codes"
	Users    []string `json:"users"`   // what calls it
}

// Said says it.
func (r Reliance) Said() cofre.Message {
	return cofre.Say("doctor.search_path_relied", "function {{.function}} names something without its schema ({{.missing}}), and is called when these are restored: {{.users}}", "function", r.Function, "missing", r.Missing, "users", Some(r.Users))
}

// WayOut is the flag with which cofre restore database calls them.
func (s Summary) WayOut() string {
	return "--search-path " + shell.Quote(cmp.Or(s.SearchPath, "public"))
}

// Some names the first few of a list and counts the rest.
func Some(names []string) cofre.Message {
	const shown = 5
	if len(names) <= shown {
		return cofre.Verbatim(strings.Join(names, ", "))
	}
	return cofre.SayN("list.and_more", len(names)-shown, "{{.names}} and 1 more", "{{.names}} and {{.n}} more", "names", strings.Join(names[:shown], ", "))
}

// Facts is what was recorded inside the snapshot of the dump, stored as FactsFile beside the archive.
type Facts struct {
	Summary
	Format       int              `json:"format"` // 1
	Database     DatabaseFacts    `json:"database"`
	Tables       []TableFacts     `json:"table_list"`
	Sequences    []SequenceFacts  `json:"sequences"`
	Roles        []string         `json:"roles"` // every role that the archive names: owners, grantees, policies
	Extensions   []ExtensionFacts `json:"extensions"`
	Policies     []PolicyFacts    `json:"policies"`
	Grants       []GrantFacts     `json:"grants"`
	LargeObjects LargeObjectFacts `json:"large_object_facts"`
	// MoneyLocale is the lc_monetary under which values of type money were written. Empty, in components of before
	// it was recorded, is that of the database.
	MoneyLocale string `json:"money_locale,omitempty"`
	// Runs are functions of the database's own, and not of an extension, that a restore calls while it loads rows and makes indexes, at
	// most 1000. Null if nobody looked.
	Runs []FunctionRun `json:"functions_run"`
	// RowKey tells under which key rows were summed: the sum of no rows under it. Empty is none, in components of before.
	RowKey string `json:"row_key,omitempty"`
	// Texts are those of the archive in UTF-8, if only servers know its encoding. Those that had no equal there are missing.
	Texts []TextFact `json:"texts,omitempty"`
}

// FunctionRun is a function that a restore calls.
type FunctionRun struct {
	Function string   `json:"function"`
	Users    []string `json:"users"`              // what calls it, the first twenty: "table constraint plausible on public.answers"
	AsOwner  bool     `json:"as_owner,omitempty"` // SECURITY DEFINER
}

// TextFact is a text of the archive, a name or a definition, and what it is in UTF-8.
type TextFact struct {
	Raw  []byte `json:"raw"`
	UTF8 string `json:"utf8"`
}

// DatabaseFacts are the properties with which the database is made again.
type DatabaseFacts struct {
	Name             string    `json:"name"`
	Owner            string    `json:"owner"`
	Encoding         string    `json:"encoding"`
	LocaleProvider   string    `json:"locale_provider"` // libc, icu, builtin
	Collate          string    `json:"collate"`
	CType            string    `json:"ctype"`
	Locale           string    `json:"locale,omitempty"` // ICU or builtin
	ICURules         string    `json:"icu_rules,omitempty"`
	CollationVersion string    `json:"collation_version,omitempty"`
	Tablespace       string    `json:"tablespace"`
	ConnectionLimit  int       `json:"connection_limit"`
	Comment          string    `json:"comment,omitempty"`
	ACL              []string  `json:"acl,omitempty"` // aclitem texts; nil is the default
	Settings         []Setting `json:"settings,omitempty"`
	Bytes            int64     `json:"bytes"` // pg_database_size
}

// Setting is one ALTER DATABASE … SET, for all roles if Role is empty.
type Setting struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// meaning are the parameters on which the values of expressions depend that a restore evaluates: CHECKs and generated columns when rows
// are loaded, indexes, materialized views. So do parameters of the application, which have two parts.
var meaning = []string{"timezone", "datestyle", "default_text_search_config", "lc_time", "lc_numeric", "xmlbinary"}

// HasMeaning reports whether values of expressions depend on the setting, for whoever restores.
func (s Setting) HasMeaning() bool {
	return s.Role == "" && (slices.Contains(meaning, strings.ToLower(s.Name)) || strings.Contains(s.Name, "."))
}

// TableFacts is what passed when one table's data was copied.
type TableFacts struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	DumpID int    `json:"dump_id"` // of the TABLE DATA entry in the table of contents
	File   string `json:"file"`    // inside ArchiveDir: "3456.dat"
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"` // of COPY text, without its end marker
	RowSum
	Columns    []string `json:"columns"`               // in the order of the COPY text
	PrimaryKey []string `json:"primary_key,omitempty"` // in key order
	Filter     string   `json:"filter,omitempty"`      // of an extension's configuration table
}

// SequenceFacts is the state of a sequence.
type SequenceFacts struct {
	Schema    string `json:"schema"`
	Name      string `json:"name"`
	LastValue int64  `json:"last_value"`
	IsCalled  bool   `json:"is_called"`
}

// ExtensionFacts names an installed extension.
type ExtensionFacts struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Schema  string `json:"schema"`
}

// PolicyFacts is one row-level security policy.
type PolicyFacts struct {
	Schema     string   `json:"schema"`
	Table      string   `json:"table"`
	Name       string   `json:"name"`
	Permissive bool     `json:"permissive"`
	Roles      []string `json:"roles"`
	Command    string   `json:"command"`
	Using      string   `json:"using,omitempty"`
	Check      string   `json:"check,omitempty"`
}

// GrantFacts is the access list of one object.
type GrantFacts struct {
	Type   string   `json:"type"`   // table, sequence, schema, function, …
	Object string   `json:"object"` // quoted, as a person would type it
	Owner  string   `json:"owner"`
	ACL    []string `json:"acl,omitempty"` // sorted aclitem texts; nil is the default
}

// LargeObjectFacts counts the large objects.
type LargeObjectFacts struct {
	Count  int64 `json:"count"`
	Bytes  int64 `json:"bytes"`
	RowSum       // over lines "oid SP hash of the bytes": under the same key, or xxh3-128
}
