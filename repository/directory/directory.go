package directory

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
)

// A directory is an object of Kopia's: JSON that lists its entries and sums up what is below it. Kopia's own
// code builds the whole of it in memory; here the summary comes first and the entries pass one at a time.
//
// Source: kopia v0.22.3, snapshot.DirManifest and package snapshotfs.
const (
	directoryStream = "kopia:directory"
	directoryPrefix = "k"
	IndirectStream  = "kopia:indirect"
	IndirectPrefix  = "x"
	FactsPrefix     = "g" // contents with a prefix go into packs of their own, which are kept twice
)

// sealedDir is a directory whose object is written.
type sealedDir struct {
	child   Child
	summary kopiafs.DirectorySummary
}

// writeDirectory stores a directory of files (sorted here) and of directories that are written already.
func writeDirectory(ctx context.Context, w repo.RepositoryWriter, comp compression.Name, path string, files *Table, dirs []sealedDir) (object.ID, kopiafs.DirectorySummary, error) {
	files.sort()
	slices.SortFunc(dirs, func(a, b sealedDir) int { return strings.Compare(a.child.Name, b.child.Name) })
	summary := summarize(files, dirs)

	ow := w.NewObjectWriter(ctx, object.WriterOptions{
		Description: "DIR:" + path, Prefix: directoryPrefix, Compressor: comp, MetadataCompressor: comp,
	})
	defer ow.Close()
	out := bufio.NewWriterSize(ow, 64<<10)
	err := encodeDirectory(out, summary, files, dirs)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return object.EmptyID, summary, err
	}
	id, err := ow.Result()
	return id, summary, err
}

func encodeDirectory(out *bufio.Writer, summary kopiafs.DirectorySummary, files *Table, dirs []sealedDir) error {
	head, err := json.Marshal(&summary)
	if err != nil {
		return err
	}
	// Errors of the buffer come out of its Flush.
	fmt.Fprintf(out, `{"stream":%q,"summary":%s,"entries":[`, directoryStream, head)
	first := true
	put := func(c Child, s *kopiafs.DirectorySummary) error {
		d, err := c.dirEntry()
		if err != nil {
			return err
		}
		d.DirSummary = s
		b, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if !first {
			out.WriteByte(',')
		}
		first = false
		_, err = out.Write(b)
		return err
	}
	for i := range files.Len() {
		c := files.At(i)
		for len(dirs) > 0 && dirs[0].child.Name < c.Name {
			if err := put(dirs[0].child, &dirs[0].summary); err != nil {
				return err
			}
			dirs = dirs[1:]
		}
		if err := put(c, nil); err != nil {
			return err
		}
	}
	for i := range dirs {
		if err := put(dirs[i].child, &dirs[i].summary); err != nil {
			return err
		}
	}
	_, err = out.WriteString("]}\n")
	return err
}

func summarize(files *Table, dirs []sealedDir) kopiafs.DirectorySummary {
	s := kopiafs.DirectorySummary{TotalDirCount: 1}
	newest := func(t kopiafs.UTCTimestamp) { s.MaxModTime = max(s.MaxModTime, t) }
	for i := range files.Len() {
		c := files.At(i)
		newest(kopiafs.UTCTimestamp(c.modTime))
		if c.Kind == snapshot.EntryTypeSymlink {
			s.TotalSymlinkCount++
			continue
		}
		s.TotalFileCount++
		s.TotalFileSize += c.size
	}
	for _, d := range dirs {
		newest(d.summary.MaxModTime)
		newest(kopiafs.UTCTimestamp(d.child.modTime))
		s.TotalFileSize += d.summary.TotalFileSize
		s.TotalFileCount += d.summary.TotalFileCount
		s.TotalSymlinkCount += d.summary.TotalSymlinkCount
		s.TotalDirCount += d.summary.TotalDirCount
	}
	return s
}

// EntriesBelow counts what is in a tree, its root left out.
func EntriesBelow(s kopiafs.DirectorySummary) int64 {
	return s.TotalFileCount + s.TotalSymlinkCount + s.TotalDirCount - 1
}

var errDirectory = errors.New("not the object of a directory")

// ReadTable reads a directory whole.
//
// Errors: of r; that it is no directory.
func ReadTable(r io.Reader) (*Table, error) {
	t := &Table{}
	_, err := decodeDirectory(r, func(d *snapshot.DirEntry) error {
		if d.Name == "" || d.Type == snapshot.EntryTypeUnknown {
			return fmt.Errorf("an entry has no name or no type: %w", errDirectory)
		}
		t.add(childOfDirEntry(d))
		return nil
	})
	t.sort()
	return t, err
}

// ReadSummary reads what a directory says about everything below it.
//
// Errors: of r; that it is no directory.
func ReadSummary(r io.Reader) (kopiafs.DirectorySummary, error) {
	s, err := decodeDirectory(r, nil)
	if err != nil {
		return kopiafs.DirectorySummary{}, err
	}
	return *s, nil
}

// decodeDirectory calls each with every entry. If each is nil, it stops as soon as it has the summary, which
// in directories of ours is at once.
func decodeDirectory(r io.Reader, each func(*snapshot.DirEntry) error) (*kopiafs.DirectorySummary, error) {
	d := json.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, notDirectory(err)
	}
	var summary *kopiafs.DirectorySummary
	stream := ""
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, notDirectory(err)
		}
		switch key {
		case "stream":
			err = d.Decode(&stream)
		case "summary":
			err = d.Decode(&summary)
		case "entries":
			err = decodeEntries(d, each)
		default:
			var unknown json.RawMessage
			err = d.Decode(&unknown)
		}
		if err != nil {
			return nil, notDirectory(err)
		}
		if each == nil && summary != nil && stream != "" {
			break
		}
	}
	if stream != directoryStream || summary == nil {
		return nil, notDirectory(nil)
	}
	return summary, nil
}

func decodeEntries(d *json.Decoder, each func(*snapshot.DirEntry) error) error {
	t, err := d.Token()
	if err != nil || t == nil { // null: no entries
		return err
	}
	if t != json.Delim('[') {
		return errDirectory
	}
	for d.More() {
		var e snapshot.DirEntry
		if err := d.Decode(&e); err != nil {
			return err
		}
		if each != nil {
			if err := each(&e); err != nil {
				return err
			}
		}
	}
	_, err = d.Token()
	return err
}

func notDirectory(err error) error {
	if err == nil || errors.Is(err, errDirectory) {
		return errDirectory
	}
	return fmt.Errorf("%w: %w", errDirectory, err)
}
