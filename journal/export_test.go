package journal

import "testing"

// SetWidth makes bundles smaller for a test.
func SetWidth(t testing.TB, n int64) {
	was := width
	width = n
	t.Cleanup(func() { width = was })
}

// EncodeBundle is what a thief writes, too.
var (
	EncodeBundle = encodeBundle
	BundleName   = bundleName
)

// What storage can have made anything of.
var (
	DecodeBundle = decodeBundle
	ParseEntry   = parse
)
