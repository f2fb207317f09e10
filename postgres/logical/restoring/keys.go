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
	if !t.fromTemplate() {
		return nil // keys are made after the rows, and a broken one is made so: see brokenKeys
	}
	var tables [][2]string
	for _, l := range t.lost {
		if l.Table != "" {
			tables = append(tables, [2]string{logical.Decoded(t.ClientEncoding(), l.Schema), logical.Decoded(t.ClientEncoding(), l.Table)})
		}
	}
	if len(tables) == 0 {
		return nil
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
		got := cofre.Say("database.key_opened", "not validated: rows have no parent in {{.table}}, whose rows are lost", "table", k.To)
		if k.Gone {
			got = cofre.Say("database.key_dropped", "dropped: rows have no parent in {{.table}}, whose rows are lost, and this server takes no such key that is not validated", "table", k.To)
		}
		c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(cofre.Verbatim("constraint "+k.String()), cofre.Say("database.key_valid", "validated"), got, false).Because(reason))
	}
}
