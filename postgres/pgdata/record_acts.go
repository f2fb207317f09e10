package pgdata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
)

// filesMoment reads what a record of databases or tablespaces does to files.
//
// Source: PostgreSQL, src/include/commands/dbcommands_xlog.h, commands/tablespace.h, xl_dbase_create_file_copy_rec,
// xl_dbase_drop_rec, xl_tblspc_create_rec. Up to 14 there was one way to create a database, and its removal had the next number.
func (r Record) filesMoment(m Moment) (Moment, bool) {
	data, ok := r.mainData()
	if !ok || len(data) < 4 {
		return Moment{}, false
	}
	m.OID = binary.LittleEndian.Uint32(data)
	info := r.Info & 0xF0
	if r.Manager == rmDatabase {
		drop := uint8(0x20)
		if r.major < 15 {
			drop = 0x10
		}
		switch {
		case info == drop:
			m.Kind = MomentDatabaseDrop
			for b := data[min(8, len(data)):]; len(b) >= 4; b = b[4:] {
				m.Dirs = append(m.Dirs, DatabaseDir{binary.LittleEndian.Uint32(b), m.OID})
			}
		case info < drop:
			m.Kind = MomentDatabaseCreate
			if info == infoDatabaseCopy && len(data) >= 16 {
				le := binary.LittleEndian
				m.Dirs = []DatabaseDir{{le.Uint32(data[4:]), m.OID}}
				m.CopiedFrom = DatabaseDir{le.Uint32(data[12:]), le.Uint32(data[8:])}
			}
		default:
			return Moment{}, false
		}
		return m, true
	}
	switch info {
	case infoTablespaceCreate:
		path, _, _ := bytes.Cut(data[4:], []byte{0})
		m.Kind, m.Path = MomentTablespaceCreate, string(path)
		if m.Path != "" {
			m.InPlace = r.inPlace(len(r.body) - len(data) + 4)
		}
	case infoTablespaceDrop:
		m.Kind = MomentTablespaceDrop
	default:
		return Moment{}, false
	}
	return m, true
}

// sharedMoment reads which row of a shared catalog is deleted, or changed in place.
//
// Source: PostgreSQL, src/include/access/heapam_xlog.h, xl_heap_delete, xl_heap_inplace; access/xlogrecord.h.
func (r Record) sharedMoment(m Moment) (Moment, bool) {
	at := 0 // of the row's number in the data of the resource manager
	switch r.Info & heapOpMask {
	case infoHeapDelete:
		m.Kind, at = MomentSharedDelete, 4
	case infoHeapInplace:
		m.Kind = MomentSharedInplace
	default:
		return Moment{}, false
	}
	le := binary.LittleEndian
	b, ok := r.firstBlock()
	if !ok || len(b) < 18 || le.Uint32(b) != globalTablespace {
		return Moment{}, false
	}
	m.Row = Row{File: le.Uint32(b[8:]), Block: le.Uint32(b[12:])}
	data, ok := tail(b[16:], r.body)
	if !ok || len(data) < at+2 {
		return Moment{}, false
	}
	m.Row.Number = le.Uint16(data[at:])
	return m, true
}

// firstBlock is where the record names the relation and the block of the first of its pages.
//
// Source: PostgreSQL, src/include/access/xlogrecord.h, XLogRecordBlockHeader.
func (r Record) firstBlock() ([]byte, bool) {
	b := r.body[recordHeaderSize:]
	if len(b) < 4 || b[0] != 0 {
		return nil, false
	}
	flags, b := b[1], b[4:]
	n := 0
	if flags&0x10 != 0 { // a page image
		if n = 5; len(b) < n {
			return nil, false
		}
		compressed := uint8(0x1C) // by any of three methods
		if r.major < 15 {
			compressed = 0x02
		}
		if b[4]&compressed != 0 && b[4]&0x01 != 0 {
			n += 2 // the length of the page's hole
		}
	}
	if len(b) < n+16 {
		return nil, false
	}
	return b[n:], true
}

// Change reads in which database's directory a record changes pages; ok is false if it changes none. Files that are
// made or removed there are named in pages of the database's catalogs, too.
func (r Record) Change() (m Moment, ok bool) {
	b, ok := r.firstBlock()
	if !ok {
		return Moment{}, false
	}
	le := binary.LittleEndian
	dir := DatabaseDir{le.Uint32(b), le.Uint32(b[4:])}
	return Moment{Kind: MomentDatabaseChange, Start: r.Start, End: r.End, XID: r.XID, OID: dir.Database, Dirs: []DatabaseDir{dir}}, true
}

// tail returns the data of the resource manager, which ends a record; headers are those of its parts that
// follow the only block.
func tail(headers, body []byte) ([]byte, bool) {
	for len(headers) >= 2 {
		var n uint64
		switch headers[0] {
		case 255:
			n = uint64(headers[1])
		case 254:
			if len(headers) < 5 {
				return nil, false
			}
			n = uint64(binary.LittleEndian.Uint32(headers[1:]))
		case 253:
			headers = headers[min(3, len(headers)):]
			continue
		case 252:
			headers = headers[min(5, len(headers)):]
			continue
		default:
			return nil, false
		}
		if n > uint64(len(body)-recordHeaderSize) {
			return nil, false
		}
		return body[uint64(len(body))-n:], true
	}
	return nil, false
}

// prepared reads PREPARE TRANSACTION.
//
// Source: PostgreSQL, src/include/access/xact.h, xl_xact_prepare.
func (r Record) prepared(m Moment) (Moment, bool) {
	data, ok := r.mainData()
	if !ok || len(data) < 32 {
		return Moment{}, false
	}
	m.Kind, m.At, m.XID = MomentPrepare, timestamp(data[16:]), binary.LittleEndian.Uint32(data[8:])
	return m, true
}

// inPlace computes the changes that empty the path, at an offset of the record, and make its checksum right again.
func (r Record) inPlace(path int) string {
	le := binary.LittleEndian
	b := bytes.Clone(r.body)
	b[path] = 0
	le.PutUint32(b[20:], checksum(b))
	var edits []string
	for i := range b {
		if b[i] != r.body[i] {
			e := Edit{At: positionIn(r.Start, i, r.segmentSize), Old: r.body[i], New: b[i]}
			edits = append(edits, e.String())
		}
	}
	return strings.Join(edits, ",")
}

// positionIn is where a byte of a record lies that starts at start: between the parts of a record are page headers.
func positionIn(start cofre.LSN, i int, segmentSize int64) cofre.LSN {
	at := start
	for {
		rest := WALPageSize - int(at%WALPageSize)
		if i < rest {
			return at + cofre.LSN(i)
		}
		i -= rest
		at += cofre.LSN(rest)
		if int64(at)%segmentSize == 0 {
			at += walLongHeaderSize
		} else {
			at += walHeaderSize
		}
	}
}

// Edit changes one byte of WAL. A recovery that must not write to where the original's tablespaces are reads WAL in
// which the records that create them name no place: PostgreSQL then makes them in pg_tblspc, or follows the link that
// is there.
//
// Source: PostgreSQL, src/backend/commands/tablespace.c, create_tablespace_directories, since 13.8 and 14.5.
type Edit struct {
	At       cofre.LSN
	Old, New byte
}

// String writes the edit as ParseEdits reads it: 16/B374D848:2f00.
func (e Edit) String() string {
	return fmt.Sprintf("%s:%s", e.At, hex.EncodeToString([]byte{e.Old, e.New}))
}

// ParseEdits reads edits that are separated by commas.
//
// Errors: one that quotes what cannot be read.
func ParseEdits(text string) ([]Edit, error) {
	var out []Edit
	for _, word := range strings.Split(text, ",") {
		at, change, _ := strings.Cut(word, ":")
		lsn, err := cofre.ParseLSN(at)
		b, err2 := hex.DecodeString(change)
		if err != nil || err2 != nil || len(b) != 2 {
			return nil, fmt.Errorf("%q is not a change of a byte of WAL", word)
		}
		out = append(out, Edit{lsn, b[0], b[1]})
	}
	return out, nil
}

// Apply makes the edits that fall into a segment, whose content it is given.
//
// Errors: cofre.ErrCorrupt if the segment is not the one that the edits were made for.
func Apply(edits []Edit, s Segment, content []byte) error {
	start, size := s.Start(int64(len(content))), int64(len(content))
	for _, e := range edits {
		i := int64(e.At) - int64(start)
		if i < 0 || i >= size {
			continue
		}
		switch content[i] {
		case e.New: // delivered before
		case e.Old:
			content[i] = e.New
		default:
			return fmt.Errorf("the byte at %s is %02x, and the recovery was planned with %02x: %w", e.At, content[i], e.Old, cofre.ErrCorrupt)
		}
	}
	return nil
}
