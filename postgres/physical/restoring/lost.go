package restoring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// LossOptions say what the repository is known to have lost of the component, and what is done about it.
type LossOptions struct {
	Known []string // by the names that people know: nothing is begun then, unless Without is set
	// Without goes on with all that can be read: pages that cannot are zeros, of which WAL brings back those that it holds whole, and each
	// file that is not as it was captured is named.
	Without bool
	Instead string // the command that restores from a base backup that is whole, for the hint; empty if there is none
	Command string // the command that goes on with what can be read, for the hint; empty if there is none
	Dump    string // the command that restores the newest dump that is whole, for the hint; empty if there is none
	// Other reads a file of another base backup of the same cluster, the nearest that holds it, and says which one that is.
	Other func(ctx context.Context, path string) (b []byte, from cofre.PointID, err error)
}

// isLost tells what the repository has lost from what cannot be reached.
func isLost(err error) bool {
	return errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound)
}

// losses are what was found to be lost while the component was read. Several goroutines may add to them.
type losses struct {
	mu   sync.Mutex
	all  map[string]*lostFile // by path in the component
	gone bool                 // the hashes of blocks are lost: no block was compared
}

// lostFile is one file that is not as it was captured, or a directory of which nothing is known.
type lostFile struct {
	path   string
	ranges [][2]int64    // offset and length of what is lost; empty if all of it is
	bytes  int64         // of ranges
	left   bool          // it is not there
	how    cofre.Message // what is there instead
}

// name is what people call it.
func (l *lostFile) name() string { return physical.ServerPath(l.path) }

func (l *losses) of(p string) *lostFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*lostFile{}
	}
	if l.all[p] == nil {
		l.all[p] = &lostFile{path: p}
	}
	return l.all[p]
}

func (l *losses) add(p string, at, n int64) {
	f := l.of(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	f.ranges, f.bytes = append(f.ranges, [2]int64{at, n}), f.bytes+n
}

func (l *losses) find(p string) *lostFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[p]
}

// none reports whether nothing was found to be lost so far.
func (l *losses) none() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all) == 0
}

func (l *losses) sorted() []*lostFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*lostFile
	for _, f := range l.all {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *lostFile) int { return strings.Compare(a.path, b.path) })
	return all
}

// readFacts reads the facts of a component, or makes them of what the catalog and the directories say.
//
// Errors: those of physical.ReadFacts, unless what is lost is to be left out.
func (p *plan) readFacts(ctx context.Context, c cofre.Component) (err error) {
	p.facts, err = physical.ReadFacts(ctx, p.tree)
	if !p.o.Loss.Without || !isLost(err) {
		return err
	}
	p.lost.gone = true
	l := p.lost.of(physical.FactsFile)
	l.how, l.left = cofre.Say("cluster.lost_facts", "no block is compared with what was recorded of it; each is as the repository holds it, authenticated"), true
	s, err := physical.ParseSummary(c.Facts)
	p.facts = &physical.Facts{Format: 1, Summary: s}
	return err
}

// leave goes on without a file or directory that cannot be read, if what is lost is to be left out.
func (p *plan) leave(path string, err error) error {
	if !p.o.Loss.Without || !isLost(err) {
		return err
	}
	l := p.lost.of(path)
	l.left, l.how = true, leftOut()
	return nil
}

func leftOut() cofre.Message { return cofre.Say("cluster.lost_left", "nothing: it is left out") }

// standIn are the bytes of a small file without which no server starts, if the component has lost it.
func (p *plan) standIn(ctx context.Context, name string) (b []byte, how cofre.Message, err error) {
	if p.o.Loss.Other == nil {
		return nil, how, fmt.Errorf("%s of the component: %w", name, cofre.ErrCorrupt)
	}
	b, from, err := p.o.Loss.Other(ctx, name)
	if err != nil {
		return nil, how, fmt.Errorf("%s of the component, and of every other base backup of the cluster: %w", physical.ServerPath(name), err)
	}
	return b, cofre.Say("cluster.lost_other", "that of the base backup of recovery point {{.point}}", "point", from), nil
}

// readControl reads pg_control, or that of another base backup of the cluster: where recovery begins backup_label says, and the server
// goes by the checkpoint that it finds there.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, InitWalRecovery.
func (p *plan) readControl(ctx context.Context) (err error) {
	control := path.Join(physical.DataDir, pgdata.ControlFile)
	p.raw, err = physical.ReadAll(ctx, p.tree, control)
	if err == nil {
		p.control, err = pgdata.ParseControl(p.raw)
	}
	if !p.o.Loss.Without || !isLost(err) {
		return err
	}
	l := p.lost.of(control)
	if p.raw, l.how, err = p.standIn(ctx, control); err != nil {
		return err
	}
	p.control, err = pgdata.ParseControl(p.raw)
	return err
}

// fill puts what stands for a block of which the bytes are lost into b, and notes which of them are; what can be read of it stays.
func (w *worker) fill(in *source, f *staged, at int64, b []byte) error {
	const smallest = 64 << 10 // of the pieces that the repository cuts a data file into
	for off := int64(0); off < int64(len(b)); off += smallest {
		part := b[off:min(off+smallest, int64(len(b)))]
		err := in.read(part, at+off)
		if err == nil {
			continue
		}
		if !isLost(err) {
			return err
		}
		for i := range part {
			part[i] = filling(f.entry.Path)
		}
		w.s.lost.add(f.entry.Path, at+off, int64(len(part)))
	}
	return nil
}

// filling is the byte that stands for one that is lost. A page of zeros is an empty page. In pg_xact zeros would say that transactions
// never ended, and no row of theirs would be seen: two bits of 01 say that they were committed.
//
// Source: PostgreSQL, src/backend/access/transam/clog.c, TRANSACTION_STATUS_COMMITTED.
func filling(p string) byte {
	if strings.HasPrefix(p, physical.DataDir+"/pg_xact/") {
		return 0x55
	}
	return 0
}

// pages reports whether a file of which bytes are lost is of use with what stands for them: files of pages are.
func pages(p string) bool {
	server := physical.ServerPath(p)
	dir, base := path.Split(server)
	switch strings.SplitN(dir, "/", 2)[0] {
	case "pg_xact", "pg_multixact", "pg_commit_ts":
		return true
	case "base", "global", "pg_tblspc":
		return base != "" && (base[0] >= '0' && base[0] <= '9' || base[0] == 't') && base != "PG_VERSION"
	}
	return false
}

// mend makes of the files of which something is lost what is of use: pages stay, with zeros for those that are lost, small files that
// follow from what else is known are made anew, and others are left out.
func (s *stage) mend(ctx context.Context) error {
	for _, l := range s.lost.sorted() {
		switch {
		case l.left || !l.how.IsZero():
			continue
		case pages(l.path):
			size, pageSize := int64(0), max(s.control.BlockSize, 1)
			for _, f := range s.files {
				if f.entry.Path == l.path {
					size = f.entry.Size
				}
			}
			l.how = cofre.Say("cluster.lost_zeros", "empty pages in the place of {{.lost}} of {{.pages}}, the first is page {{.first}}", "lost", l.bytes/pageSize, "pages", size/pageSize, "first", l.ranges[0][0]/pageSize)
			if filling(l.path) != 0 {
				l.how = cofre.Say("cluster.lost_xact", "transactions of which it is not known any more how they ended count as committed: {{.n}} of them", "n", l.bytes*4)
			}
			continue
		}
		b, how, err := s.anew(ctx, l.path)
		if err != nil {
			return err
		}
		l.how = how
		if b == nil {
			l.left = true
			err := s.within(l.path, func(in *inside.Dir, name string) error { return durable.Remove(in.At(name)) })
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := s.within(l.path, func(in *inside.Dir, name string) error { return datadir.Replace(in.At(name), b, s.own) }); err != nil {
			return err
		}
	}
	return s.leaveNote()
}

// leaveNote leaves in the directory what is not as it was captured, for whoever finds it later.
func (s *stage) leaveNote() error {
	if s.lost.none() {
		return nil
	}
	var b strings.Builder
	b.WriteString("# Restored by cofre without what the repository had lost: this is no moment of the original.\n")
	for _, l := range s.lost.sorted() {
		b.WriteString(l.name() + ": " + l.how.Text + "\n")
	}
	data, err := s.data()
	if err != nil {
		return err
	}
	return datadir.Replace(data.At(datadir.LossFile), []byte(b.String()), s.own)
}

// anew is a small file, made of what else is known; nil if it is left out.
//
// Errors: that no server starts without it.
func (s *stage) anew(ctx context.Context, p string) (b []byte, how cofre.Message, err error) {
	made := cofre.Say("cluster.lost_anew", "made anew of what else is known")
	switch server := physical.ServerPath(p); path.Base(server) {
	case "PG_VERSION":
		return []byte(strconv.Itoa(s.facts.Major) + "\n"), made, nil
	case pgdata.BackupLabelFile:
		b, err := s.label()
		return b, made, err
	case "pg_filenode.map":
		if b, how, err = s.standIn(ctx, p); err == nil {
			return b, how, nil
		}
		if path.Dir(server) != "global" {
			return nil, cofre.Say("cluster.lost_map", "nothing: the database whose folder this is cannot be opened"), nil
		}
		return nil, how, err
	case "postgresql.conf", datadir.AutoConf:
		return []byte("# The repository has lost what stood here.\n"), cofre.Say("cluster.lost_conf", "no settings but those that cofre sets"), nil
	case "pg_hba.conf":
		return []byte("# The repository has lost what stood here.\nlocal all all peer\n"), cofre.Say("cluster.lost_hba", "one that lets in the system's users as the roles of their names"), nil
	case "pg_ident.conf":
		return []byte("# The repository has lost what stood here.\n"), cofre.Say("cluster.lost_ident", "an empty one"), nil
	}
	return nil, leftOut(), nil
}

// label is backup_label, of what the facts and pg_control say.
//
// Source: PostgreSQL, src/backend/access/transam/xlogbackup.c, build_backup_content.
func (s *stage) label() ([]byte, error) {
	f := s.facts.Summary
	if s.control.Redo != f.StartLSN {
		return nil, cofre.WithHint(fmt.Errorf("make backup_label anew: pg_control is of a later checkpoint than the one that the backup began with: %w", cofre.ErrCorrupt),
			cofre.Say("cluster.lost_label", "name another base backup: cofre list --kind cluster"))
	}
	from := "primary"
	if f.FromStandby {
		from = "standby"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "START WAL LOCATION: %s (file %s)\nCHECKPOINT LOCATION: %s\nBACKUP METHOD: streamed\nBACKUP FROM: %s\nSTART TIME: %s\nLABEL: cofre\nSTART TIMELINE: %d\n",
		f.StartLSN, pgdata.SegmentAt(f.Timeline, f.StartLSN, f.WALSegmentSize).Name(f.WALSegmentSize), s.control.Checkpoint, from, f.StartedAt.UTC().Format("2006-01-02 15:04:05 UTC"), f.Timeline)
	return b.Bytes(), nil
}

// checkLosses adds each file that is not as it was captured, as asked for.
func (s *stage) checkLosses(p *cofre.Proof) {
	asked := cofre.Say("database.differs_asked", "left out, as asked")
	for _, l := range s.lost.sorted() {
		p.Checks = append(p.Checks, cofre.NewChecked(cofre.Say("cluster.lost_file", "file {{.file}}", "file", l.name()), cofre.Say("database.as_captured", "as captured"), l.how, false).Because(asked))
	}
	if s.lost.gone {
		p.Omits(cofre.Say("cluster.lost_hashes", "the blocks of files, with what was recorded of them: that is lost"))
	}
}

// Losses reports whether what was restored is not as it was captured, and named.
func (t *Target) Losses() bool { return t.stage != nil && !t.stage.lost.none() }

// LostPaths are the files that are not as they were captured, as the server names them.
func (t *Target) LostPaths() (paths []string) {
	for _, l := range t.stage.lost.sorted() {
		paths = append(paths, l.name())
	}
	return paths
}

// LostFile is a file of which pages were lost, in a data directory.
type LostFile struct {
	Path string // relative to the data directory, as the server names it
	Lost int64  // pages
	// Empty are those that are still empty: WAL has not brought them back.
	Empty int64
}

// Empty looks, after a recovery whose server has written everything, at the pages that were lost.
//
// Errors: of reading the files.
func (t *Target) Empty() (all []LostFile, err error) {
	s := t.stage
	for _, l := range s.lost.sorted() {
		if l.left || len(l.ranges) == 0 || !pages(l.path) || filling(l.path) != 0 {
			continue
		}
		f := LostFile{Path: l.name()}
		if err := f.look(filepath.Join(s.o.Dir, filepath.FromSlash(f.Path)), l.ranges, s.control.BlockSize); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (f *LostFile) look(name string, ranges [][2]int64, size int64) (err error) {
	in, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was dropped since
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	page, zero := make([]byte, size), make([]byte, size)
	for _, r := range ranges {
		for at := r[0]; at < r[0]+r[1]; at += size {
			f.Lost++
			if _, err := in.ReadAt(page, at); err == nil && bytes.Equal(page, zero) {
				f.Empty++
			}
		}
	}
	return nil
}
