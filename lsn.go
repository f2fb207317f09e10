package cofre

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the WAL: the byte offset since the cluster was made.
//
// Source: PostgreSQL, src/include/access/xlogdefs.h, XLogRecPtr.
type LSN uint64

// String writes an LSN as PostgreSQL does: 16/B374D848.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText writes an LSN into JSON and configuration as PostgreSQL prints it.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
//
// Errors: those of ParseLSN.
func (l *LSN) UnmarshalText(b []byte) error {
	v, err := ParseLSN(string(b))
	*l = v
	return err
}

// ParseLSN reads an LSN as PostgreSQL prints it.
//
// Errors: one that quotes the text.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if ok && len(hi) >= 1 && len(hi) <= 8 && len(lo) >= 1 && len(lo) <= 8 {
		h, err1 := strconv.ParseUint(hi, 16, 32)
		l, err2 := strconv.ParseUint(lo, 16, 32)
		if err1 == nil && err2 == nil {
			return LSN(h<<32 | l), nil
		}
	}
	return 0, fmt.Errorf("LSN %q is not of the form 16/B374D848", s)
}

// Timeline is a branch of a cluster's history, from 1. Printed in decimal.
type Timeline uint32

// SystemID is the identifier that initdb gave a cluster.
type SystemID uint64

// String writes a system identifier as pg_controldata does.
func (s SystemID) String() string { return strconv.FormatUint(uint64(s), 10) }

// MarshalText writes the identifier as text: it does not fit into a JSON number.
func (s SystemID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
//
// Errors: one if b is no decimal number of 64 bits.
func (s *SystemID) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("system identifier %q is not a number", b)
	}
	*s = SystemID(v)
	return nil
}
