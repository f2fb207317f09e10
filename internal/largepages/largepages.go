// Package largepages allocates buffers whose memory the kernel is asked to give in pages of 2 MiB. On a virtual machine the
// first touch of an ordinary page costs some 20 µs, and a short process can spend more on its pages than on its work.
package largepages

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const page = 2 << 20

// Make allocates a buffer of n bytes. If the kernel knows of no large pages, or has none left, it is as any other.
//
// Source: madvise(2), MADV_HUGEPAGE.
func Make(n int) []byte {
	b := make([]byte, n)
	if n == 0 {
		return b
	}
	if skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % page; skip+page <= uintptr(n) {
		whole := b[skip:]
		_ = unix.Madvise(whole[:len(whole)/page*page], unix.MADV_HUGEPAGE)
	}
	return b
}

// Ready makes the next allocation of n bytes find memory that was touched already, in large pages. It is for code of
// others that touches so much once, such as the derivation of a key from a password.
func Ready(n int) {
	b := Make(n + page)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	b = nil
	runtime.GC() // gives it back to the allocator, which takes it again before anything else of that size
}
