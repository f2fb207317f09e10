package files

import "github.com/trustlayer/cofre/internal/inside"

// Fail asks fn before each call on a file or a directory, until stop is called.
func Fail(fn func(op, path string) error) (stop func()) { return inside.Fail(fn) }
