package basebackup

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
)

// partSize is how much of a file is held in memory and stored at once. The server sends one stream; its parts are
// compressed and encrypted by several workers, and joined without being read again. A multiple of BlockSize.
const partSize = 8 << 20

// dataCorrupted is the code with which the server ends a base backup in which pages did not match their checksum,
// after it has sent all of it.
const dataCorrupted = "XX001"

// protocol captures a cluster whose data directory is not visible here: the server sends it. If the server knows
// which blocks were changed since the previous component, it sends those alone.
//
// Source: https://www.postgresql.org/docs/18/protocol-replication.html, BASE_BACKUP
func (k *capture) protocol(ctx context.Context) error {
	k.facts.Method = physical.MethodProtocol
	k.facts.CapturedAt = time.Now().UTC()
	if err := k.given.Session.Add(ctx, cofre.Entry{Path: physical.DataDir, Mode: fs.ModeDir | 0o700, ModTime: k.facts.CapturedAt}); err != nil {
		return err
	}
	since, err := k.since(ctx)
	if err != nil {
		return err
	}
	if err := k.proveHistory(ctx); err != nil {
		return err
	}
	if err := errors.Join(k.proveReadable(ctx), k.mend(ctx)); err != nil {
		return err
	}
	includeWAL := k.cfg.Archive == nil || k.facts.FromStandby || k.foreign != "" || k.unreadable
	begun, err := k.receive(ctx, since, includeWAL)
	if err != nil && since != nil && !begun && ctx.Err() == nil {
		k.note(cofre.Say("cluster.cannot_tell", "the server sends everything, because it cannot tell what has changed: {{.error}}", "error", err))
		_, err = k.receive(ctx, nil, includeWAL)
	}
	if err != nil {
		return err
	}
	k.facts.WALIncluded = includeWAL
	if includeWAL {
		return nil
	}
	return k.proveWAL(ctx, func(context.Context) error {
		return cofre.WithHint(fmt.Errorf("the WAL that makes the backup consistent is in no archive: %w", cofre.ErrUnproven),
			cofre.Say("cluster.archiving", "see why archiving does not work (cofre wal status, the server's log), or take the backup without an archive configured"))
	})
}

// receive takes one base backup from the server, on a session of its own. It reports whether the server had begun
// to send.
func (k *capture) receive(ctx context.Context, since *since, includeWAL bool) (begun bool, err error) {
	conn, err := postgres.Connect(ctx, k.cfg.Server.WithSettings(map[string]string{"replication": "true"}))
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBound)
		defer cancel()
		err = errors.Join(err, conn.Close(ctx))
	}()
	pg := conn.PgConn()
	if err := k.identify(ctx, pg); err != nil {
		return false, err
	}
	if includeWAL {
		// The slot keeps the WAL for as long as this session lives.
		sql := fmt.Sprintf("CREATE_REPLICATION_SLOT cofre_%d TEMPORARY PHYSICAL RESERVE_WAL", pg.PID())
		if _, err := pg.Exec(ctx, sql).ReadAll(); err != nil {
			k.warn(cofre.Say("cluster.no_slot", "without a temporary slot the WAL that the backup needs may be recycled before it ends: {{.error}}", "error", err))
		}
	}
	if since != nil {
		if _, err := pg.CopyFrom(ctx, bytes.NewReader(since.manifest), "UPLOAD_MANIFEST"); err != nil {
			return false, fmt.Errorf("tell the server what the previous component holds: %w", err)
		}
	}
	k.facts.StartedAt = time.Now().UTC()
	k.note(cofre.Say("cluster.checkpoint", "waiting for the checkpoint that the backup begins with"))
	s := &stream{k: k, ctx: ctx, conn: pg, typed: k.facts.Major >= 15, since: since, sent: map[string]sent{}}
	command := baseBackup(k.facts.Major, "cofre "+k.facts.StartedAt.Format(time.RFC3339), backupOptions{
		fast: !k.cfg.SpreadCheckpoint, wal: includeWAL, incremental: since != nil,
	})
	obs := k.given.Observer
	obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Unit: cofre.UnitBytes}.Doing(receiveTask()))
	err = s.receive(command)
	if err == nil {
		err = s.conclude()
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Done: s.bytes, Total: s.bytes, Unit: cofre.UnitBytes, Err: err}.Doing(receiveTask()))
	return s.begun, err
}

// backupOptions are those of BASE_BACKUP that differ from one backup to another.
type backupOptions struct{ fast, wal, incremental bool }

// baseBackup is the command, in the grammar of the major version.
func baseBackup(major int, label string, o backupOptions) string {
	quoted := "'" + strings.ReplaceAll(label, "'", "''") + "'"
	if major < 15 {
		words := []string{"BASE_BACKUP LABEL " + quoted}
		if o.fast {
			words = append(words, "FAST")
		}
		if o.wal {
			words = append(words, "WAL")
		}
		return strings.Join(append(words, "NOWAIT MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"), " ")
	}
	options := []string{"LABEL " + quoted, "WAIT 0", "MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'CRC32C'"}
	if o.fast {
		options = append(options, "CHECKPOINT 'fast'")
	}
	if o.wal {
		options = append(options, "WAL")
	}
	if o.incremental {
		options = append(options, "INCREMENTAL")
	}
	return "BASE_BACKUP (" + strings.Join(options, ", ") + ")"
}

// identify asks the session which cluster it leads to.
func (k *capture) identify(ctx context.Context, pg *pgconn.PgConn) error {
	res, err := pg.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll()
	if err != nil {
		return fmt.Errorf("identify the cluster: %w", err)
	}
	if len(res) != 1 || len(res[0].Rows) != 1 {
		return errors.New("identify the cluster: the server's answer has no row")
	}
	var id cofre.SystemID
	if err := id.UnmarshalText(res[0].Rows[0][0]); err != nil {
		return err
	}
	if k.facts.SystemID != 0 && k.facts.SystemID != id {
		return fmt.Errorf("the session for replication leads to cluster %s, the other to %s: %w", id, k.facts.SystemID, cofre.ErrPreflight)
	}
	k.facts.SystemID = id
	return nil
}

// stream is what the server sends in answer to BASE_BACKUP: result sets and archives in one or several copies.
//
// Up to 14 each tablespace, and the manifest, is a copy of its own. From 15 there is one copy, whose messages say
// what they are: n a new archive, m the manifest, d data, p progress.
type stream struct {
	k     *capture
	ctx   context.Context //nolint:containedctx // io.Reader has none to give
	conn  *pgconn.PgConn
	typed bool

	spaces   []string // OID of the archives to come, in order; empty is the data directory
	rest     []byte   // data received and not read yet
	next     string   // how the archive that follows is announced: "n" with its OID in nextOID, "m", or empty
	nextOID  string
	copying  bool
	finished bool

	since *since          // nil in a full backup
	sent  map[string]sent // what came, by the server's path
	begun bool            // something came

	starts   []string // rows of result sets: where the backup started and stopped
	files    []physical.FileFacts
	bytes    int64
	manifest []byte
	label    []byte
	control  []byte
	failed   *pgconn.PgError // bad pages, after everything was sent
}

func (s *stream) receive(command string) error {
	s.conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	if err := s.conn.Frontend().Flush(); err != nil {
		return fmt.Errorf("ask for a base backup: %w", err)
	}
	g, ctx := guard.WithContext(s.ctx)
	g.SetLimit(s.k.jobs() + 1)
	err := func() error {
		archive := 0
		for {
			if err := s.untilCopy(); err != nil || s.finished {
				return err
			}
			if !s.begun { // its checkpoint is done, and no file was sent yet
				if err := s.k.findDrops(ctx); err != nil {
					return err
				}
			}
			for s.copying {
				if err := s.archive(ctx, g, &archive); err != nil {
					return err
				}
			}
		}
	}()
	// What is being stored refers to the session: it is waited for whatever happened.
	return errors.Join(err, g.Wait())
}

// archive reads one archive, or the manifest, to its end.
func (s *stream) archive(ctx context.Context, g *guard.Group, n *int) error {
	s.begun = true
	kind, oid := "n", ""
	if s.typed {
		// The first message of the copy announces an archive.
		if s.next == "" {
			if _, err := s.Read(nil); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if !s.copying {
				return nil
			}
		}
		kind, oid, s.next = s.next, s.nextOID, ""
	} else {
		switch {
		case *n < len(s.spaces):
			oid = s.spaces[*n]
		default:
			kind = "m"
		}
		*n++
	}
	if kind == "m" {
		b, err := bounded.All(s, bounded.List)
		s.manifest = b
		return err
	}
	return s.tar(ctx, g, oid)
}

// Read yields the data of the current archive.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if !s.copying || s.next != "" {
			return 0, io.EOF
		}
		msg, err := s.conn.ReceiveMessage(s.ctx)
		if err != nil {
			return 0, fmt.Errorf("receive the base backup: %w", err)
		}
		switch m := msg.(type) {
		case *pgproto3.CopyData:
			if err := s.data(m.Data); err != nil {
				return 0, err
			}
		case *pgproto3.CopyDone:
			s.copying = false
		case *pgproto3.NoticeResponse:
			s.notice(m)
		case *pgproto3.ErrorResponse:
			return 0, pgconn.ErrorResponseToPgError(m)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// data takes one message of a copy. Its bytes are valid until the next is received, which is not before they are
// read.
func (s *stream) data(b []byte) error {
	if !s.typed {
		s.rest = b
		return nil
	}
	if len(b) == 0 {
		return errors.New("receive the base backup: an empty message")
	}
	switch b[0] {
	case 'd':
		s.rest = b[1:]
	case 'n':
		name, _, _ := bytes.Cut(b[1:], []byte{0})
		s.next, s.nextOID = "n", strings.TrimSuffix(string(name), ".tar")
		if s.nextOID == "base" {
			s.nextOID = ""
		}
	case 'm':
		s.next = "m"
	case 'p': // progress, which was not asked for in bytes of ours
	default:
		return fmt.Errorf("receive the base backup: message of type %q is not known", b[0])
	}
	return nil
}

// untilCopy reads result sets until a copy begins or the command has ended.
func (s *stream) untilCopy() error {
	spaces := false
	for {
		msg, err := s.conn.ReceiveMessage(s.ctx)
		if err != nil {
			return fmt.Errorf("receive the base backup: %w", err)
		}
		switch m := msg.(type) {
		case *pgproto3.RowDescription:
			spaces = len(m.Fields) > 0 && string(m.Fields[0].Name) == "spcoid"
		case *pgproto3.DataRow:
			if spaces {
				s.space(m)
			} else if len(m.Values) >= 2 {
				s.starts = append(s.starts, string(m.Values[0]), string(m.Values[1]))
			}
		case *pgproto3.NoticeResponse:
			s.notice(m)
		case *pgproto3.CopyOutResponse:
			s.copying = true
			return nil
		case *pgproto3.ErrorResponse:
			e := pgconn.ErrorResponseToPgError(m)
			if e.Code != dataCorrupted || s.manifest == nil {
				return fmt.Errorf("receive the base backup: %w", e)
			}
			s.failed = e
		case *pgproto3.ReadyForQuery:
			s.finished = true
			return nil
		}
	}
}

// badPage finds file and block in the server's warning, in whatever language it is.
//
// Source: PostgreSQL, src/backend/backup/basebackup.c, verify_page_checksum.
var badPage = regexp.MustCompile(`"(?:\./)?([^"]+)", \S+ (\d+):`)

func (s *stream) notice(m *pgproto3.NoticeResponse) {
	f := badPage.FindStringSubmatch(m.Message)
	if f == nil || m.Severity == "NOTICE" {
		return
	}
	s.k.facts.BadPageCount++
	if block, err := strconv.ParseInt(f[2], 10, 64); err == nil && len(s.k.facts.BadPages) < maxBadPages {
		s.k.facts.BadPages = append(s.k.facts.BadPages, physical.BadPage{File: f[1], Block: block})
	}
}

func (s *stream) space(m *pgproto3.DataRow) {
	oid := string(m.Values[0])
	s.spaces = append(s.spaces, oid)
	if n, err := strconv.ParseUint(oid, 10, 32); err == nil {
		s.k.facts.Tablespaces = append(s.k.facts.Tablespaces, physical.Tablespace{OID: uint32(n), Path: string(m.Values[1])})
	}
}

// tar takes the entries of one archive into the session.
func (s *stream) tar(ctx context.Context, g *guard.Group, oid string) error {
	root := physical.DataDir
	if oid != "" {
		root = path.Join(physical.TablespacesDir, oid)
	}
	in := tar.NewReader(s)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			// What follows the end of the archive in the stream is padding.
			_, err := io.Copy(io.Discard, s)
			return err
		}
		if err != nil {
			return fmt.Errorf("read the archive that the server sends: %w", err)
		}
		e := cofre.Entry{
			Path: path.Join(root, h.Name), Mode: h.FileInfo().Mode().Perm(), ModTime: h.ModTime,
			UID: uint32(h.Uid), GID: uint32(h.Gid), Size: h.Size, Layout: cofre.LayoutPages,
		}
		switch h.Typeflag {
		case tar.TypeDir:
			if e.Path == root && oid == "" || root == physical.DataDir && isOmitted(path.Clean(h.Name)) {
				continue
			}
			e.Mode |= fs.ModeDir
			err = s.k.given.Session.Add(ctx, e)
		case tar.TypeSymlink:
			e.Mode, e.Link, e.Size = 0o777|fs.ModeSymlink, h.Linkname, 0
			err = s.k.given.Session.Add(ctx, e)
		case tar.TypeReg:
			if root == physical.DataDir && isOmitted(h.Name) && h.Name != pgdata.BackupLabelFile {
				continue // a signal file: the restore decides what the restored cluster does
			}
			switch name, isIncremental := incrementalOf(e.Path); {
			case s.since != nil && isIncremental:
				err = s.incremental(ctx, g, e, name, in)
			case s.since != nil && e.Path == path.Join(physical.DataDir, pgdata.BackupLabelFile):
				err = s.fullLabel(ctx, g, e, in)
			case s.k.replaced(e.Path):
				err = s.passOver(e, in)
			default:
				var d digest
				if d, err = s.file(ctx, g, e, in); err == nil {
					s.sent[physical.ServerPath(e.Path)] = sent{d.size, d.crc}
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// passOver receives a file that is not stored: a configuration file that the server does not read.
func (s *stream) passOver(e cofre.Entry, in io.Reader) error {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, in)
	if err != nil {
		return fmt.Errorf("receive %s: %w", physical.ServerPath(e.Path), err)
	}
	s.sent[physical.ServerPath(e.Path)] = sent{n, sum.Sum32()}
	return nil
}

// sent is a file as it came.
type sent struct {
	size int64
	crc  uint32
}

// file stores one file, in parts if it is large.
func (s *stream) file(ctx context.Context, g *guard.Group, e cofre.Entry, in io.Reader) (digest, error) {
	var (
		d     digest
		parts = make([]cofre.ObjectID, (e.Size+partSize-1)/partSize)
		wg    sync.WaitGroup
	)
	for left, i := e.Size, 0; left > 0 || i == 0; i++ {
		if err := ctx.Err(); err != nil {
			return d, context.Cause(ctx)
		}
		b := make([]byte, min(left, partSize))
		if _, err := io.ReadFull(in, b); err != nil {
			return d, fmt.Errorf("receive %s: %w", physical.ServerPath(e.Path), err)
		}
		left -= int64(len(b))
		d.add(b)
		if len(parts) <= 1 {
			s.received(e, d, b)
			g.Go(func() error { _, err := s.k.given.Session.Put(ctx, e, bytes.NewReader(b)); return err })
			return d, nil
		}
		wg.Add(1)
		g.Go(func() (err error) {
			defer wg.Done()
			parts[i], _, err = s.k.given.Session.Store(ctx, e.Layout, bytes.NewReader(b))
			return err
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return d, context.Cause(ctx)
	}
	s.received(e, d, nil)
	_, err := s.k.given.Session.Concat(ctx, e, parts)
	return d, err
}

// received records a file. b is all of it if it is small.
func (s *stream) received(e cofre.Entry, d digest, b []byte) {
	s.files = append(s.files, physical.FileFacts{Path: e.Path, Size: d.size, ModifiedNS: e.ModTime.UnixNano(), CRC32C: d.crc, Hashes: d.hashes})
	s.bytes += d.size
	switch e.Path {
	case path.Join(physical.DataDir, pgdata.BackupLabelFile):
		s.label = b
	case path.Join(physical.DataDir, pgdata.ControlFile):
		s.control = b
		s.k.uid, s.k.gid = e.UID, e.GID
	}
	s.k.given.Observer.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Item: physical.ServerPath(e.Path), Done: s.bytes, Unit: cofre.UnitBytes}.Doing(receiveTask()))
}

// conclude compares what came with the server's manifest and records what the server said.
func (s *stream) conclude() error {
	k := s.k
	m, err := pgdata.ParseManifest(s.manifest)
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		got, ok := s.sent[f.Path]
		if !ok && isOmitted(f.Path) {
			continue
		}
		if !ok || got.size != f.Size || !bytes.Equal(f.Checksum, binary.LittleEndian.AppendUint32(nil, got.crc)) {
			return fmt.Errorf("%s is not what the server's manifest says it sent: %w", f.Path, cofre.ErrCorrupt)
		}
	}
	label, err := pgdata.ParseBackupLabel(s.label)
	if err != nil {
		return err
	}
	control, err := pgdata.ParseControl(s.control)
	if err != nil {
		return err
	}
	if len(s.starts) < 4 {
		return errors.New("receive the base backup: the server did not say where it ended")
	}
	k.facts.DataChecksums = control.DataChecksumVersion != 0
	k.facts.StartLSN, k.facts.Timeline = label.Start, label.StartTimeline
	if k.facts.StopLSN, err = cofre.ParseLSN(s.starts[2]); err != nil {
		return err
	}
	tli, err := strconv.ParseUint(s.starts[3], 10, 32)
	if err != nil {
		return fmt.Errorf("receive the base backup: timeline %q", s.starts[3])
	}
	k.facts.StopTimeline, k.facts.StoppedAt = cofre.Timeline(tli), time.Now().UTC()
	if k.facts.StopTimeline == 0 {
		k.facts.StopTimeline = k.facts.Timeline
	}
	k.facts.Files = append(k.facts.Files, s.files...)
	for _, r := range m.Ranges {
		k.branches = append([]pgdata.Branch{{Timeline: r.Timeline, From: r.Start, To: r.End}}, k.branches...)
	}
	if s.failed != nil {
		// The server names a few pages of each file to us and all of them in its log.
		k.facts.BadPageCount = max(k.facts.BadPageCount, 1)
	}
	if s.since != nil {
		return nil // the server's names files that are not in the component: one of our own is written
	}
	return k.putData(s.ctx, pgdata.BackupManifestFile, s.manifest)
}

func receiveTask() cofre.Message { return cofre.Say("cluster.task_receive", "receive cluster") }
