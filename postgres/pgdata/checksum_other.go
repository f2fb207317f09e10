//go:build !amd64

package pgdata

func checksumRows(sums *[32]uint32, rows []byte) { checksumRowsGeneric(sums, rows) }
