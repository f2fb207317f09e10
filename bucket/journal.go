package bucket

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/spill"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// journal remembers, on this machine, the objects that a capture has read, so that a capture that was killed goes
// on where it stopped instead of reading them again. It may be lost at any time: it saves work, nothing else. What
// it names was perhaps not yet durable in the repository when the process died; Session.Reuse says so, and the
// object is read again.
type journal struct {
	mu     sync.Mutex
	file   *os.File
	broken bool // it could not be written, as to a full disk: it has remembered what it will
}

// openJournal returns the journal of a source and what it remembers, nil without a directory for it, and while another
// capture of the same source writes it. A journal that was last written before previous ended has served.
func openJournal(dir string, id cofre.SourceID, url string, previous *cofre.Component, temp string) (*journal, *spill.File, error) {
	if dir == "" {
		return nil, nil, nil
	}
	path := filepath.Join(dir, "storage-"+spill.Key(id.Installation, id.Name, url)[:16]+".journal")
	f, err := inside.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, nil, fmt.Errorf("open the journal of the capture: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil, f.Close()
	} // a file system without locks has the journal all the same
	remembered, err := takeJournal(f, previous, temp)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read the journal of the capture: %w", err), f.Close())
	}
	return &journal{file: f}, remembered, nil
}

func takeJournal(f *os.File, previous *cofre.Component, temp string) (*spill.File, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if previous != nil && !fi.ModTime().After(previous.EndedAt.Add(time.Second)) {
		return nil, f.Truncate(0)
	}
	return readJournal(f, temp)
}

func readJournal(f io.Reader, temp string) (*spill.File, error) {
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

// add remembers one object, if it can. It is not synced: a line that is lost costs one download.
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
	if !j.broken {
		_, err := j.file.Write(append(b, '\n'))
		j.broken = err != nil
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return durable.Unlock(j.file)
}
