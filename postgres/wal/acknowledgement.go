package wal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// said is an acknowledgement with the object that it was read from.
type said struct {
	object string
	Acknowledgement
}

// hearAcknowledged takes the acknowledgements that somebody made who has the password. One of versions before is believed until signatures
// are required, and one that somebody else made never is.
//
// Errors: those of unlock and of Identity.Origins.
func (inv *Inventory) hearAcknowledged(ctx context.Context, unlock func() (Identity, error), all []said) error {
	id, err := unlock()
	if err != nil {
		return err
	}
	origins, err := id.Origins(ctx, inv.SystemID)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.authentic(id, inv.SystemID) || a.Code == "" && (origins == nil || !origins.Required) {
			inv.Acknowledged = append(inv.Acknowledged, a.Acknowledgement)
			continue
		}
		_ = inv.pass(a.object, fmt.Errorf("%s: nobody who has the password said it, and nothing is acknowledged: %w", a.object, cofre.ErrRefused))
	}
	return nil
}

func (a Acknowledgement) code(id Identity, system cofre.SystemID) string {
	a.Code = ""
	b, err := json.Marshal(a)
	if err != nil {
		panic("wal: internal error: " + err.Error()) // it holds what JSON has
	}
	return origin.Code(id.Secret(), "acknowledgements", system.String()+"\n"+string(b))
}

func (a Acknowledgement) authentic(id Identity, system cofre.SystemID) bool {
	return a.Code != "" && origin.Same(a.Code, a.code(id, system))
}

// acknowledged reports whether somebody who has the password said that a file is lost. Nothing is unlocked unless something says so.
func acknowledged(ctx context.Context, st cofre.Store, system cofre.SystemID, file string, unlock func() (Identity, error)) bool {
	a, err := readAcknowledgement(ctx, st, gapName(system, file, file))
	inv := newInventory(system, 0)
	return err == nil && unlock != nil && a.From == file && a.To == file && inv.hearAcknowledged(ctx, unlock, []said{{"", a}}) == nil && len(inv.Acknowledged) == 1
}

// Sign makes an acknowledgement of versions before one that is believed when signatures are required.
//
// Errors: the store's.
func (a Acknowledgement) Sign(ctx context.Context, st cofre.Store, id Identity, system cofre.SystemID) error {
	if a.authentic(id, system) {
		return nil
	}
	return Acknowledge(ctx, st, id, system, a)
}

func readAcknowledgement(ctx context.Context, st cofre.Store, object string) (Acknowledgement, error) {
	var a Acknowledgement
	b, err := bounded.Read(ctx, st, object, 1<<16)
	if err == nil && json.Unmarshal(b, &a) != nil {
		err = fmt.Errorf("not an acknowledgement: %w", cofre.ErrCorrupt)
	}
	if err != nil {
		return a, fmt.Errorf("read %s: %w", object, err)
	}
	return a, nil
}

// Acknowledge records that a gap is known, as whoever has the password says.
//
// Errors: the store's.
func Acknowledge(ctx context.Context, st cofre.Store, id Identity, system cofre.SystemID, a Acknowledgement) error {
	a.Code = a.code(id, system)
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := st.Replace(ctx, gapName(system, a.From, a.To), bytes.NewReader(b), int64(len(b))); err != nil {
		return fmt.Errorf("acknowledge gap %s to %s: %w", a.From, a.To, err)
	}
	return nil
}
