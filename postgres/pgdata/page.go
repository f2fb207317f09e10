package pgdata

import (
	"encoding/binary"

	"github.com/trustlayer/cofre"
)

// PageSize is the size of a data page in bytes. Clusters may be built with another; Control.BlockSize says so.
const PageSize = 8192

// checksumBase holds the start values of the 32 sums that a page is spread over.
//
// Source: PostgreSQL, src/include/storage/checksum_impl.h, checksumBaseOffsets.
var checksumBase = [32]uint32{
	0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A,
	0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
	0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA,
	0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
	0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE,
	0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
	0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E,
	0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
}

const fnvPrime = 16777619

// ChecksumPage computes the checksum of a page as PostgreSQL does when it writes it. blkno is the number of the
// block within the relation, counted over all its segment files. The page is not changed; its length must be a
// multiple of 128.
//
// Source: PostgreSQL, src/include/storage/checksum_impl.h, pg_checksum_page.
func ChecksumPage(page []byte, blkno uint32) uint16 {
	sums := checksumBase
	// The field that holds the checksum, bytes 8 and 9, counts as zero. Only the first row has it. Two rows of zeros end it.
	var first [rowSize]byte
	copy(first[:], page)
	first[8], first[9] = 0, 0
	checksumRows(&sums, first[:])
	checksumRows(&sums, page[rowSize:])
	checksumRows(&sums, zeroRows[:])
	var r uint32
	for _, s := range sums {
		r ^= s
	}
	r ^= blkno
	return uint16(r%65535 + 1)
}

const rowSize = 128

var zeroRows [2 * rowSize]byte

// checksumRowsGeneric is checksumRows for every processor.
func checksumRowsGeneric(sums *[32]uint32, rows []byte) {
	for ; len(rows) >= rowSize; rows = rows[rowSize:] {
		checksumRow(sums, (*[rowSize]byte)(rows))
	}
}

// checksumRow mixes 32 words into the 32 sums. Written so that the compiler keeps bounds checks out of the loop.
func checksumRow(sums *[32]uint32, row *[rowSize]byte) {
	for i := 0; i < 32; i += 4 {
		a := sums[i] ^ binary.LittleEndian.Uint32(row[i*4:])
		b := sums[i+1] ^ binary.LittleEndian.Uint32(row[i*4+4:])
		c := sums[i+2] ^ binary.LittleEndian.Uint32(row[i*4+8:])
		d := sums[i+3] ^ binary.LittleEndian.Uint32(row[i*4+12:])
		sums[i] = a*fnvPrime ^ a>>17
		sums[i+1] = b*fnvPrime ^ b>>17
		sums[i+2] = c*fnvPrime ^ c>>17
		sums[i+3] = d*fnvPrime ^ d>>17
	}
}

// PageChecksum is the checksum that the page carries.
func PageChecksum(page []byte) uint16 { return binary.LittleEndian.Uint16(page[8:]) }

// PageLSN is the end of the last WAL record that changed the page. PostgreSQL stores the upper half first.
func PageLSN(page []byte) cofre.LSN {
	return cofre.LSN(binary.LittleEndian.Uint32(page))<<32 | cofre.LSN(binary.LittleEndian.Uint32(page[4:]))
}

// IsNew reports whether the page was never written to since it was allocated: pd_upper is zero. Such a page
// carries no checksum; it is whole when IsZero says that nothing else is in it.
//
// Source: PostgreSQL, src/include/storage/bufpage.h, PageIsNew.
func IsNew(page []byte) bool { return binary.LittleEndian.Uint16(page[14:]) == 0 }

// HasSpecial reports whether the page has a special space, which pages of indexes and sequences have and those of tables
// have not: pd_special lies before the page's end.
//
// Source: PostgreSQL, src/include/storage/bufpage.h, PageGetSpecialSize.
func HasSpecial(page []byte) bool {
	special := int(binary.LittleEndian.Uint16(page[16:]))
	return !IsNew(page) && special > 0 && special < len(page)
}

// IsZero reports whether every byte of the page is zero.
func IsZero(page []byte) bool {
	for len(page) >= 8 {
		if binary.LittleEndian.Uint64(page) != 0 {
			return false
		}
		page = page[8:]
	}
	for _, b := range page {
		if b != 0 {
			return false
		}
	}
	return true
}

// VerifyPage reports whether a page of a cluster with data checksums is whole: it carries the checksum of its
// content, or is new and all zero.
//
// Source: PostgreSQL, src/backend/storage/page/bufpage.c, PageIsVerified.
func VerifyPage(page []byte, blkno uint32) bool {
	if IsNew(page) {
		return IsZero(page)
	}
	return ChecksumPage(page, blkno) == PageChecksum(page)
}
