package cofre

// Outcome is what a restore left. Its parts are values: what a person reads is in the message of each, and what a program does next is in its
// fields.
type Outcome struct {
	Restored string  `json:"restored"`       // the name or path under which it is now
	Done     Message `json:"done,omitzero"`  // what was done, if that is more than a name or a path
	Kept     []Kept  `json:"kept,omitempty"` // what it replaced, and where that is now
	// Left is what is not as it was captured although the restore did what it was asked to: an object with other
	// bytes that it was not told to replace, what the component lacks. It makes the restore incomplete.
	Left []Checked `json:"left,omitempty"`
	// Hint says what to do about what is left; zero if there is nothing to say.
	Hint Message `json:"-"`
	Next []Next  `json:"next,omitempty"` // what the operator will want, in this order
}

// Thing is what kind of thing is kept.
type Thing string

// The things that restores keep.
const (
	ThingDatabase  Thing = "database"
	ThingDirectory Thing = "directory"  // a data directory, or what a tablespace had
	ThingWAL       Thing = "wal"        // of the cluster that was replaced
	ThingFile      Thing = "file"       // or a folder of files
	ThingMode      Thing = "attributes" // of a file or a folder: it has others now, and what it had is said
	ThingObjects   Thing = "objects"
	ThingSettings  Thing = "settings" // of a bucket
	ThingRows      Thing = "rows"
)

// Kept is something that a restore replaced or moved out of the way.
type Kept struct {
	Thing Thing   `json:"thing"`
	Was   string  `json:"was,omitempty"`   // the name or path that it had; empty if Said says more than a name
	Where string  `json:"where,omitempty"` // the name or path that it has now; empty if only what it was is known
	Said  Message `json:"said"`
}

// Do is what is to be done next, for a program: of one thing to do there is at most one command that fits every case.
type Do string

// What restores and adoptions leave to be done.
const (
	DoStart       Do = "start"      // the server
	DoRestart     Do = "restart"    // the server
	DoPromote     Do = "promote"    // it, so that it takes writes
	DoLook        Do = "look"       // at the copy
	DoAdopt       Do = "adopt"      // make it the original
	DoStop        Do = "stop"       // the server
	DoBackUp      Do = "back_up"    // at once
	DoForgetKey   Do = "forget_key" // remove the key that reads archived WAL from a copy
	DoDropKept    Do = "drop_kept"  // remove what is kept, once it is no longer needed
	DoFinish      Do = "finish"     // what only the copy's name made possible
	DoBringLost   Do = "bring_lost" // what the repository has lost, from another point
	DoLookForLost Do = "look_for_lost"
	DoReplace     Do = "replace" // what differs and was left
	DoMirror      Do = "mirror"  // delete what no capture has
	DoRenameThere Do = "rename"  // bring it under another name
)

// Next is something that the operator will want to do.
type Next struct {
	Do      Do      `json:"do"`
	Command string  `json:"command,omitempty"` // as it is typed, into a shell or, if it is SQL, into psql; empty if there is none that fits
	Said    Message `json:"said"`              // for a person, the command in it
}

// String is what a person reads, in English.
func (k Kept) String() string { return k.Said.Text }

// String is what a person reads, in English.
func (n Next) String() string { return n.Said.Text }

// Then adds something to do.
func (o *Outcome) Then(do Do, command string, said Message) {
	o.Next = append(o.Next, Next{do, command, said})
}

// Keeps adds what was replaced, and where it is now.
func (o *Outcome) Keeps(thing Thing, was, where string, said Message) {
	o.Kept = append(o.Kept, Kept{thing, was, where, said})
}
