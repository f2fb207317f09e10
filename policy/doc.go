// Package policy writes the backup policy of an installation from its configuration: what is backed up, how often, for how long it is kept, where, how it is encrypted,
// how it is proven that it can be restored, what may be lost and how long a recovery may take, and who answers for it. ISO/IEC 27001:2022 A.8.13 asks for such
// a policy, and for tests that follow it.
//
// Terms are what a policy says, as values: they are what is signed, so that another wording, or another language, is no other policy. Read policy.go first, then
// class.go (what public rules ask of each class of systems), compare.go (what differs from what was signed) and text.go (the policy as people read it).
package policy
