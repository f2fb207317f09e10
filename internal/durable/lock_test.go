package durable_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

// A program that another thread starts has each descriptor until its exec, as a duplicate is one here: what was given up is free all the same.
func TestWhatIsUnlockedIsFreeThoughAChildHasIt(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(dir); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := durable.Unlock(f); err != nil {
		t.Fatal(err)
	}
	unlock, err := durable.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
