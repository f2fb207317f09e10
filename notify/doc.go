// Package notify tells people what is wrong, once, and again when it is over: by mail, by chat, by a webhook, in their language; and once a day how all
// stands. It also fetches a URL as long as all is well, so that silence is an alarm too.
//
// What is wrong is a Condition. Conditions are made of facts, those of a status and those of a run that has just ended, and never of sentences. A Ledger is what one
// recipient was told, and decides what is to be told next; it is pure, and it is the only thing that is kept, in the state directory. A Notifier looks,
// and has each recipient told beside all others, so that one that hangs delays nothing.
//
// Addresses are secrets: whoever has one can write there. They are in no error, no log and no document; errors of services, which repeat them, are cleaned.
//
// Read condition.go first, then ledger.go, then notifier.go; service.go is how a message leaves.
package notify
