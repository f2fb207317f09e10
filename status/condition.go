package status

// Condition is what kind of trouble a finding is of, for whoever is told once of each: words that never change their meaning.
type Condition string

// The conditions.
const (
	ConditionFailure  Condition = "failure"  // a backup, or another run, failed, was killed, or is not whole
	ConditionLate     Condition = "late"     // a backup is due, and did not come
	ConditionRPO      Condition = "rpo"      // more work than is promised would be lost, or soon would be
	ConditionRTO      Condition = "rto"      // to bring it back would take longer than is promised
	ConditionDrill    Condition = "drill"    // a drill is red, or is due and did not come
	ConditionSpace    Condition = "space"    // the place of the repository fills
	ConditionGap      Condition = "gap"      // WAL is missing, or does not arrive
	ConditionCopy     Condition = "copy"     // a copy lacks something, or cannot be reached
	ConditionDamage   Condition = "damage"   // something that was stored is lost, or nothing was
	ConditionUnproven Condition = "unproven" // nobody has read back what is stored for too long
	ConditionFrozen   Condition = "frozen"   // nothing expires
	ConditionClock    Condition = "clock"    // a clock is wrong
	ConditionJournal  Condition = "journal"  // the journal is not consistent, or the catalog is not what it says
	ConditionUnread   Condition = "unread"   // something could not be read, so that nobody knows
	ConditionSetup    Condition = "setup"    // something was left undone
	ConditionHold     Condition = "hold"     // a hold ends
)

// Conditions are all of them, the worst news first.
var Conditions = []Condition{
	ConditionDamage, ConditionGap, ConditionRPO, ConditionDrill, ConditionFailure, ConditionJournal, ConditionSpace, ConditionLate, ConditionUnread,
	ConditionCopy, ConditionRTO, ConditionClock, ConditionFrozen, ConditionUnproven, ConditionHold, ConditionSetup,
}
