package fingerprint

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
)

// Options say what a restore was asked to leave out, which is then no difference.
type Options struct {
	NoOwner      bool // everything belongs to another role; access lists then name that role
	NoPrivileges bool
	NoData       bool // no large objects, and materialized views without rows
	// Except are objects that the restore leaves out, by name, and has said so.
	Except map[string]bool
	// Renamed, if not nil, gives the copy's names, and what names are in its definitions, as they were captured. The
	// copy's objects of each kind are then held at once.
	Renamed func(string) string
	// Part is the part that was restored; nil is all.
	Part *Part
}

// Difference is one property of one object that is not what it was.
type Difference struct {
	Name string // as a person would type it: "table public.answers: owner", or the object alone if all of it is missing
	Want string
	Got  string
	// Lost says, if it is not the zero message, why no dump brings this back: the restore is as good as pg_restore's.
	Lost cofre.Message
	// Security says that it is about who may do what: an owner, privileges, row-level security or a policy.
	Security bool
}

// What a difference wants or got if only one side has the object.
const (
	AsCaptured = "as captured" // Got is then Missing
	Missing    = "missing"
	Nothing    = "nothing" // Got then describes the object
)

// Counted is how many objects of a kind were compared.
type Counted struct {
	Kind       string
	Want, Got  int
	Difference int // objects that differ, are missing, or were not there
}

// Result is what a comparison found, without the differences, which were given away one by one.
type Result struct {
	Kinds []Counted
	// Between is the majors of both sides if they differ: definitions that only the server's printer could have
	// changed were then not compared as texts.
	Between [2]int
	Skipped []string // kinds that only one side has
}

// Compare reads two fingerprints side by side and calls differs for each difference, in the order of kinds and
// names. It holds one object of each at a time.
//
// Errors: cofre.ErrCorrupt if captured is no whole fingerprint; ErrNoPlaces if a part is to be compared with one of
// before places were captured; those of the readers and of differs.
func Compare(captured, restored io.Reader, o Options, differs func(Difference) error) (*Result, error) {
	want, err := newReader(captured, nil)
	if err != nil {
		return nil, err
	}
	got, err := newReader(restored, o.Renamed)
	if err != nil {
		return nil, err
	}
	if o.Part != nil && !want.placed() {
		return nil, ErrNoPlaces
	}
	c := &comparison{want: want, got: got, o: o, differs: differs, result: &Result{}, upgraded: map[string]bool{}}
	if want.major != got.major {
		c.result.Between = [2]int{want.major, got.major}
	}
	return c.result, c.run()
}

type comparison struct {
	want, got *reader
	o         Options
	differs   func(Difference) error
	result    *Result
	upgraded  map[string]bool // extensions that have another version, by name
}

// order is the place of a kind in every fingerprint; those of a later program come last.
func order(kind string) int {
	for i, k := range everyKind {
		if k.name == kind {
			return i
		}
	}
	return len(everyKind)
}

// everyKind has the kinds of all majors, in the order in which they are written.
var everyKind = slices.Concat(relations(), routines(), texts(), foreign(), replication(), about(), ofMembers(), undumped())

func (c *comparison) run() error {
	for !c.want.ended || !c.got.ended {
		var err error
		switch w, g := c.want, c.got; {
		case w.kind == g.kind:
			err = c.compareKind()
		case g.ended || !w.ended && order(w.kind) < order(g.kind):
			c.result.Skipped = append(c.result.Skipped, w.kind)
			err = w.nextKind()
		default:
			c.result.Skipped = append(c.result.Skipped, g.kind)
			err = g.nextKind()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) compareKind() error {
	w, g := c.want, c.got
	kind := w.kind
	if c.o.leavesOut(kind) {
		c.result.Skipped = append(c.result.Skipped, kind)
		if err := w.nextKind(); err != nil {
			return err
		}
		return g.nextKind()
	}
	n := Counted{Kind: kind}
	pairs := c.pairs(kind, w.attributes, g.attributes)
	if err := w.next(); err != nil {
		return err
	}
	if err := g.next(); err != nil {
		return err
	}
	for w.more || g.more {
		var err error
		takeWant, takeGot := w.more && (!g.more || w.object.name <= g.object.name), g.more && (!w.more || g.object.name <= w.object.name)
		switch {
		case takeWant && c.passes(w, kind), takeGot && c.passes(g, kind):
		case takeWant && takeGot:
			err = c.compareObject(&n, pairs)
		case takeWant:
			err = c.missing(&n)
		default:
			err = c.unexpected(&n)
		}
		if takeWant && err == nil {
			err = w.next()
		}
		if takeGot && err == nil {
			err = g.next()
		}
		if err != nil {
			return err
		}
	}
	c.result.Kinds = append(c.result.Kinds, n)
	return nil
}

// missing tells of an object that only the source has, unless it is of another part.
func (c *comparison) missing(n *Counted) error {
	o := c.want.object
	if !c.o.Part.takes(c.want.places()) {
		return nil
	}
	n.Want, n.Difference = n.Want+1, n.Difference+1
	return c.tell(n.Kind, "", Difference{Name: o.name, Want: AsCaptured, Got: Missing, Lost: c.lost(n.Kind, "", o)})
}

// unexpected tells of an object that only the copy has.
func (c *comparison) unexpected(n *Counted) error {
	o := c.got.object
	if c.o.Part.mayBeThere(c.got.places()) {
		return nil
	}
	n.Got++
	if c.want.major != c.got.major && strings.HasPrefix(n.Kind, changedPrivileges) {
		return nil // of an object that the newer server brought
	}
	n.Difference++
	return c.tell(n.Kind, "", Difference{Name: o.name, Want: Nothing, Got: describe(o, c.got.attributes), Lost: c.lost(n.Kind, "", o)})
}

func (c *comparison) tell(kind, attribute string, d Difference) error {
	switch attribute {
	case ownerAttribute, privilegesAttribute, rowSecurity, forcedRowSecurity:
		d.Security = true
	default:
		d.Security = kind == policiesKind
	}
	return c.differs(d)
}

// passes is true for an object that is not compared: the restore has said that it leaves it out, or it is of an
// extension that is there in another version, as the plan has said, or is said of a large object without data.
func (c *comparison) passes(r *reader, kind string) bool {
	if c.o.Except[r.object.name] || c.o.NoData && saidOfLargeObject(r.object.name) {
		return true
	}
	if kind != memberKind {
		return false
	}
	at := slices.IndexFunc(r.attributes, func(a attribute) bool { return a.name == extensionOfMember })
	return at < 0 || r.object.values[at] == nil || c.upgraded[*r.object.values[at]]
}

func saidOfLargeObject(name string) bool {
	return strings.HasPrefix(name, "comment on large object ") || strings.HasPrefix(name, "security label ") && strings.Contains(name, " on large object ")
}

func (o Options) leavesOut(kind string) bool {
	switch {
	case kind == largeObjects:
		return o.NoData
	case kind == serverOwners:
		return o.NoOwner
	case kind == defaultPrivileges, strings.HasPrefix(kind, changedPrivileges):
		return o.NoPrivileges || o.NoOwner
	}
	return false
}

// pair is an attribute that both sides have, by its place in each.
type pair struct {
	attribute
	want, got int
	by        int // the place in want of what says what makes the attribute; -1 is the object itself
}

// pairs are the attributes that can be compared.
func (c *comparison) pairs(kind string, want, got []attribute) []pair {
	var pairs []pair
	for i, a := range want {
		j := slices.IndexFunc(got, func(b attribute) bool { return b.name == a.name })
		switch {
		case j < 0, a.places(), a.spelled && c.want.major != c.got.major:
		case a.name == ownerAttribute && c.o.NoOwner, a.name == privilegesAttribute && (c.o.NoOwner || c.o.NoPrivileges):
		case a.name == "populated" && kind == relationsKind && c.o.NoData:
		default:
			pairs = append(pairs, pair{a, i, j, slices.IndexFunc(want, func(b attribute) bool { return b.name == a.name+placesMark })})
		}
	}
	return pairs
}

func (c *comparison) compareObject(n *Counted, pairs []pair) error {
	w, g := c.want.object, c.got.object
	kind, whole := n.Kind, c.o.Part.takes(c.want.places())
	upgraded, compared, different := false, whole, false
	for _, p := range pairs {
		if !c.o.Part.makes(w.placesAt(p.by), whole) {
			continue
		}
		compared = true
		want, got := c.meaning(p.name, w.values[p.want], g.values[p.got])
		if want == got {
			continue
		}
		if kind == extensionsKind && p.name == extensionVersion {
			upgraded = true // the plan has said so
			c.upgraded[extensionOf(w)] = true
			continue
		}
		if upgraded && p.name == extensionMembers {
			continue
		}
		different = true
		if err := c.tell(kind, p.name, Difference{Name: w.name + ": " + p.name, Want: want, Got: got, Lost: c.lostOf(kind, p.name, w, want, got)}); err != nil {
			return err
		}
	}
	if compared {
		n.Want, n.Got = n.Want+1, n.Got+1
	}
	if different {
		n.Difference++
	}
	return nil
}

// lostOf says why no dump brings the value of an attribute back.
func (c *comparison) lostOf(kind, attribute string, o object, want, got string) cofre.Message {
	if why := c.lost(kind, attribute, o); !why.IsZero() {
		return why
	}
	if attribute == privilegesAttribute && strings.HasPrefix(kind, changedPrivileges) && byOwnerAlone(want, got) {
		return cofre.Say("undumped.maker", "what an extension or the server itself makes belongs to the role that makes it there")
	}
	return cofre.Message{}
}

// held is one privilege of one role, as granted writes it.
var held = pattern.Lazy(`("(?:[^"]|"")*"|[^ "=]*)=([A-Z]+)\*?`)

// byOwnerAlone reports whether two lists of privileges differ in nothing but the owner, who holds everything that he may grant.
func byOwnerAlone(want, got string) bool {
	w, g := holders(want), holders(got)
	for was, all := range w {
		if _, ok := g[was]; ok {
			continue
		}
		for is, now := range g {
			if is == "PUBLIC" || !maps.Equal(all, now) || !subset(w[is], all) {
				continue
			}
			rest := maps.Clone(w)
			delete(rest, was)
			rest[is] = all
			if maps.EqualFunc(rest, g, maps.Equal[map[string]bool, map[string]bool]) {
				return true
			}
		}
	}
	return false
}

func holders(privileges string) map[string]map[string]bool {
	found := map[string]map[string]bool{}
	for _, m := range held().FindAllStringSubmatch(privileges, -1) {
		if found[m[1]] == nil {
			found[m[1]] = map[string]bool{}
		}
		found[m[1]][m[2]] = true
	}
	return found
}

func subset(a, b map[string]bool) bool {
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// meaning is two values as they are compared: a privilege that the older of two majors does not know is none.
func (c *comparison) meaning(attribute string, want, got *string) (string, string) {
	text := func(v *string) string {
		if v == nil {
			return "none"
		}
		return *v
	}
	w, g := text(want), text(got)
	if attribute == privilegesAttribute && min(c.want.major, c.got.major) < 17 && c.want.major != c.got.major {
		return withoutMaintain(w), withoutMaintain(g)
	}
	return w, g
}

// maintain is the privilege that PostgreSQL 17 brought, as granted writes it.
var maintain = pattern.Lazy(`(^| )("(?:[^"]|"")*"|[^ "]+)=MAINTAIN\*?`)

func withoutMaintain(privileges string) string {
	return strings.TrimSpace(maintain().ReplaceAllString(privileges, ""))
}

// describe says what an unexpected object is.
func describe(o object, attributes []attribute) string {
	for i, a := range attributes {
		if v := o.values[i]; v != nil && (a.name == "definition" || a.name == privilegesAttribute || a.name == "text") {
			return *v
		}
	}
	return "there"
}

// neverDumped is what pg_dump does not write, or pg_restore not bring back, whatever the version: by kind and
// attribute, none for the whole object. If holds is not nil, it says of which objects this is so.
var neverDumped = []struct {
	kind, attribute string
	why             cofre.Message
	holds           func(o object, attributes []attribute) bool
	crosses         int // only if restored on this major or a newer one, and captured before it
}{
	{relationsKind, columnOrder, cofre.Say("undumped.column_order", "pg_dump writes the inherited columns of a table first"), has("parents"), 0},
	{extensionsKind, extensionMembers, cofre.Say("undumped.extension", "pg_dump leaves what is in an extension to CREATE EXTENSION"), nil, 0},
	{familyOperators, "", cofre.Say("undumped.operator_families", "pg_dump leaves out what was added to the server's own operator families"), ofServer, 0},
	{familyFunctions, "", cofre.Say("undumped.operator_families", "pg_dump leaves out what was added to the server's own operator families"), ofServer, 0},
	{changedPrivileges + " (pg_language)", "", cofre.Say("undumped.languages", "pg_dump leaves out the privileges on the server's own languages"), builtInLanguage, 0},
	{changedPrivileges + " (pg_language)", privilegesAttribute, cofre.Say("undumped.languages", "pg_dump leaves out the privileges on the server's own languages"), builtInLanguage, 0},
	{"schemas", ownerAttribute, cofre.Say("undumped.public_owner", "pg_dump before 15 leaves out the owner of schema public"), named("schema public"), 0},
	{"schemas", privilegesAttribute, cofre.Say("undumped.public_create", "from 15 on not everybody may create in schema public, unless that was granted"), named("schema public"), 15},
	{"comments", "", cofre.Say("undumped.public_comment", "pg_dump before 15 leaves out the comment on schema public"), named("comment on schema public"), 0},
	{"comments", "text", cofre.Say("undumped.public_comment", "pg_dump before 15 leaves out the comment on schema public"), named("comment on schema public"), 0},
	{databaseKind, isTemplate, cofre.Say("undumped.template", "a restored database is no template, so that it can be dropped"), nil, 0},
	{changedPrivileges + " (pg_class)", "", becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_class)", privilegesAttribute, becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_attribute)", "", becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_attribute)", privilegesAttribute, becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_proc)", "", becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_proc)", privilegesAttribute, becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_type)", "", becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_type)", privilegesAttribute, becauseOfInformationSchema(), ofInformationSchema, 0},
	{changedPrivileges + " (pg_namespace)", "", becauseOfInformationSchema(), named("privileges on schema information_schema"), 0},
	{changedPrivileges + " (pg_namespace)", privilegesAttribute, becauseOfInformationSchema(), named("privileges on schema information_schema"), 0},
	{notNullKind, "name", cofre.Say("undumped.not_null_names", "pg_dump leaves the names of inherited NOT NULL constraints to the server"), has("inherited"), 0},
	{notNullKind, "validated", cofre.Say("undumped.not_null", "pg_dump leaves inherited NOT NULL constraints to the parent"), has("inherited"), 0},
}

func becauseOfInformationSchema() cofre.Message {
	return cofre.Say("undumped.information_schema", "pg_dump leaves out the privileges in information_schema")
}

func ofInformationSchema(o object, _ []attribute) bool {
	return strings.Contains(o.name, " information_schema.")
}

// neverDumpedKinds are kinds of which no dump holds anything.
var neverDumpedKinds = map[string]cofre.Message{
	serverOwners:  cofre.Say("undumped.owners", "pg_dump leaves out the owners of the server's own objects"),
	serverSchemas: cofre.Say("undumped.catalogs", "pg_dump leaves out what is in pg_catalog and information_schema, rows too"),
	memberKind:    cofre.Say("undumped.extension", "pg_dump leaves what is in an extension to CREATE EXTENSION"),
	switchedOff:   cofre.Say("undumped.checks", "pg_dump leaves out that checks are disabled, and the copy checks"),
}

// extensionOf is the name of an extension as its members give it: the object's name quotes what needs it.
func extensionOf(o object) string {
	name := strings.TrimPrefix(o.name, "extension ")
	if len(name) > 1 && strings.HasPrefix(name, `"`) {
		name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return name
}

// lost says why a dump does not hold a property, or an object if attribute is empty. The zero message is the rule:
// it should have come back.
func (c *comparison) lost(kind, attribute string, o object) cofre.Message {
	if why := neverDumpedKinds[kind]; !why.IsZero() {
		return why
	}
	for _, l := range neverDumped {
		if l.kind == kind && l.attribute == attribute && (l.holds == nil || l.holds(o, c.want.attributes)) && (l.crosses == 0 || c.want.major < l.crosses && c.got.major >= l.crosses) {
			return l.why
		}
	}
	return cofre.Message{}
}

// has is true for objects in which an attribute has a value.
func has(name string) func(object, []attribute) bool {
	return func(o object, attributes []attribute) bool {
		for i, a := range attributes {
			if a.name == name {
				return o.values[i] != nil
			}
		}
		return false
	}
}

func named(name string) func(object, []attribute) bool {
	return func(o object, _ []attribute) bool { return o.name == name }
}

func builtInLanguage(o object, _ []attribute) bool {
	return slices.Contains([]string{"privileges on language sql", "privileges on language c", "privileges on language internal"}, o.name)
}

func ofServer(o object, _ []attribute) bool { return strings.Contains(o.name, " of pg_catalog.") }

// String is the difference as a person reads it.
func (d Difference) String() string {
	return fmt.Sprintf("%s: captured %s, restored %s", d.Name, d.Want, d.Got)
}
