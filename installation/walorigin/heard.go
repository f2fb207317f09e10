package walorigin

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// Heard is what the journal knows of archived WAL, and a repository may have lost.
type Heard struct {
	Origins []origin.Witness
	// Acknowledged are the gaps that a person has acknowledged in the repository itself.
	Acknowledged map[cofre.SystemID][]wal.Acknowledgement
}

// Ask has this host believe what the journal has kept of whom each repository believes, and returns what it only knows to have been said: whoever may write to a repository
// could have taken the record away, and then a host that had not seen it would believe a revoked key again. It comes before anybody goes by what a repository says of that
// itself; repo is the one that the journal is of, and is open. Nothing is stored in a repository, and one of before has no journal.
//
// Errors: why not all is known, with what is: those of journaling.Known.Verify, walstore.Systems and Identity.Origins.
func Ask(ctx context.Context, cfg *config.Config, know func() (*journaling.Known, error), repo any) (h Heard, err error) {
	said := &journaling.Origins{}
	k, err := know()
	if errors.Is(err, cofre.ErrNotFound) {
		return h, nil
	}
	if err == nil {
		_, err = k.Verify(ctx, journaling.Reading{Visit: func(e journal.Numbered) { said.Take(e) }})
	}
	h.Acknowledged = said.Acknowledged
	for _, c := range said.Changes {
		if w, ok := witnessOf(c); ok {
			h.Origins = append(h.Origins, w)
		}
	}
	if len(said.Changes) == 0 {
		return h, err
	}
	for _, r := range cfg.Repositories() {
		err = errors.Join(err, hear(ctx, cfg, r, said.Changes, repo))
	}
	return h, err
}

// witnessOf is what an entry says that must not be taken away. That a key was admitted is no such thing: without it less is believed.
func witnessOf(c journaling.OriginChange) (w origin.Witness, ok bool) {
	switch c.Change {
	case cofre.OriginRevoked:
		return origin.Witness{System: c.System, Key: c.Key, Said: cofre.Say("wal.revocation_journaled", "entry {{.n}} of the journal says that key {{.key}}, which signs WAL, was revoked, and the repository does not say so any more", "n", c.Number, "key", c.Key)}, c.Key != ""
	case cofre.OriginRequired:
		return origin.Witness{System: c.System, Said: cofre.Say("wal.requirement_journaled", "entry {{.n}} of the journal says that signatures of WAL are required, and the repository does not say so any more", "n", c.Number)}, true
	}
	return w, false
}

// hear looks in one repository for what the journal says.
func hear(ctx context.Context, cfg *config.Config, r config.Repository, said []journaling.OriginChange, repo any) error {
	_, systems, unlock, err := walstore.Systems(ctx, cfg, r)
	if err != nil {
		return err
	}
	for _, system := range systems {
		id, err := unlock()
		if err != nil {
			return err
		}
		set, err := id.Origins(ctx, system)
		if err != nil {
			return err
		}
		kept := origin.Records{}
		for _, c := range said {
			if c.System != system || set.Has(c.Change, c.Key) {
				continue
			}
			// What cannot be read any more is still a witness. That of another repository is under another key, and is left out.
			if text, err := journaling.Unseal(ctx, repo, c.Sealed); err == nil {
				var s journaling.OriginSealed
				if json.Unmarshal(text, &s) == nil && origin.IsRecord([]byte(s.Record), system, s.Name, id.Secret()) {
					kept[s.Name] = []byte(s.Record)
				}
			}
		}
		if len(kept) > 0 {
			walstore.Recall(cfg, r, system, id.Secret(), kept)
		}
	}
	return nil
}
