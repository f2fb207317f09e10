package cofre

import (
	"crypto/rand"
	"strings"
	"time"
)

// Fact is what an event says beyond the progress of its task. Each type below is one; the types are the whole list.
// Logs, metrics, notifications and consoles are functions of facts, and never read sentences.
type Fact interface{ EventType() EventType }

// RunID names one execution: of a backup, a restore, a verification. Every event of a run carries it.
type RunID string

// NewRunID returns an id that sorts by when its run began.
func NewRunID(at time.Time) RunID {
	return RunID(at.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:8]))
}

// RunKind says what a run does.
type RunKind string

// The kinds of runs: one for each thing that is done with an installation. What only lists what is recorded, or plans, is no run.
const (
	RunInit          RunKind = "init"
	RunBackup        RunKind = "backup"
	RunRestore       RunKind = "restore" // What says of what: a cluster is recovered
	RunVerify        RunKind = "verify"
	RunDrill         RunKind = "drill" // What says of what
	RunAdopt         RunKind = "adopt"
	RunExport        RunKind = "export"
	RunDifference    RunKind = "difference"
	RunDoctor        RunKind = "doctor"
	RunCheckProvider RunKind = "check_provider"
	RunWALArchive    RunKind = "wal_archive"
	RunWALStream     RunKind = "wal_stream"
	RunWALStatus     RunKind = "wal_status"
	RunWALCheck      RunKind = "wal_check"
	RunExpire        RunKind = "expire"
	RunPrune         RunKind = "prune"
	RunSeal          RunKind = "seal"
	RunHold          RunKind = "hold"
	RunLiftHold      RunKind = "lift_hold"
	RunAcknowledge   RunKind = "wal_acknowledge"
	RunAdmit         RunKind = "wal_admit"
	RunLoss          RunKind = "journal_acknowledge"
	RunSign          RunKind = "policy_sign"
)

// RunKinds lists every kind.
func RunKinds() []RunKind {
	return []RunKind{
		RunInit, RunBackup, RunRestore, RunVerify, RunDrill, RunAdopt, RunExport, RunDifference, RunDoctor, RunCheckProvider, RunWALArchive, RunWALStream, RunWALStatus, RunWALCheck,
		RunExpire, RunPrune, RunSeal, RunHold, RunLiftHold, RunAcknowledge, RunAdmit, RunLoss, RunSign,
	}
}

// ParseRunKind reads a kind as a person types it.
//
// Errors: one that names the word and the words that are known.
func ParseRunKind(s string) (RunKind, error) {
	var known []string
	for _, k := range RunKinds() {
		if string(k) == s {
			return k, nil
		}
		known = append(known, string(k))
	}
	return "", WithHint(Fail(Say("runs.unknown_kind", `unknown kind of run "{{.kind}}"`, "kind", s)), Say("kind.use", "use one of {{.kinds}}", "kinds", strings.Join(known, ", ")))
}

// Actor is who does something, and where. The installation that it is done to is in the source of each event.
type Actor struct {
	Host    string `json:"host,omitempty"`
	User    string `json:"user,omitempty"`
	Version string `json:"cofre_version,omitempty"`
}

// RunBegan is the first event of a run.
type RunBegan struct {
	Kind   RunKind `json:"kind"`
	What   string  `json:"what,omitempty"`   // of a restore: database, table, merge, storage, config or cluster; of a backup the kinds it was asked for, with commas
	Within RunID   `json:"within,omitempty"` // the run of another kind that this one is done for
	By     Actor   `json:"actor,omitzero"`
	// Configuration is the SHA-256 of the configuration that the run is done with; a secret is in it as the reference that leads to it.
	Configuration string `json:"configuration_sha256,omitempty"`
}

// RunEnded is the last event of a run, also of one that failed.
type RunEnded struct {
	Kind    RunKind `json:"kind"`
	What    string  `json:"what,omitempty"`
	By      Actor   `json:"actor,omitzero"`
	Code    Code    `json:"code"`              // CodeOK, or why not
	Message string  `json:"message,omitempty"` // of the error, on one line
	Hint    string  `json:"hint,omitempty"`
	// Messages are of the hint, and of the sentences that the message is made of.
	Messages Messages      `json:"messages,omitempty"`
	Took     time.Duration `json:"took_ns"`
}

// ComponentCaptured says that one source was captured. It is not yet published.
type ComponentCaptured struct {
	Component Component `json:"component"`
}

// RepositoryMade says that there is a repository now, or a copy of one.
type RepositoryMade struct {
	URL  string `json:"url"`
	Copy bool   `json:"copy,omitempty"`
}

// KeyMade says that a repository has a key that it had not before.
type KeyMade struct {
	Repository string `json:"repository"` // its address
	Key        string `json:"key"`        // what it is for: "wal"
	Public     string `json:"public"`     // the half that is no secret
}

// PointPublished says that a recovery point is visible from now on.
type PointPublished struct {
	Point RecoveryPoint `json:"point"`
}

// FindingMade is one thing that is wrong, found by a capture, by a check between components, or by a verification.
type FindingMade struct {
	Finding Finding `json:"finding"`
}

// RestorePlanned is what a restore is about to do, and what it keeps of what there is. One that is refused ends with it.
type RestorePlanned struct {
	Plan *Plan `json:"plan"`
}

// RestoreStaged says that the bytes of a restore are where its promise says that they are staged.
type RestoreStaged struct {
	Staging Staging `json:"staging"`
}

// RestoreProven is what the staged copy was compared with, before it takes its name.
type RestoreProven struct {
	Proof *Proof `json:"proof"`
}

// RestorePublished is what a restore left, and under which names, and what it has kept.
type RestorePublished struct {
	Outcome *Outcome `json:"outcome"`
	Promise Promise  `json:"promise"`
}

// CopyKept says that a restored copy differs from what was captured, in the comparisons that do not hold, and was not published: it waits for a person to decide.
type CopyKept struct {
	Copy  KeptCopy `json:"copy"`
	Proof *Proof   `json:"proof"`
}

// ClusterRecovered is how far the server of a restored cluster has come.
type ClusterRecovered struct {
	LSN      LSN       `json:"lsn"` // the last that was replayed
	Timeline Timeline  `json:"timeline"`
	CommitAt time.Time `json:"commit_at,omitzero"` // of the last transaction that was replayed
	Promoted bool      `json:"promoted"`           // it takes writes
	Paused   bool      `json:"paused"`             // it runs, read-only
}

// ClusterAdopted says that a restored cluster is the original now.
type ClusterAdopted struct {
	Dir       string   `json:"dir"`
	System    SystemID `json:"system_identifier"`
	Timeline  Timeline `json:"timeline"`
	Archived  []string `json:"archived"` // files of pg_wal that are in every repository now
	Restarted bool     `json:"restarted"`
}

// Exported says that what a point holds was written for programs that know nothing of cofre, and so leaves its encryption.
type Exported struct {
	Format string `json:"format"`
	To     string `json:"to,omitempty"`    // a path; empty is a stream
	Table  string `json:"table,omitempty"` // if it is of one
}

// Compared says in how many ways one point differs from another.
type Compared struct {
	From    PointID `json:"from"`
	To      PointID `json:"to"`
	Changes int     `json:"changes"`
}

// Diagnosed is one thing that doctor looked at.
type Diagnosed struct {
	Diagnosis Diagnosis `json:"diagnosis"`
}

// VerificationEnded is what a verification established.
type VerificationEnded struct {
	Asked    Level `json:"level_asked"`
	Reached  Level `json:"level_reached"`
	Points   int   `json:"points"`
	Findings int   `json:"findings"`
	// Verified are the points that were looked at.
	Verified []PointID `json:"verified"`
	// Coverage is nil if nobody remembers what was read back.
	Coverage *CoverageFacts `json:"coverage,omitempty"`
	// Components are those of which something else is proven than the journal says.
	Components []ComponentProof `json:"components,omitempty"`
}

// DrillEnded is what a drill established: something was restored where it touches nothing, compared with what was captured, and asked.
type DrillEnded struct {
	Point  PointID  `json:"point"`
	Source SourceID `json:"source"`
	Root   ObjectID `json:"root"` // of the component
	// Drawn is the checkpoint of the journal by whose hash the point was drawn; "" of one that was named, or is the newest.
	Drawn string     `json:"drawn_by,omitempty"`
	Depth DrillDepth `json:"depth"`
	Major int        `json:"postgresql,omitempty"` // version of the drilled server
	Bytes int64      `json:"bytes"`                // of the component

	Compared int `json:"compared"` // comparisons with what was captured, …
	Differ   int `json:"differ"`   // … of which so many do not hold
	Asked    int `json:"asked"`    // questions of the configuration, …
	Wrong    int `json:"wrong"`    // … of which so many have another answer than the right one

	Steps []DrillStep `json:"steps"`
}

// DrillDepth says how deep a drill compared.
type DrillDepth string

// The depths. Everything is every row by a checksum under the repository's key, and what the catalogs say of every object. A part is whatever the point
// has of that. Counted compared how many rows there are, and nothing of them. A drill that found nothing to restore has none.
const (
	DrilledEverything DrillDepth = "everything"
	DrilledPart       DrillDepth = "part"
	DrilledCounted    DrillDepth = "counted"
)

// DrillStep is one step of a drill, and how long it took: what a recovery would take as well, or a check on top of it.
type DrillStep struct {
	Step DrillStage    `json:"step"`
	Took time.Duration `json:"took_ns"`
}

// DrillStage names a step of a drill.
type DrillStage string

// The steps, in their order.
const (
	DrillServer    DrillStage = "server"    // made and started
	DrillRestore   DrillStage = "restore"   // the bytes are there, indexes and constraints made
	DrillCompare   DrillStage = "compare"   // with what was captured
	DrillRecover   DrillStage = "recover"   // a cluster is at its moment, promoted
	DrillPages     DrillStage = "pages"     // their checksums
	DrillStructure DrillStage = "structure" // of tables and indexes
	DrillAsk       DrillStage = "ask"
)

// CoverageFacts are how much of what is stored was read back.
type CoverageFacts struct {
	Window  time.Duration `json:"window_ns"` // within which everything is to be read back
	Bytes   int64         `json:"bytes"`
	Proven  int64         `json:"proven_bytes"` // read back within the window
	Read    int64         `json:"read_bytes"`   // by this verification
	Deepest Level         `json:"deepest_level"`
	// Objects are the SHA-256 of the objects of the store that say what was read back.
	Objects []string `json:"objects,omitempty"`
}

// InstallationAssumed says that nobody chose the installation's name, and that of the only one in the repository was taken.
type InstallationAssumed struct {
	Name string `json:"name"`
}

// RecoveryChosen says from which base backup a cluster recovers, and how far.
type RecoveryChosen struct {
	Target RecoveryTarget `json:"target"`
	Point  PointID        `json:"base_backup"`
	// Stop is the position at which the target is reached; 0 if the WAL in the base backup itself is enough.
	Stop     LSN      `json:"stop_lsn,omitempty"`
	Timeline Timeline `json:"timeline,omitempty"`
	Segments int      `json:"segments,omitempty"` // that are needed
}

// HookBegan says that a command of the configuration begins. Its text may hold a secret, and is said nowhere.
type HookBegan struct {
	When string `json:"when"`
	N    int    `json:"n"`
}

// HookRan says that a command of the configuration was run around a run.
type HookRan struct {
	When string        `json:"when"` // before_backup, after_restore, …
	N    int           `json:"n"`    // which of them, from 0
	Code Code          `json:"code"`
	Took time.Duration `json:"took_ns"`
	Said string        `json:"said,omitempty"` // the last of what it printed
}

// EventType names the fact.
func (RunBegan) EventType() EventType            { return "run_began" }
func (RunEnded) EventType() EventType            { return "run_ended" }
func (ComponentCaptured) EventType() EventType   { return "component_captured" }
func (RepositoryMade) EventType() EventType      { return "repository_made" }
func (KeyMade) EventType() EventType             { return "key_made" }
func (PointPublished) EventType() EventType      { return TypePublished }
func (CopyKept) EventType() EventType            { return "copy_kept" }
func (ClusterRecovered) EventType() EventType    { return "cluster_recovered" }
func (ClusterAdopted) EventType() EventType      { return "cluster_adopted" }
func (Exported) EventType() EventType            { return "exported" }
func (Compared) EventType() EventType            { return "compared" }
func (Diagnosed) EventType() EventType           { return "diagnosed" }
func (FindingMade) EventType() EventType         { return "finding" }
func (RestorePlanned) EventType() EventType      { return "restore_planned" }
func (RestoreStaged) EventType() EventType       { return "restore_staged" }
func (RestoreProven) EventType() EventType       { return "restore_proven" }
func (RestorePublished) EventType() EventType    { return "restore_published" }
func (VerificationEnded) EventType() EventType   { return "verification_ended" }
func (DrillEnded) EventType() EventType          { return "drill_ended" }
func (InstallationAssumed) EventType() EventType { return "installation_assumed" }
func (RecoveryChosen) EventType() EventType      { return "recovery_chosen" }
func (HookBegan) EventType() EventType           { return "hook_began" }
func (HookRan) EventType() EventType             { return "hook_ran" }

// Tell gives an observer a fact, now.
func Tell(o Observer, f Fact) {
	o.Observe(Event{At: time.Now(), Type: f.EventType(), Fact: f})
}
