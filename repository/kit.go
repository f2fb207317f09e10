package repository

import (
	"context"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/store"
)

// RecoveryKit is what a person needs to reach the backups when the machine that made them is gone. It holds no
// secret: it says where the password is, and is worthless without it.
type RecoveryKit struct {
	URL            string `json:"url"`
	PasswordSource string `json:"password_source"`
	Text           string `json:"text"` // in words, to be printed and kept
	// JournalKey and Checkpoint are those of the journal: whoever has them sees whether history was rewritten.
	JournalKey string `json:"journal_key,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`

	Messages cofre.Messages `json:"messages,omitempty"` // of Text
}

// Kit returns the recovery kit of a repository that exists, without opening it: no password is needed to say where it is.
//
// Errors: ErrNoRepo, ErrConfig; those of the store.
func Kit(ctx context.Context, c Config) (*RecoveryKit, error) {
	s, err := store.Open(ctx, c.store(false))
	if err != nil {
		return nil, fmt.Errorf("recovery kit: %w", noRepo(err, c.URL))
	}
	r := &Repository{config: c, store: s, blobs: blobs.New(s)}
	if _, err := r.readUniqueID(ctx); err != nil {
		return nil, fmt.Errorf("recovery kit of %s: %w", s.URL(), err)
	}
	return newRecoveryKit(c, s), nil
}

func newRecoveryKit(c Config, s cofre.Store) *RecoveryKit {
	source := cofre.Verbatim(c.PasswordSource)
	if c.PasswordSource == "" {
		source = cofre.Say("kit.given", "given when the repository was made")
	}
	connect := "kopia repository connect filesystem --path " + s.URL()
	if !store.IsFolder(c.URL) {
		connect = "kopia repository connect s3 " + s3Flags(s.URL())
	}
	text := cofre.Say("kit.text", `RECOVERY KIT. Print it, and keep it away from the machine it is about.

The backups are at   {{.url}}
The password is at   {{.password}}

Write the password down and keep it in two safe places that do not burn together.
Whoever has lost it has lost every backup: nobody can read them without it, and
nobody can make another one. This page does not hold it on purpose.

To bring everything back on a new machine: install cofre, give it the address and
the password, and ask what is there:

    cofre list

Without cofre, the free program Kopia (https://kopia.io) reads the same repository:

    {{.connect}}
    kopia snapshot list --all
    kopia restore SNAPSHOT DIRECTORY

Use Kopia there to read only: its maintenance is turned off on purpose.
`, "url", s.URL(), "password", source, "connect", connect)
	return &RecoveryKit{URL: s.URL(), PasswordSource: source.Text, Text: text.Text, Messages: cofre.Messages{text}}
}

// Vouch adds the public half of the journal's key, and the newest checkpoint.
func (k *RecoveryKit) Vouch(key, checkpoint string) {
	text := cofre.Say("kit.journal", `{{.kit}}
The journal of what happened to the repository is signed by

    {{.key}}

and begins with what this line covers. Whoever has both can prove whether history
was rewritten: cofre journal verify --key KEY --since LINE

    {{.checkpoint}}
`, "kit", k.Messages.Of(k.Text), "key", key, "checkpoint", checkpoint)
	k.JournalKey, k.Checkpoint, k.Text, k.Messages = key, checkpoint, text.Text, cofre.Messages{text}
}

// s3Flags turns an address into the flags of Kopia's command.
func s3Flags(address string) string {
	rest := strings.TrimPrefix(address, "s3://")
	rest, query, _ := strings.Cut(rest, "?")
	bucket, prefix, _ := strings.Cut(rest, "/")
	flags := "--bucket=" + bucket
	if prefix != "" {
		flags += " --prefix=" + prefix + "/"
	}
	for parameter := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(parameter, "=")
		switch key {
		case "endpoint":
			if host, ok := strings.CutPrefix(value, "http://"); ok {
				flags += " --endpoint=" + host + " --disable-tls"
			} else {
				flags += " --endpoint=" + strings.TrimPrefix(value, "https://")
			}
		case "region":
			flags += " --region=" + value
		case "ca":
			flags += " --root-ca-pem-path=" + value
		}
	}
	return flags
}
