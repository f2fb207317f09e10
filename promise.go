package cofre

// Promise says what a target keeps of what there is. It is of one restore, and known once it is planned. Plans, events, the command line and
// the hints of errors tell it from here.
type Promise struct {
	Staging  Staging  `json:"staging"`
	Replaced Replaced `json:"replaced"`
	// KeptAt is where what was replaced is, or will be; zero unless it is kept.
	KeptAt Message `json:"kept_at,omitzero"`
	// Undoable says that what was there before Publish can be had back whole: what is kept takes its name again, or what
	// was restored is removed. Otherwise it is put back piece by piece, or not at all.
	Undoable bool `json:"undoable"`
}

// Staging is where a restore brings the bytes before they are proven.
type Staging string

// The places, by what an error before Publish leaves.
const (
	// StagedApart is a place of its own. Nothing that exists is touched before Publish; Discard removes what Stage made.
	StagedApart Staging = "apart"
	// StagedAmong is where the bytes will be used, among what is there. Nothing that exists is replaced before Publish; what was
	// missing and was brought stays after Discard.
	StagedAmong Staging = "among"
	// StagedInPlace is over what is there. After an error it is neither what it was nor what was captured.
	StagedInPlace Staging = "in_place"
)

// Replaced is what becomes of what a restore replaces or deletes.
type Replaced string

// The fates.
const (
	ReplacesNothing Replaced = "nothing" // there is nothing to replace, or it is left as it is
	ReplacedKept    Replaced = "kept"    // until a person removes it
	ReplacedLost    Replaced = "lost"
)

// Told are the sentences of a promise, for a person.
func (p Promise) Told() Messages {
	var told Messages
	switch p.Staging {
	case StagedApart:
		told = append(told, Say("promise.apart", "nothing that exists is touched before the copy is proven"))
	case StagedAmong:
		told = append(told, Say("promise.among", "what is missing is brought to where it is used, and stays there also if the restore does not end; nothing that exists is replaced before it is proven"))
	case StagedInPlace:
		told = append(told, Say("promise.in_place", "what is there is overwritten from the beginning: if the restore does not end, it is neither what it was nor what was captured"))
	}
	switch p.Replaced {
	case ReplacesNothing:
		told = append(told, Say("promise.nothing", "nothing is replaced"))
	case ReplacedKept:
		told = append(told, Say("promise.kept", "what is replaced is kept: {{.where}}", "where", p.KeptAt))
	case ReplacedLost:
		told = append(told, Say("promise.lost", "what is replaced is not kept"))
	}
	if !p.Undoable && p.Replaced != ReplacedLost {
		told = append(told, Say("promise.piecemeal", "this cannot be undone as a whole, only piece by piece"))
	}
	return told
}

// Unpublished says what a restore that ended before Publish has left of what there was.
func (p Promise) Unpublished() Message {
	switch p.Staging {
	case StagedAmong:
		return Say("promise.unpublished.among", "nothing was replaced; what was missing and was brought stays")
	case StagedInPlace:
		return Say("promise.unpublished.in_place", "what was there is overwritten in part: restore it again")
	}
	return Say("promise.unpublished.apart", "nothing was replaced")
}

// Promises puts what the target keeps into the plan, and among what the operator should know.
func (p *Plan) Promises(of Promise) {
	p.Promise = &of
	if len(p.Problems) > 0 {
		return // it does nothing
	}
	for _, m := range of.Told() {
		p.Note(m)
	}
}
