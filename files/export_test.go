package files

// Fail asks fn before each call on a file or a directory, until stop is called.
func Fail(fn func(op, path string) error) (stop func()) {
	failing = fn
	return func() { failing = nil }
}
