package bucket

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/spill"
)

// journal remembers, on this machine, the objects that a capture has read, so that a capture that was killed goes
// on where it stopped instead of reading them again. It may be lost at any time: it saves work, nothing else. What
// it names was perhaps not yet durable in the repository when the process died; Session.Reuse says so, and the
// object is read again.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

// openJournal returns the journal of a source and what it remembers, nil without a directory for it. A journal that
// was last written before previous ended has served.
func openJournal(dir string, id cofre.SourceID, url string, previous *cofre.Component, temp string) (*journal, *spill.File, error) {
	if dir == "" {
		return nil, nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("open the journal of the capture: %w", err)
	}
	path := filepath.Join(dir, "storage-"+spill.Key(id.Installation, id.Name, url)[:16]+".journal")
	if fi, err := os.Stat(path); err == nil && previous != nil && !fi.ModTime().After(previous.EndedAt.Add(time.Second)) {
		if err := os.Remove(path); err != nil {
			return nil, nil, fmt.Errorf("open the journal of the capture: %w", err)
		}
	}
	remembered, err := readJournal(path, temp)
	if err != nil {
		return nil, nil, fmt.Errorf("read the journal of the capture: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the journal of the capture: %w", err), remembered.Close())
	}
	return &journal{file: f}, remembered, nil
}

func readJournal(path, temp string) (*spill.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := spill.New(temp)
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 0, 64<<10), MaxLine)
	for sc.Scan() {
		var k kept
		if json.Unmarshal(sc.Bytes(), &k) != nil || k.ObjectID == "" || k.File == "" {
			continue // the line at which the process was killed
		}
		if err := s.Add(k.Bucket, k.Name, k.Size, k); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := sc.Err(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// add remembers one object. It is not synced: a line that is lost costs one download.
func (j *journal) add(k kept) error {
	if j == nil {
		return nil
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write the journal of the capture: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
