package logical

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// component is a component opened for reading.
type component struct {
	facts   Facts
	toc     *pgarchive.TOC
	tocRaw  []byte
	globals string
	// globalsLost is why the globals cannot be read although they were captured.
	globalsLost error
	made        map[[2]string]*pgarchive.Entry // TABLE entries by schema and name
}

// openComponent reads what a component says of itself: facts, table of contents and globals, no rows.
//
// Errors: cofre.ErrCorrupt; cofre.ErrNotFound where t is no database component.
func openComponent(ctx context.Context, t cofre.Tree) (component, error) {
	var c component
	raw, err := readAll(ctx, t, FactsFile)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c.facts); err != nil {
		return c, fmt.Errorf("read %s: %w: %v", FactsFile, cofre.ErrCorrupt, err)
	}
	if c.tocRaw, err = readAll(ctx, t, TOCFile); err != nil {
		return c, err
	}
	if c.toc, err = pgarchive.Parse(bytes.NewReader(c.tocRaw)); err != nil {
		return c, fmt.Errorf("read %s: %w: %v", TOCFile, cofre.ErrCorrupt, err)
	}
	c.made = madeTables(c.toc)
	globals, err := readAll(ctx, t, GlobalsFile)
	switch {
	case errors.Is(err, cofre.ErrCorrupt):
		c.globalsLost = err
	case err != nil && !errors.Is(err, cofre.ErrNotFound):
		return c, err
	}
	c.globals = string(globals)
	return c, nil
}

// ReadFacts reads the facts of a database component.
//
// Errors: cofre.ErrCorrupt; cofre.ErrNotFound where t is no database component.
func ReadFacts(ctx context.Context, t cofre.Tree) (*Facts, error) {
	raw, err := readAll(ctx, t, FactsFile)
	if err != nil {
		return nil, err
	}
	var f Facts
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("read %s: %w: %v", FactsFile, cofre.ErrCorrupt, err)
	}
	return &f, nil
}

func readAll(ctx context.Context, t cofre.Tree, path string) (_ []byte, err error) {
	r, err := t.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// tableFacts finds what was recorded about the rows of a TABLE DATA entry.
func (c *component) tableFacts() map[int]*TableFacts {
	m := map[int]*TableFacts{}
	for i := range c.facts.Tables {
		m[c.facts.Tables[i].DumpID] = &c.facts.Tables[i]
	}
	return m
}

// rowsOn is a server where rows are read and written as they were when the component was captured.
func (c *component) rowsOn(s postgres.Config) postgres.Config {
	if c.facts.MoneyLocale == "" {
		return s.LeavingAsFound(postgres.MoneySetting)
	}
	return s.WithSettings(map[string]string{postgres.MoneySetting: c.facts.MoneyLocale})
}

// clientEncoding is the encoding of the archive's texts and rows.
func (c *component) clientEncoding() string {
	for i := range c.toc.Entries {
		if e := &c.toc.Entries[i]; e.Desc == "ENCODING" {
			if _, rest, ok := strings.Cut(e.Defn, "'"); ok {
				if enc, _, ok := strings.Cut(rest, "'"); ok {
					return enc
				}
			}
		}
	}
	return "UTF8"
}

func dataFile(toc *pgarchive.TOC, e *pgarchive.Entry, f *TableFacts) string {
	if f != nil && f.File != "" {
		return f.File
	}
	return cmp.Or(e.File, toc.FileName(e))
}

// restoreNeeds is the oldest pg_restore that reads an archive's version.
func restoreNeeds(v pgarchive.Version) postgres.Version {
	switch {
	case v.Minor >= 16:
		return 170000
	case v.Minor >= 15:
		return 160000
	}
	return 0
}

var leadingNumber = pattern.Lazy(`^\d+`)

func majorOf(version string) int {
	n, _ := strconv.Atoi(leadingNumber().FindString(version))
	return n
}
