package restoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// lost is one thing that the repository does not hold as it was captured, and what was restored in its place.
type lost struct {
	What   string `json:"what"` // rows of public.answers; large object 16405; catalogs
	Path   string `json:"path"`
	Want   string `json:"want"` // what was captured of it
	Why    string `json:"why"`
	Schema string `json:"schema,omitempty"` // of rows
	Table  string `json:"table,omitempty"`
	DumpID int    `json:"dump_id,omitempty"` // of the entry of rows
	// Got are the rows that could be read, and were restored; Bytes and Checksum are theirs, and Where says what is missing.
	Got   int64 `json:"got,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
	logical.RowSum
	Where cofre.Message `json:"where,omitzero"`
}

const (
	lostGlobals  = "roles and memberships"
	lostCatalogs = "catalogs"
)

// lose remembers something that is lost. It may be called by several goroutines.
func (t *Target) lose(l lost) {
	t.losing.Lock()
	defer t.losing.Unlock()
	if !slices.ContainsFunc(t.lost, func(o lost) bool { return o.What == l.What && o.Path == l.Path }) {
		t.lost = append(t.lost, l)
	}
}

// isBroken reports whether rows of an entry were found to be lost while they were loaded.
func (t *Target) isBroken(dumpID int) bool {
	t.losing.Lock()
	defer t.losing.Unlock()
	return slices.Contains(t.broken, dumpID)
}

// breaks remembers that rows of an entry cannot be read.
func (t *Target) breaks(dumpID int) {
	t.losing.Lock()
	defer t.losing.Unlock()
	t.broken = append(t.broken, dumpID)
}

// takeReadable makes of the component what can be read of it: of each table of which rows are lost, those that are whole.
func (t *Target) takeReadable(ctx context.Context) error {
	var paths []string
	for _, l := range t.lost {
		if l.DumpID != 0 && l.Where.IsZero() {
			paths = append(paths, l.Path)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	tree, found, err := logical.Readable(ctx, t.tree, &t.Component, paths)
	if err != nil {
		return err
	}
	t.tree = tree
	byPath := map[string]*logical.LostRows{}
	for i := range found {
		byPath[found[i].Path] = &found[i]
	}
	t.lost = slices.DeleteFunc(t.lost, func(l lost) bool {
		return slices.Contains(paths, l.Path) && byPath[l.Path] == nil && t.hasFacts(l.DumpID)
	})
	for i := range t.lost {
		if r := byPath[t.lost[i].Path]; r != nil {
			t.lost[i].Got, t.lost[i].Bytes, t.lost[i].RowSum, t.lost[i].Where = r.Readable.Rows, r.Readable.Bytes, r.Readable.RowSum, r.Message()
		}
	}
	return nil
}

func (t *Target) hasFacts(dumpID int) bool {
	return slices.ContainsFunc(t.Facts.Tables, func(f logical.TableFacts) bool { return f.DumpID == dumpID })
}

// takeFound makes the facts those of a copy that was made before, without what was lost.
func (t *Target) takeFound() {
	facts := t.TableFacts()
	for _, l := range t.lost {
		if f := facts[l.DumpID]; f != nil {
			f.Rows, f.Bytes, f.RowSum = l.Got, l.Bytes, l.RowSum
		}
	}
}

// lostRows describes the rows of a table that are lost. The facts name a partition that is loaded through its root.
func (t *Target) lostRows(e *pgarchive.Entry, f *logical.TableFacts, why string) lost {
	l := lost{Path: logical.ArchiveDir + "/" + logical.DataFile(t.TOC, e, f), Want: asCaptured, Why: why, DumpID: e.DumpID, Schema: e.Namespace, Table: e.Tag}
	if f != nil {
		l.Schema, l.Table, l.Want = f.Schema, f.Name, fmt.Sprint(f.Rows)
	}
	l.What = "rows of " + pgarchive.Quote(l.Schema, l.Table)
	return l
}

// hasLost reports whether something is lost, by the name of its difference.
func (t *Target) hasLost(what string) bool {
	return slices.ContainsFunc(t.lost, func(l lost) bool { return l.What == what })
}

// stillLost reports whether all of these are known to be lost now.
func (t *Target) stillLost(all []lost) bool {
	return !slices.ContainsFunc(all, func(l lost) bool {
		return !slices.ContainsFunc(t.o.Loss.Known, func(f cofre.Finding) bool { return f.Object == l.Path })
	})
}

// lookAtLost finds what the restore would need of what is known to be lost. Unless it is to be left out, or every
// difference that it makes is accepted by name, all of it is one problem. A copy that was made before knows its own losses.
func (t *Target) lookAtLost(ctx context.Context, p *cofre.Plan) error {
	if t.adopted {
		t.takeFound()
	} else {
		why := map[string]string{}
		for _, f := range t.o.Loss.Known {
			why[f.Object] = f.What
		}
		t.findLost(why)
		if t.GlobalsLost != nil {
			t.lose(lost{What: lostGlobals, Path: logical.GlobalsFile, Want: asCaptured, Why: cofre.OneLine(t.GlobalsLost)})
		}
		slices.SortFunc(t.lost, func(a, b lost) int { return cmp.Compare(a.What, b.What) })
		if !slices.ContainsFunc(t.lost, t.isRefused) {
			if err := t.takeReadable(ctx); err != nil {
				return err
			}
		}
	}
	t.tellLost(p)
	return nil
}

// isRefused reports whether the restore does not begin without this.
func (t *Target) isRefused(l lost) bool {
	return !t.o.Loss.Without && !slices.Contains(t.o.Accept, l.What)
}

func (t *Target) findLost(why map[string]string) {
	facts, blobs := t.TableFacts(), false
	for _, e := range t.sel.Entries(pgarchive.SectionData) {
		blobs = blobs || e.Desc == "BLOBS"
		if !e.HasData || e.Desc == "BLOBS" {
			continue
		}
		f := facts[e.DumpID]
		if w, is := why[logical.ArchiveDir+"/"+logical.DataFile(t.TOC, e, f)]; is {
			t.lose(t.lostRows(e, f, w))
		}
	}
	for path, w := range why {
		oid, one := strings.CutPrefix(path, objectPrefix)
		switch {
		case blobs && one:
			t.lose(lostObject(strings.TrimSuffix(oid, ".dat"), path, w))
		case blobs && strings.HasPrefix(path, listPrefix):
			t.lose(lostList(path, w))
		case path == logical.FingerprintFile && t.wantsFingerprint():
			t.lose(lostFingerprint(w))
		}
	}
}

const (
	objectPrefix = logical.ArchiveDir + "/blob_"
	listPrefix   = logical.ArchiveDir + "/blobs"
)

// asCaptured stands for how much of something was captured, if it has no number.
const asCaptured = "as captured"

func captured() cofre.Message { return cofre.Say("database.as_captured", "as captured") }

func lostObject(oid, path, why string) lost {
	return lost{What: "large object " + oid, Path: path, Want: asCaptured, Why: why}
}

// lostList is of all large objects that a list names.
func lostList(path, why string) lost {
	return lost{What: "large objects of " + strings.TrimPrefix(path, logical.ArchiveDir+"/"), Path: path, Want: asCaptured, Why: why}
}

func lostFingerprint(why string) lost {
	return lost{What: lostCatalogs, Path: logical.FingerprintFile, Want: asCaptured, Why: why}
}

// lostObjects reports whether the contents of large objects are lost.
func (t *Target) lostObjects() bool {
	return slices.ContainsFunc(t.lost, func(l lost) bool { return strings.HasPrefix(l.Path, listPrefix[:len(listPrefix)-1]) })
}

// tellLost says in the plan what the restore goes on without, or why it does not begin.
func (t *Target) tellLost(p *cofre.Plan) {
	var refused []cofre.Message
	for _, l := range t.lost {
		if t.isRefused(l) {
			refused = append(refused, l.named())
			continue
		}
		p.Note(cofre.Say("database.lost_left_out", "left out, because the repository has lost it: {{.what}}", "what", l.named()))
	}
	if len(refused) == 0 {
		for _, k := range t.brokenKeys() {
			p.Note(cofre.Say("database.key_not_valid", "foreign key {{.name}} leads to rows that are left out, and is created without being validated", "name", k.String()))
		}
		return
	}
	hint := cofre.Say("database.lost_hint", "restore another point; cofre list shows them")
	if t.o.Loss.Command != "" {
		hint = cofre.Say("database.lost_without", "to restore everything else, with every row that can be read, and have what is lost named: {{.command}}", "command", t.o.Loss.Command)
	}
	p.Refuse(cofre.Say("database.lost", "the repository has lost {{.what}}", "what", cofre.List(refused...)), hint)
}

// named is what is lost, with how much it was.
func (l lost) named() cofre.Message {
	if l.Table != "" {
		table := pgarchive.Quote(l.Schema, l.Table)
		if !l.Where.IsZero() {
			return logical.LostWhere(table, l.Where)
		}
		if n, err := strconv.ParseInt(l.Want, 10, 64); err == nil {
			return logical.LostOf(n, table)
		}
		return cofre.Say("database.lost_uncounted", "rows of {{.table}}", "table", table)
	}
	return logical.LostPath(l.Path)
}

// loadReadable loads what can be read of the tables of which rows were found to be lost while they were loaded.
func (t *Target) loadReadable(ctx context.Context, obs cofre.Observer, loads []logical.TableLoad) error {
	if len(t.broken) == 0 {
		return nil
	}
	if err := t.emptyHalves(ctx, loads); err != nil {
		return err
	}
	if err := t.takeReadable(ctx); err != nil {
		return err
	}
	again := slices.DeleteFunc(slices.Clone(loads), func(l logical.TableLoad) bool { return !t.isBroken(l.Entry.DumpID) || l.Facts == nil })
	t.broken = nil
	if err := t.loadTables(ctx, obs, again); err != nil {
		return err
	}
	if len(t.broken) > 0 {
		return fmt.Errorf("load what can be read: rows that could be read a moment ago cannot: %w", cofre.ErrCorrupt)
	}
	return nil
}

// emptyHalves removes what some parts of a table have brought before another was found to be lost.
func (t *Target) emptyHalves(ctx context.Context, loads []logical.TableLoad) error {
	for i := range loads {
		l := &loads[i]
		if !l.Parted || !t.isBroken(l.Entry.DumpID) {
			continue
		}
		// A fresh table is referenced by nothing yet. In any other the foreign keys do not fire in such a session.
		sql := "DELETE FROM ONLY " + l.Table
		if l.Fresh {
			sql = "TRUNCATE ONLY " + l.Table
		}
		conn, err := logical.ConnectForLoad(ctx, t.o.Server.With(t.staged), t.ClientEncoding())
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, sql)
		if err = errors.Join(err, postgres.Close(ctx, conn)); err != nil {
			return fmt.Errorf("empty table %s, of which rows are lost: %w", l.Table, err)
		}
	}
	return nil
}

// brokenKey is one that leads to a table whose rows are lost, from a table with rows.
type brokenKey struct {
	foreignkey.Key
	entry *pgarchive.Entry
}

// brokenKeys are the foreign keys that the rows left out would break. A table of which nothing can be read has no row that could.
func (t *Target) brokenKeys() []brokenKey {
	gone := t.goneTables()
	if len(gone) == 0 {
		return nil
	}
	without := t.withRoots(gone)
	var keys []brokenKey
	for _, e := range t.sel.Entries(pgarchive.SectionPostData) {
		if e.Desc != "FK CONSTRAINT" {
			continue
		}
		key, fromTable, toTable, ok := foreignkey.Archived(e.Defn)
		from, to := t.Made[fromTable], t.Made[toTable]
		if !ok || from == nil || to == nil || !without[to.DumpID] {
			continue
		}
		if some, lost := gone[from.DumpID]; lost && !some {
			continue // a key from a table to itself is empty with it
		}
		key = key.Decoded(func(s string) string { return t.Decode(s) })
		key.Gone = slices.ContainsFunc(t.failed, func(f failedStatement) bool { return f.What == "statement "+entryName(e) })
		keys = append(keys, brokenKey{key, e})
	}
	return keys
}

// goneTables are the tables of which rows are lost, by the dump id of their definition, and whether others are there.
func (t *Target) goneTables() map[int]bool {
	gone := map[int]bool{}
	for _, l := range t.lost {
		data, ok := t.TOC.Entry(l.DumpID)
		if !ok {
			continue
		}
		if e := t.Made[[2]string{data.Namespace, data.Tag}]; e != nil {
			gone[e.DumpID] = l.Got > 0
		}
	}
	return gone
}

// withRoots adds the tables whose partitions are among them: rows that are lost to a partition are lost to its root.
func (t *Target) withRoots(tables map[int]bool) map[int]bool {
	all := map[int]bool{}
	for id := range tables {
		all[id] = true
	}
	for again := true; again; {
		again = false
		for i := range t.TOC.Entries {
			e := &t.TOC.Entries[i]
			child := t.Made[[2]string{e.Namespace, e.Tag}]
			// Up to version 13 a partition is attached by the statement that makes it.
			attached := e.Desc == "TABLE ATTACH" || e.Desc == "TABLE" && strings.Contains(e.Defn, " ATTACH PARTITION ")
			if attached && child != nil && all[child.DumpID] {
				for _, d := range e.Depends {
					again = again || !all[d]
					all[d] = true
				}
			}
		}
	}
	return all
}

// losses adds what is lost to the proof: as differences that are accepted if they were to be left out.
func (c *checker) losses() {
	var reason cofre.Message
	if c.o.Loss.Without {
		reason = cofre.Say("database.differs_asked", "left out, as asked")
	}
	for _, l := range c.lost {
		got := cofre.Say("database.lost_got", "nothing, as the repository has lost them: {{.why}}", "why", l.Why)
		if l.Got > 0 {
			got = cofre.Say("database.lost_got_some", "{{.got}}, as the repository has lost {{.where}}: {{.why}}", "got", l.Got, "where", l.Where, "why", l.Why)
		}
		c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(cofre.Verbatim(l.What), l.captured(), got, false).Because(reason))
		c.proof.Part = c.proof.Part || l.What == lostCatalogs
	}
	c.openedKeys(reason)
	for _, name := range c.filledWithout() {
		c.proof.Omits(cofre.Say("database.unread_view", "the rows of materialized view {{.name}}: it was filled without those that are lost", "name", name))
	}
}

// captured is how much of it was captured: a number of rows, or that it was.
func (l lost) captured() cofre.Message {
	if l.Want == asCaptured {
		return captured()
	}
	return cofre.Verbatim(l.Want)
}

// lostReason says why a difference, or a statement that failed, is the mark of what is lost: it is of a foreign key that
// leads there. It is the zero message if it is none.
func (c *checker) lostReason(name string) cofre.Message {
	if !c.o.Loss.Without {
		return cofre.Message{}
	}
	for _, k := range c.brokenKeys() {
		if k.Is(name) || name == "statement "+entryName(k.entry) {
			return cofre.Say("database.differs_lost", "it leads to {{.table}}, whose rows are lost", "table", k.To)
		}
	}
	return cofre.Message{}
}

// filledWithout are the materialized views that read a table whose rows are lost, through views too.
func (t *Target) filledWithout() []string {
	reach := t.withRoots(t.goneTables())
	if len(reach) == 0 {
		return nil
	}
	for again := true; again; {
		again = false
		for i := range t.TOC.Entries {
			e := &t.TOC.Entries[i]
			if strings.HasSuffix(e.Desc, "VIEW") && !reach[e.DumpID] && slices.ContainsFunc(e.Depends, func(d int) bool { return reach[d] }) {
				reach[e.DumpID], again = true, true
			}
		}
	}
	var names []string
	for i := range t.TOC.Entries {
		if e := &t.TOC.Entries[i]; e.Desc == "MATERIALIZED VIEW" && reach[e.DumpID] && t.sel.Has(e) {
			names = append(names, t.Decode(e.Namespace)+"."+t.Decode(e.Tag))
		}
	}
	return names
}

// bringLost says, when the copy has its name, where what was left out is found.
func (t *Target) bringLost(ctx context.Context) []cofre.Next {
	var next []cofre.Next
	for _, l := range t.lost {
		if l.Table == "" {
			continue
		}
		command := ""
		if t.o.Loss.Elsewhere != nil {
			command = t.o.Loss.Elsewhere(ctx, l.Schema, l.Table)
		}
		if command == "" {
			next = append(next, cofre.Next{Do: cofre.DoLookForLost, Said: cofre.Say("database.lost_nowhere", "no other point is known to hold the rows of {{.table}}", "table", pgarchive.Quote(l.Schema, l.Table))})
			continue
		}
		next = append(next, cofre.Next{Do: cofre.DoBringLost, Command: command, Said: cofre.Say("database.lost_elsewhere", "to bring the rows of {{.table}} from the newest other point that has them: {{.command}}", "table", pgarchive.Quote(l.Schema, l.Table), "command", command)})
	}
	keys := t.opened
	for _, k := range t.brokenKeys() {
		keys = append(keys, k.Key)
	}
	for _, k := range keys {
		next = append(next, cofre.Next{Do: cofre.DoFinish, Command: k.Next(), Said: cofre.Say("database.key_validate", "when the rows are back, in psql: {{.sql}}", "sql", k.Next())})
	}
	return next
}
