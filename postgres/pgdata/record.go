package pgdata

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/trustlayer/cofre"
)

const (
	recordHeaderSize = 24
	maxRecordSize    = 1020 << 20 // XLogRecordMaxSize
)

// Resource managers and record types that matter to recovery targets.
//
// Source: PostgreSQL, src/include/access/rmgrlist.h, catalog/pg_control.h, access/xact.h, access/heapam_xlog.h,
// commands/dbcommands_xlog.h, commands/tablespace.h.
const (
	rmXLOG       = 0
	rmXact       = 1
	rmDatabase   = 4
	rmTablespace = 5
	rmHeap       = 10

	infoCheckpointShutdown  = 0x00
	infoCheckpointOnline    = 0x10
	infoSwitch              = switchRecordInfo
	infoBackupEnd           = 0x50
	infoRestorePoint        = 0x70
	infoEndOfRecovery       = 0x90
	infoFullPageWrites      = 0x80
	infoOverwriteContrecord = 0xD0

	xactOpMask        = 0x70
	xactCommit        = 0x00
	xactPrepare       = 0x10
	xactAbort         = 0x20
	xactCommitPrep    = 0x30
	xactAbortPrep     = 0x40
	xactHasInfo       = 0x80
	xinfoDBInfo       = 1 << 0
	xinfoSubxacts     = 1 << 1
	xinfoRelfiles     = 1 << 2
	xinfoInvals       = 1 << 3
	xinfoTwoPhase     = 1 << 4
	xinfoDroppedStats = 1 << 8

	infoDatabaseCopy     = 0x00
	infoTablespaceCreate = 0x00
	infoTablespaceDrop   = 0x10
	infoHeapDelete       = 0x10
	infoHeapInplace      = 0x70
	heapOpMask           = 0x70

	globalTablespace = 1664 // GLOBALTABLESPACE_OID: of the catalogs that all databases share
)

// Record is one WAL record. Its bytes are valid until the Walker is given its next page.
type Record struct {
	Start, End cofre.LSN // End is where the next record begins, before alignment to a page's header
	Prev       cofre.LSN // where the record before it starts
	XID        uint32
	Manager    uint8 // resource manager
	Info       uint8
	body       []byte // header included
	major      int

	segmentSize int64
}

// MomentKind says what a Moment is.
type MomentKind int

// The kinds of record that recovery can stop at, and those that a planner wants to know of.
const (
	MomentCommit MomentKind = iota + 1
	MomentAbort
	MomentRestorePoint
	MomentCheckpoint
	MomentBackupEnd
	MomentEndOfRecovery
	MomentPrepare

	// What follows acts on files when it is replayed, and not when its transaction commits.

	MomentTablespaceCreate
	MomentTablespaceDrop
	MomentDatabaseCreate
	MomentDatabaseDrop
	// A row of a shared catalog is changed in place, or deleted. DROP DATABASE does both to one row of pg_database,
	// in this order, before it removes files: from the first on nobody can connect to the database.
	MomentSharedInplace
	MomentSharedDelete
	// MomentDatabaseChange changes a file of a database; see Record.Change.
	MomentDatabaseChange
)

// DatabaseDir is the directory of a database in one tablespace.
type DatabaseDir struct{ Tablespace, Database uint32 }

// Moment is a record that carries a time, a transaction or a name, or acts before its transaction ends.
type Moment struct {
	Kind       MomentKind
	Start, End cofre.LSN
	At         time.Time // zero for the end of a backup, and for what acts
	XID        uint32    // of the transaction that ended; for a prepared one, its own and not the one that said so
	Name       string    // of a restore point
	Shutdown   bool      // of a checkpoint: no transaction that began before it goes on after it

	OID  uint32 // of a database or a tablespace
	Path string // where a tablespace is created; empty for one that is in pg_tblspc itself
	// InPlace are the changes to the WAL that make the record create its tablespace in pg_tblspc itself; see Edit.
	InPlace string
	Row     Row // of a shared catalog
	// Dirs are the directories of a database that are made, removed or changed. CopiedFrom is set if the replay of the record
	// copies the first of them from another.
	Dirs       []DatabaseDir
	CopiedFrom DatabaseDir
}

// Row says which row of a shared catalog a record changes, wherever that catalog lies now.
type Row struct {
	File, Block uint32
	Number      uint16
}

// Moment reads what the record says about time, transaction and name; ok is false for all other records.
func (r Record) Moment() (m Moment, ok bool) {
	m = Moment{Start: r.Start, End: r.End, XID: r.XID}
	info := r.Info & 0xF0
	switch r.Manager {
	case rmXLOG:
		data, ok := r.mainData()
		if !ok {
			return Moment{}, false
		}
		switch info {
		case infoRestorePoint:
			if len(data) < 9 {
				return Moment{}, false
			}
			name, _, _ := bytes.Cut(data[8:], []byte{0})
			m.Kind, m.At, m.Name = MomentRestorePoint, timestamp(data), string(name)
		case infoCheckpointOnline, infoCheckpointShutdown:
			if len(data) < 72 {
				return Moment{}, false
			}
			m.Shutdown = info == infoCheckpointShutdown
			m.Kind, m.At = MomentCheckpoint, time.Unix(int64(binary.LittleEndian.Uint64(data[64:])), 0).UTC()
		case infoEndOfRecovery:
			if len(data) < 8 {
				return Moment{}, false
			}
			m.Kind, m.At = MomentEndOfRecovery, timestamp(data)
		case infoBackupEnd:
			m.Kind = MomentBackupEnd
		default:
			return Moment{}, false
		}
		return m, true
	case rmXact:
		switch r.Info & xactOpMask {
		case xactCommit, xactCommitPrep:
			m.Kind = MomentCommit
		case xactAbort, xactAbortPrep:
			m.Kind = MomentAbort
		case xactPrepare:
			return r.prepared(m)
		default:
			return Moment{}, false
		}
		data, ok := r.mainData()
		if !ok || len(data) < 8 {
			return Moment{}, false
		}
		m.At = timestamp(data)
		if op := r.Info & xactOpMask; op == xactCommitPrep || op == xactAbortPrep {
			if m.XID, ok = r.preparedXID(data); !ok {
				return Moment{}, false
			}
		}
		return m, true
	case rmDatabase, rmTablespace:
		return r.filesMoment(m)
	case rmHeap:
		return r.sharedMoment(m)
	}
	return Moment{}, false
}

// preparedXID finds the transaction that COMMIT PREPARED or ROLLBACK PREPARED ended.
//
// Source: PostgreSQL, src/backend/access/rmgrdesc/xactdesc.c, ParseCommitRecord.
func (r Record) preparedXID(data []byte) (uint32, bool) {
	if r.Info&xactHasInfo == 0 || len(data) < 12 {
		return 0, false
	}
	le := binary.LittleEndian
	xinfo, data := le.Uint32(data[8:]), data[12:]
	skip := func(n uint64) bool {
		if uint64(len(data)) < n {
			return false
		}
		data = data[n:]
		return true
	}
	list := func(item uint64) bool {
		if len(data) < 4 {
			return false
		}
		return skip(4 + item*uint64(le.Uint32(data)))
	}
	ok := true
	if xinfo&xinfoDBInfo != 0 {
		ok = ok && skip(8)
	}
	if xinfo&xinfoSubxacts != 0 {
		ok = ok && list(4)
	}
	if xinfo&xinfoRelfiles != 0 {
		ok = ok && list(12)
	}
	if xinfo&xinfoDroppedStats != 0 { // since 15; wider since 18
		item := uint64(12)
		if r.major >= 18 {
			item = 16
		}
		ok = ok && list(item)
	}
	if xinfo&xinfoInvals != 0 {
		ok = ok && list(16)
	}
	if !ok || xinfo&xinfoTwoPhase == 0 || len(data) < 4 {
		return 0, false
	}
	return le.Uint32(data), true
}

// mainData returns the part of the record that belongs to its resource manager. The records that Moment reads
// refer to no block, so that one with block references is none of them.
//
// Source: PostgreSQL, src/include/access/xlogrecord.h.
func (r Record) mainData() ([]byte, bool) {
	b := r.body[recordHeaderSize:]
	for len(b) > 0 {
		switch b[0] {
		case 255: // short
			if len(b) < 2 || len(b)-2 != int(b[1]) {
				return nil, false
			}
			return b[2:], true
		case 254: // long
			if len(b) < 5 || uint64(len(b)-5) != uint64(binary.LittleEndian.Uint32(b[1:])) {
				return nil, false
			}
			return b[5:], true
		case 253: // replication origin
			if len(b) < 3 {
				return nil, false
			}
			b = b[3:]
		case 252: // top-level transaction
			if len(b) < 5 {
				return nil, false
			}
			b = b[5:]
		default:
			return nil, false
		}
	}
	return nil, true
}

var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func timestamp(b []byte) time.Time {
	us := int64(binary.LittleEndian.Uint64(b))
	// A Duration holds 292 years only; whole seconds and the rest apart reach further.
	return time.Unix(postgresEpoch.Unix()+us/1e6, us%1e6*1000).UTC()
}

// Walker follows WAL from page to page and finds its records. It is given pages in order, across segments; the
// first may be any page, for records that began before it are passed over.
//
// Where records end it stops, as recovery does: at zeros, at a page that belongs elsewhere, at a record whose
// checksum is wrong. That is the end of WAL, not an error, and End says where. Pages that come after the end are looked
// at too: if they belong there, WAL was written that no recovery reaches, and Broken says so. A segment that ends so and is not
// the last of its timeline is damaged: the caller knows which it is.
type Walker struct {
	size    int64
	from    cofre.LSN
	next    cofre.LSN // address of the page that is to come
	begun   bool
	major   int
	pending []byte // what there is of the record that goes on over the page
	start   cofre.LSN
	want    int
	prev    cofre.LSN
	hasPrev bool
	skip    bool  // a switch record was seen: nothing follows in this segment
	passing int64 // bytes to come of a record that began before the first page
	ended   bool
	end     cofre.LSN
	why     string
	over    bool // yield wants no more
	reached cofre.LSN
	broken  bool
}

// NewWalker makes a walker for segments of size bytes.
func NewWalker(size int64) *Walker { return &Walker{size: size} }

// WalkFrom makes a walker that begins at a position at which a record starts, and passes over what is before it:
// as a recovery does that begins at the redo point of a base backup.
//
// Its first page is that of the segment which holds the position.
func WalkFrom(size int64, from cofre.LSN) *Walker {
	return &Walker{size: size, from: from, next: from - from%cofre.LSN(size)}
}

// End reports where the WAL ended, if it did. Everything before it was whole.
func (w *Walker) End() (cofre.LSN, bool) { return w.end, w.ended }

// Why says what was found where the WAL ended; empty as long as it has not.
func (w *Walker) Why() string { return w.why }

// Last is where the last whole record starts, 0 before the first.
func (w *Walker) Last() cofre.LSN { return w.prev }

// Reached is where a server says that it is when it has replayed the last whole record: at its end, aligned, or at the
// end of the segment after a switch. It is 0 before the first.
func (w *Walker) Reached() cofre.LSN { return w.reached }

// Broken reports whether the WAL ended though more was written after it: what lies at End is damaged.
func (w *Walker) Broken() bool { return w.ended && w.broken }

// Next is the address of the page that Page expects; 0 before the first page of a walk from anywhere.
func (w *Walker) Next() cofre.LSN { return w.next }

// Page takes the next page and calls yield for each record that ends on it, until yield returns false; the
// walker is then of no more use. After the end of WAL it only learns whether the WAL is broken.
func (w *Walker) Page(page []byte, yield func(Record) bool) {
	if w.over {
		return
	}
	h, err := ParseWALPage(page)
	if w.ended {
		w.broken = w.broken || err == nil && len(page) == WALPageSize && h.Address == w.next
		w.next += WALPageSize
		return
	}
	if w.skip {
		// The rest of a segment after a switch is filled with zeros, and no page header can be expected.
		if uint64(w.next)%uint64(w.size) != 0 {
			w.next += WALPageSize
			return
		}
		w.skip = false
	}
	why := ""
	switch {
	case err != nil:
		why = notAPage(page, err)
	case len(page) != WALPageSize:
		why = fmt.Sprintf("a page of %d bytes", len(page))
	case !w.begun && h.Address+WALPageSize <= w.from:
		w.next = h.Address + WALPageSize
		return
	case w.begun && h.Address != w.next:
		why = "a page of " + h.Address.String()
	}
	if why != "" {
		w.stop(w.sofar(), why)
		w.next += WALPageSize
		return
	}
	w.page(h, page, yield)
}

// page takes a page that belongs where the walker is.
func (w *Walker) page(h WALPage, page []byte, yield func(Record) bool) {
	if w.begun && h.Overwritten {
		w.want, w.passing = 0, 0
	}
	begun := w.begun
	w.begun, w.next, w.major = true, h.Address+WALPageSize, h.Major
	pos, ok := w.rest(h, page, begun, yield)
	if !ok {
		return
	}
	for pos < WALPageSize && !w.skip {
		at := h.Address + cofre.LSN(pos)
		n := int64(binary.LittleEndian.Uint32(page[pos:]))
		if n < recordHeaderSize || n > maxRecordSize {
			w.stop(at, noRecord(n))
			w.resume(page[pos:])
			return
		}
		if n > int64(WALPageSize-pos) {
			w.pending = append(w.pending[:0], page[pos:]...)
			w.start, w.want = at, int(n)
			return
		}
		if !w.emit(page[pos:pos+int(n)], at, at+cofre.LSN(n), yield) {
			w.resume(page[pos:])
			return
		}
		pos = align(pos + int(n))
	}
}

// rest reads what a page begins with of a record that began before, and returns where the first record begins that
// does not; false if the page holds nothing more, or WAL has ended.
func (w *Walker) rest(h WALPage, page []byte, begun bool, yield func(Record) bool) (pos int, more bool) {
	pos = h.HeaderSize()
	room := WALPageSize - pos
	switch {
	case !begun && w.from > h.Address+cofre.LSN(pos):
		return int(w.from - h.Address), true
	case w.want > 0:
		if missing := int64(w.want - len(w.pending)); !h.Continued || int64(h.Remaining) != missing {
			w.broken = true
			w.stop(w.start, fmt.Sprintf("a record of which %d bytes are to follow on the page at %s, which says %s", missing, h.Address, remaining(h)))
			return 0, false
		}
		n := min(room, int(h.Remaining))
		w.pending = append(w.pending, page[pos:pos+n]...)
		if len(w.pending) < w.want {
			return 0, false
		}
		body := w.pending
		w.want = 0
		if !w.emit(body, w.start, h.Address+cofre.LSN(pos+n), yield) {
			w.resume(page[min(align(pos+n), len(page)):])
			return 0, false
		}
		return align(pos + n), true
	case begun && (h.Continued != (w.passing > 0) || h.Continued && int64(h.Remaining) != w.passing):
		w.broken = true
		w.stop(h.Address, fmt.Sprintf("a page that says %s, although the one before it leaves %d to follow", remaining(h), w.passing))
		return 0, false
	case h.Continued:
		if w.passing = int64(h.Remaining) - int64(room); w.passing > 0 {
			return 0, false
		}
		w.passing = 0
		return align(pos + int(h.Remaining)), true
	}
	return pos, true
}

func remaining(h WALPage) string {
	if !h.Continued {
		return "that no record goes on there"
	}
	return fmt.Sprintf("that %d bytes of a record go on there", h.Remaining)
}

func notAPage(page []byte, err error) string {
	if len(bytes.Trim(page, "\x00")) == 0 {
		return "zeros where a page of WAL is to begin"
	}
	return err.Error()
}

func noRecord(length int64) string {
	if length == 0 {
		return "zeros where a record is to begin"
	}
	return fmt.Sprintf("a record of %d bytes", length)
}

// sofar is up to where everything was whole, before the page that is to come.
func (w *Walker) sofar() cofre.LSN {
	if w.want > 0 {
		return w.start
	}
	return w.next
}

func align(n int) int { return (n + 7) &^ 7 }

func (w *Walker) stop(at cofre.LSN, why string) { w.ended, w.end, w.why = true, at, why }

// resume looks for a whole record behind what ended the WAL: one that follows a record from there on.
func (w *Walker) resume(page []byte) {
	for pos := 0; pos+recordHeaderSize <= len(page) && !w.broken && !w.over; pos += 8 {
		n := int64(binary.LittleEndian.Uint32(page[pos:]))
		if n < recordHeaderSize || n > int64(len(page)-pos) {
			continue
		}
		b := page[pos : pos+int(n)]
		prev := cofre.LSN(binary.LittleEndian.Uint64(b[8:]))
		w.broken = checksum(b) == binary.LittleEndian.Uint32(b[20:]) && prev >= w.end && prev < w.next
	}
}

// checksum is that of a record: it covers what follows the header first, and then the header up to the checksum itself.
func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[recordHeaderSize:], castagnoli), castagnoli, b[:20])
}

// emit checks a whole record and passes it on. It returns false if the walk is over.
func (w *Walker) emit(b []byte, start, end cofre.LSN, yield func(Record) bool) bool {
	le := binary.LittleEndian
	r := Record{
		Start: start, End: end, XID: le.Uint32(b[4:]), Prev: cofre.LSN(le.Uint64(b[8:])),
		Info: b[16], Manager: b[17], body: b, major: w.major, segmentSize: w.size,
	}
	switch {
	case checksum(b) != le.Uint32(b[20:]):
		w.stop(start, "a record whose checksum does not match")
		return false
	case r.Prev >= start:
		w.stop(start, fmt.Sprintf("a record that says the one before it starts at %s", r.Prev))
		return false
	case w.hasPrev && r.Prev != w.prev:
		w.stop(start, fmt.Sprintf("a record that says the one before it starts at %s, and that starts at %s", r.Prev, w.prev))
		return false
	}
	w.prev, w.hasPrev, w.reached = start, true, (end+7)&^7
	if r.Manager == rmXLOG && r.Info&0xF0 == infoSwitch {
		w.skip = true
		size := cofre.LSN(w.size)
		w.reached = (w.reached + size - 1) / size * size
	}
	if !yield(r) {
		w.stop(end, "")
		w.over = true
		return false
	}
	return true
}
