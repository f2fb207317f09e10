package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/language"
	"github.com/trustlayer/cofre/status"
)

// Recipient is one who is told, as the configuration has it.
type Recipient struct {
	Number   int    // in the list, from 0
	Key      string // the key of the configuration: notify.to[0]
	ID       string // of its ledger; nothing of the address can be had from it
	Language language.Language
	address  config.Address
	only     []string
}

// Recipients are those of a configuration. otherwise is the language of those for whom none is configured.
func Recipients(cfg *config.Config, otherwise language.Language) []Recipient {
	if l, err := language.Parse(cfg.Language); err == nil {
		otherwise = l
	}
	seen := map[string]int{}
	var all []Recipient
	for i, to := range cfg.Notify.To {
		r := Recipient{Number: i, Key: fmt.Sprintf("notify.to[%d]", i), Language: otherwise, address: to.URL, only: to.Only}
		if l, err := language.Parse(to.Language); err == nil {
			r.Language = l
		}
		sum := sha256.Sum256([]byte("cofre recipient\n" + to.URL.String()))
		r.ID = hex.EncodeToString(sum[:8])
		if n := seen[r.ID]; n > 0 {
			r.ID += fmt.Sprintf("-%d", n)
		}
		seen[hex.EncodeToString(sum[:8])]++
		all = append(all, r)
	}
	return all
}

// Open reads the address of the recipient, now, and makes its service. It connects to nothing.
//
// Errors: cofre.ErrConfig if the address cannot be read, or is no address.
func (r Recipient) Open() (Service, error) {
	address, err := r.address.Read()
	if err != nil {
		return nil, unread(r.Key, err)
	}
	return Open(address.Reveal())
}

// unread says that the address of this key of the configuration cannot be read, or is none.
func unread(key string, err error) error {
	return cofre.WithHint(cofre.Fail(cofre.Say("notify.unread", "read the address of {{.recipient}}", "recipient", key), cofre.ErrConfig, err),
		cofre.Say("notify.give", "put the URL of the service where {{.recipient}} says; then: cofre notify test", "recipient", key))
}

// wants reports whether the recipient is to be told of a condition.
func (r Recipient) wants(kind status.Condition) bool {
	return len(r.only) == 0 || slices.Contains(r.only, string(kind))
}

func (r Recipient) wantsDigest() bool { return len(r.only) == 0 || slices.Contains(r.only, KindDigest) }
