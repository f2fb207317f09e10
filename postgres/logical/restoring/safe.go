package restoring

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/checks"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// powersSQL names the roles of the session that reach beyond the databases of their owner: superusers, those that run programs or
// write and read files of the server, and up to version 15 those that make roles, which can make themselves a member of these.
// A function of the captured database could become any of them. It is asked of who logged in: SET ROLE can be undone by whoever is called.
const powersSQL = `SELECT ` + postgres.RawRoleName + ` FROM pg_catalog.pg_roles r
WHERE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') AND (r.rolsuper OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')
  OR r.rolcreaterole AND pg_catalog.current_setting('server_version_num')::int < 160000)
ORDER BY r.rolname <> session_user, r.rolsuper, 1`

// lookAtSafe says why a restore that is asked to be safe would not be.
func (t *Target) lookAtSafe(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	if !t.o.Safe {
		return nil
	}
	if t.fromTemplate() {
		p.Refuse(cofre.Say("database.safe_whole", "--safe puts the constraints off that a restore makes, and this one takes those of database {{.name}}, which are there", "name", t.o.Name),
			cofre.Say("database.safe_whole_way", "restore the definitions, too"))
	}
	if t.o.Check != CheckChecksum {
		p.Refuse(cofre.Say("database.safe_counts", "--safe makes constraints when every row was compared, and --check counts compares none"),
			cofre.Say("database.safe_counts_way", "leave out --check counts"))
	}
	powers, err := t.roleNames(ctx, conn, powersSQL)
	if err != nil {
		return err
	}
	if len(powers) > 0 {
		p.Refuse(cofre.Say("database.safe_powers", "role {{.role}} can act as {{.powers}}, and so could any function of the captured database", "role", t.server.user, "powers", strings.Join(powers[:min(5, len(powers))], ", ")), t.safeRole())
	}
	if t.o.NoOwner {
		return nil
	}
	supers, err := t.roleNames(ctx, conn, `SELECT `+postgres.RawRoleName+` FROM pg_catalog.pg_roles r WHERE r.rolsuper ORDER BY 1`)
	if err != nil {
		return err
	}
	needed := t.neededOwners()
	if above := slices.DeleteFunc(supers, func(r string) bool { return !needed[r] }); len(above) > 0 {
		p.Refuse(cofre.Say("database.safe_supers", "what is restored belongs to {{.roles}}, who may do anything, and no other role can make them the owners", "roles", strings.Join(above, ", ")),
			cofre.Say("database.safe_supers_way", "--no-owner gives all of it to the role that restores"))
	}
	return nil
}

// safeRole says who restores safely: the owner, if that is an ordinary role, and somebody made for it if not.
func (t *Target) safeRole() cofre.Message {
	owner := pgarchive.Quote(t.Facts.Database.Owner)
	return cofre.Say("database.safe_role", "connect as the owner of the database, with --server postgres://OWNER@HOST/postgres, or as a role that is a member of all owners; it must be permitted to log in and to create databases: ALTER ROLE {{.owner}} LOGIN CREATEDB. If the owner can act as such a role itself, connect as any other role that may create databases, and restore with --no-owner: CREATE ROLE cofre_safe LOGIN CREATEDB", "owner", owner)
}

// createDB is how a role comes to be permitted to make databases.
func (t *Target) createDB(role string) cofre.Message {
	if t.o.Safe {
		return cofre.Say("database.safe_createdb", "ALTER ROLE {{.role}} CREATEDB", "role", role)
	}
	return cofre.Say("database.createdb", "ALTER ROLE {{.role}} CREATEDB, or connect as a superuser", "role", role)
}

// neededOwners are the owners of what is restored.
func (t *Target) neededOwners() map[string]bool {
	owners := map[string]bool{t.Facts.Database.Owner: true}
	for i := range t.TOC.Entries {
		if e := &t.TOC.Entries[i]; t.sel.Has(e) && e.Owner != "" {
			owners[t.Decode(e.Owner)] = true
		}
	}
	return owners
}

func (t *Target) roleNames(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	return logical.Collect(ctx, conn, "the roles", sql, func(r pgx.CollectableRow) (string, error) {
		var raw []byte
		err := r.Scan(&raw)
		return t.Decode(string(raw)), err
	})
}

// putOff takes the CHECK constraints away before rows are loaded.
func (t *Target) putOff(ctx context.Context, obs cofre.Observer) error {
	if !t.o.Safe {
		return nil
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if t.off, err = checks.PutOff(ctx, conn); err != nil {
		return err
	}
	for _, c := range t.off.Left {
		obs.Observe(cofre.Event{Type: cofre.TypeNote}.Doing(checksTask()).Saying(cofre.Say("database.safe_stays",
			"constraint {{.name}} cannot be put off, as columns are arrays, composites or ranges of its domain: it is looked at while rows are loaded", "name", c)))
	}
	return nil
}

// makeChecks compares what was loaded, and makes the constraints that were put off if it is what was captured. If it is not, they are
// not made, and each is named in the proof with what differed.
func (t *Target) makeChecks(ctx context.Context, obs cofre.Observer) error {
	if !t.o.Safe {
		return nil
	}
	conn, err := logical.Connect(ctx, t.RowsOn(t.o.Server.With(t.staged)).LeavingAsFound("TimeZone"), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	c := &checker{Target: t, obs: obs, proof: &cofre.Proof{}}
	if err := c.decodeNames(ctx, conn); err != nil {
		return err
	}
	if err := c.data(ctx, conn); err != nil {
		return err
	}
	if differing := c.proof.Differing().Checks; len(differing) > 0 {
		t.loaded = differing
		for _, o := range t.off.All {
			t.notMade(o, fmt.Sprintf("not made: %s differed when rows had been loaded", differing[len(differing)-1].What))
		}
		return nil
	}
	if t.o.SearchPath != "" {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.set_config('search_path', $1, false)", t.o.SearchPath); err != nil {
			return err
		}
	}
	task := cofre.Event{Total: int64(len(t.off.All)), Unit: cofre.UnitItems}.Doing(checksTask())
	task.Type = cofre.TypeTaskBegan
	obs.Observe(task)
	failed, err := t.off.Add(ctx, conn)
	task.Type, task.Done, task.Err = cofre.TypeTaskEnded, task.Total, err
	obs.Observe(task)
	for _, f := range failed {
		t.notMade(f.Constraint, f.Said)
	}
	return err
}

func (t *Target) notMade(c checks.Constraint, said string) {
	t.failed = append(t.failed, failedStatement{What: "statement of check constraint " + c.String(), Said: said})
}

// loadedOtherwise adds what differed when rows had been loaded to the proof, if it does not differ any more.
func (c *checker) loadedOtherwise() {
	for _, d := range c.loaded {
		if !slices.ContainsFunc(c.proof.Checks, func(o cofre.Checked) bool { return o.What == d.What && !o.OK }) {
			c.proof.Checks = append(c.proof.Checks, d)
		}
	}
}

func checksTask() cofre.Message { return cofre.Say("database.task_checks", "make CHECK constraints") }
