package restoring

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
)

// openKeys leaves the foreign keys that were there before the rows, and do not hold over rows that are lost, as not valid.
func (t *Target) openKeys(ctx context.Context) error {
	if !t.fromTemplate() || len(t.lost) == 0 {
		return nil // keys are made after the rows, and a broken one is made so: see brokenKeys
	}
	var tables [][2]string
	for _, l := range t.lost {
		if l.Table != "" {
			tables = append(tables, [2]string{t.Decode(l.Schema), t.Decode(l.Table)})
		}
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	t.opened, err = foreignkey.Open(ctx, conn, tables)
	return err
}

// openedKeys adds to the proof the keys that say no more that they hold.
func (c *checker) openedKeys(reason cofre.Message) {
	for _, k := range c.opened {
		c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(cofre.Verbatim("constraint "+k.String()), cofre.Say("database.key_valid", "validated"), k.State(), false).Because(reason))
	}
}
