package restoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/fingerprint"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// hasFingerprint reports whether the catalogs of the copy can be compared with those of the source: the component has
// a fingerprint, and if a part is restored, one that says what belongs to it.
func (t *Target) hasFingerprint(ctx context.Context) (bool, error) {
	if t.hasLost(lostCatalogs) {
		return false, nil
	}
	ok, err := logical.HasFingerprint(ctx, t.tree, t.part() != nil)
	if logical.IsLost(err) && ctx.Err() == nil {
		t.lose(lostFingerprint(cofre.OneLine(err)))
		return false, nil
	}
	return ok, err
}

// part limits a comparison to what the restore takes. It is nil for all, and for all definitions.
func (t *Target) part() *fingerprint.Part {
	if !t.sel.Partial && t.sel.Sections[pgarchive.SectionPreData] && t.sel.Sections[pgarchive.SectionPostData] {
		return nil
	}
	at := logical.ArchivePlaces(t.TOC)
	return &fingerprint.Part{
		Made: func(place string) fingerprint.Standing {
			e, ok := at[place]
			switch {
			case place == fingerprint.AtDatabase && !t.fromTemplate(), place == fingerprint.AtLargeObjects && t.sel.HasLargeObjects(), ok && t.sel.Has(e):
				return fingerprint.Taken
			case place == fingerprint.AtDatabase, place == fingerprint.AtLargeObjects, ok && !t.sel.Keeps(e):
				return fingerprint.LeftOut
			case ok:
				return fingerprint.NotYet
			}
			return fingerprint.Unknown
		},
		Schema: func(name string) bool {
			if t.fromTemplate() {
				return false
			}
			return len(t.o.Schemas) == 0 || slices.Contains(t.o.Schemas, name)
		},
		Beside: func([]string) bool { return t.fromTemplate() },
	}
}

// wantsFingerprint reports whether the restore makes definitions.
func (t *Target) wantsFingerprint() bool {
	return t.sel.Sections[pgarchive.SectionPreData] || t.sel.Sections[pgarchive.SectionPostData]
}

// catalogs compares what the catalogs say of the copy with what they said of the source, object by object.
func (c *checker) catalogs(ctx context.Context) (err error) {
	captured, err := c.tree.Open(ctx, logical.FingerprintFile)
	if err != nil {
		return fmt.Errorf("open %s: %w", logical.FingerprintFile, err)
	}
	defer func() { err = errors.Join(err, captured.Close()) }()
	conn, err := logical.Connect(ctx, c.RowsOn(c.o.Server.With(c.staged)), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			return fingerprint.Write(ctx, tx.Conn(), w)
		})
		_ = w.CloseWithError(err)
		written <- err
	}()
	result, err := fingerprint.Compare(captured, r, c.leftOut(), func(d fingerprint.Difference) error {
		if member, _, ok := strings.Cut(d.Name, " of extension "); ok && d.Got == fingerprint.Missing {
			c.gone = append(c.gone, member)
		}
		c.proof.Checks = append(c.proof.Checks, asChecked(d).Because(d.Lost, c.leftOutReason(d.Name), c.lostReason(d.Name)))
		return nil
	})
	_ = r.CloseWithError(io.ErrClosedPipe)
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("compare the catalogs: %w", err)
	}
	for i, check := range c.proof.Checks { // members come last
		c.proof.Checks[i] = check.Because(c.goneReason(check))
	}
	for _, k := range result.Kinds {
		if k.Difference == 0 && k.Want > 0 { // those that differ are named, each for itself
			c.add(cofre.Verbatim(k.Kind), fmt.Sprint(k.Want), fmt.Sprint(k.Want))
		}
	}
	if between := result.Between; between[0] != 0 {
		c.obs.Observe(cofre.Event{Type: cofre.TypeNote}.Doing(catalogsTask()).Saying(cofre.Say("database.texts_not_compared",
			"PostgreSQL {{.from}} and {{.to}} print expressions and definitions each in its own way: their texts were not compared, everything else was", "from", between[0], "to", between[1])))
	}
	return nil
}

// goneReason says why what a dump holds of a member of an extension cannot be there: the extension does not make that
// member here. It was added by hand, and the dump has its privileges, labels and policies alone.
func (c *checker) goneReason(check cofre.Checked) cofre.Message {
	for _, member := range c.gone {
		if !check.OK && (strings.HasSuffix(check.What, " on "+member) || check.What == "row-level security of "+member) {
			return memberGone(member)
		}
		_, relation, _ := strings.Cut(member, " ")
		if !check.OK && (strings.HasPrefix(check.What, "policy ") && strings.HasSuffix(check.What, " on "+relation) || strings.HasPrefix(check.What, "privileges on table column "+relation+".")) {
			return memberGone(member)
		}
	}
	return cofre.Message{}
}

// goneStatement says the same of a statement that failed.
func (c *checker) goneStatement(what string) cofre.Message {
	for _, e := range c.TOC.Entries {
		if "statement "+entryName(&e) != what {
			continue
		}
		kind, name := "table", e.Tag
		switch e.Desc {
		case "ACL", "SECURITY LABEL":
			kind, name, _ = strings.Cut(e.Tag, " ")
			if at := strings.LastIndex(name, "."); kind == "COLUMN" && at > 0 {
				kind, name = "table", name[:at]
			}
		case "POLICY":
			name, _, _ = strings.Cut(e.Tag, " ")
		case "ROW SECURITY":
		default:
			continue
		}
		if !strings.Contains(name, "(") { // a function's is an identity already
			name = pgarchive.Quote(name)
		}
		if e.Namespace != "" {
			name = pgarchive.Quote(e.Namespace) + "." + name
		}
		if member := strings.ToLower(kind) + " " + name; slices.ContainsFunc(c.gone, func(g string) bool { return unquoted(g) == unquoted(member) }) {
			return memberGone(member)
		}
	}
	return cofre.Message{}
}

func memberGone(member string) cofre.Message {
	return cofre.Say("database.differs_member", "{{.member}} was added to an extension by hand, and CREATE EXTENSION does not make it", "member", member)
}

// unquoted is a name without quotes, which the server sets only if it needs them.
func unquoted(name string) string { return strings.ReplaceAll(name, `"`, "") }

// asChecked is a difference with the words for an object that only one side has.
func asChecked(d fingerprint.Difference) cofre.Checked {
	want, got := cofre.Verbatim(d.Want), cofre.Verbatim(d.Got)
	switch {
	case d.Want == fingerprint.AsCaptured && d.Got == fingerprint.Missing:
		want, got = captured(), gotMissing()
	case d.Want == fingerprint.Nothing:
		want = wantNothing()
	}
	return cofre.NewChecked(cofre.Verbatim(d.Name), want, got, false)
}

// leftOut is what the restore was asked to leave out, or has said that it does.
func (c *checker) leftOut() fingerprint.Options {
	o := fingerprint.Options{
		NoOwner: c.o.NoOwner, NoPrivileges: c.o.NoPrivileges, NoData: !c.sel.Sections[pgarchive.SectionData],
		Except: map[string]bool{}, Part: c.part(),
	}
	for _, s := range c.settingsLeft {
		if s.Role == "" {
			o.Except["setting "+s.Name] = true
			continue
		}
		for _, role := range []string{s.Role, pgarchive.Quote(s.Role)} { // the server quotes what needs it
			o.Except["setting "+s.Name+" of role "+role] = true
		}
	}
	return o
}

func catalogsTask() cofre.Message { return cofre.Say("database.task_catalogs", "check catalogs") }
