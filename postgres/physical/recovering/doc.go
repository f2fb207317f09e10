// Package recovering starts the server of a restored cluster where nobody else reaches it, waits for its recovery target, and says
// where it stopped. One that stopped elsewhere than its plan says, or that lacks what the original had, is not promoted.
//
// Read recover.go first; stopping.go compares with the plan, and usable.go asks for the databases.
package recovering
