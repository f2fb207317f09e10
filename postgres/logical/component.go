package logical

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Component is a component opened for reading.
type Component struct {
	Facts   Facts
	TOC     *pgarchive.TOC
	TOCRaw  []byte
	Globals string
	// Key is that of the rows' sums; nil if they were summed without one, or if the key is not this repository's.
	Key *rowhash.Key
	// GlobalsLost is why the globals cannot be read although they were captured.
	GlobalsLost error
	Made        map[[2]string]*pgarchive.Entry // TABLE entries by schema and name
}

// OpenComponent reads what a component says of itself: facts, table of contents and globals, no rows.
//
// Errors: cofre.ErrCorrupt; cofre.ErrNotFound if t is no database component.
func OpenComponent(ctx context.Context, t cofre.Tree) (Component, error) {
	var c Component
	raw, err := ReadAll(ctx, t, FactsFile)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c.Facts); err != nil {
		return c, fmt.Errorf("read %s: %w: %v", FactsFile, cofre.ErrCorrupt, err)
	}
	if err := c.openKey(t); err != nil {
		return c, err
	}
	if c.TOCRaw, err = ReadAll(ctx, t, TOCFile); err != nil {
		return c, err
	}
	if c.TOC, err = pgarchive.Parse(bytes.NewReader(c.TOCRaw)); err != nil {
		return c, fmt.Errorf("read %s: %w: %v", TOCFile, cofre.ErrCorrupt, err)
	}
	c.Made = MadeTables(c.TOC)
	globals, err := ReadAll(ctx, t, GlobalsFile)
	switch {
	case errors.Is(err, cofre.ErrCorrupt):
		c.GlobalsLost = err
	case err != nil && !errors.Is(err, cofre.ErrNotFound):
		return c, err
	}
	c.Globals = string(globals)
	return c, nil
}

// openKey takes the repository's key if it is that of the component. The sums of one that came from another repository say nothing here.
func (c *Component) openKey(t cofre.Tree) error {
	if c.Facts.RowKey == "" {
		return nil
	}
	key, err := OpenRowKey(t)
	if err != nil {
		return err
	}
	if RowKeyID(key) == c.Facts.RowKey {
		c.Key = key
		return nil
	}
	for i := range c.Facts.Tables {
		c.Facts.Tables[i].RowSum = RowSum{}
	}
	c.Facts.LargeObjects.RowSum = RowSum{}
	return nil
}

// OpenRowKey makes a repository's key ready for use.
//
// Errors: that it cannot be derived.
func OpenRowKey(of interface{ RowKey() (cofre.RowKey, error) }) (*rowhash.Key, error) {
	key, err := of.RowKey()
	if err != nil {
		return nil, err
	}
	return rowhash.New(key.Secret())
}

// RowKeyID is Facts.RowKey of a key. It tells keys apart, and nothing of them.
func RowKeyID(key *rowhash.Key) string { return key.Veil(rowhash.Hash{}) }

// ReadFacts reads the facts of a database component.
//
// Errors: cofre.ErrCorrupt; cofre.ErrNotFound if t is no database component.
func ReadFacts(ctx context.Context, t cofre.Tree) (*Facts, error) {
	raw, err := ReadAll(ctx, t, FactsFile)
	if err != nil {
		return nil, err
	}
	var f Facts
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("read %s: %w: %v", FactsFile, cofre.ErrCorrupt, err)
	}
	return &f, nil
}

// ReadAll reads one small file of a component.
//
// Errors: cofre.ErrNotFound, cofre.ErrCorrupt.
func ReadAll(ctx context.Context, t cofre.Tree, path string) (_ []byte, err error) {
	r, err := t.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := bounded.All(r, bounded.List)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// TableFacts finds what was recorded about the rows of a TABLE DATA entry.
func (c *Component) TableFacts() map[int]*TableFacts {
	m := map[int]*TableFacts{}
	for i := range c.Facts.Tables {
		m[c.Facts.Tables[i].DumpID] = &c.Facts.Tables[i]
	}
	return m
}

// RowsOn is a server where rows are read and written as they were when the component was captured.
func (c *Component) RowsOn(s postgres.Config) postgres.Config {
	if c.Facts.MoneyLocale == "" {
		return s.LeavingAsFound(postgres.MoneySetting)
	}
	return s.WithSettings(map[string]string{postgres.MoneySetting: c.Facts.MoneyLocale})
}

// ClientEncoding is the encoding of the archive's texts and rows.
func (c *Component) ClientEncoding() string {
	for i := range c.TOC.Entries {
		if e := &c.TOC.Entries[i]; e.Desc == "ENCODING" {
			if _, rest, ok := strings.Cut(e.Defn, "'"); ok {
				if enc, _, ok := strings.Cut(rest, "'"); ok {
					return enc
				}
			}
		}
	}
	return "UTF8"
}

// DataFile is the name of the file of an entry's rows, in ArchiveDir.
func DataFile(toc *pgarchive.TOC, e *pgarchive.Entry, f *TableFacts) string {
	if f != nil && f.File != "" {
		return f.File
	}
	return cmp.Or(e.File, toc.FileName(e))
}

// RestoreNeeds is the oldest pg_restore that reads an archive's version.
func RestoreNeeds(v pgarchive.Version) postgres.Version {
	switch {
	case v.Minor >= 16:
		return 170000
	case v.Minor >= 15:
		return 160000
	}
	return 0
}

var leadingNumber = pattern.Lazy(`^\d+`)

// MajorOf is the major of a version as a server prints it, 0 if there is none in it.
func MajorOf(version string) int {
	n, _ := strconv.Atoi(leadingNumber().FindString(version))
	return n
}
