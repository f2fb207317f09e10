// Package kit is the recovery kit: what a person needs to reach the backups when the machine that made them is gone.
package kit

import (
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store"
)

// Kit is what a person needs to reach the backups when the machine that made them is gone. It holds no
// secret: it says where the password is, and is worthless without it.
type Kit struct {
	URL            string `json:"url"`
	PasswordSource string `json:"password_source"`
	Text           string `json:"text"` // in words, to be printed and kept
	// JournalKey and Checkpoint are those of the journal: whoever has them sees whether history was rewritten.
	JournalKey string `json:"journal_key,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
	// Format is what leads from the password to everything else, encrypted, as lines: see ParseFormat.
	Format string `json:"format,omitempty"`

	Messages cofre.Messages `json:"messages,omitempty"` // of Text
}

// New is the kit of the repository at an address without credentials, and of its format. passwordSource says where its password is, copyOf
// which repository this is a copy of, if it is one.
func New(url, passwordSource, copyOf string, f Format) *Kit {
	source := cofre.Verbatim(passwordSource)
	if passwordSource == "" {
		source = cofre.Say("kit.given", "given when the repository was made")
	}
	k := &Kit{URL: url, PasswordSource: source.Text, Format: f.Encode()}
	if copyOf != "" {
		k.say(ofCopy(url, copyOf, source, k.Format))
		return k
	}
	connect := "kopia repository connect filesystem --path " + url
	if !store.IsFolder(url) {
		connect = "kopia repository connect s3 " + s3Flags(url)
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
`, "url", url, "password", source, "connect", connect)
	k.say(cofre.Say("kit.format", `{{.kit}}
One small file leads from the password to everything else. It is kept twice beside
the backups, and here. If both are lost, cofre kit --restore FILE puts it back from
a file with these lines:

{{.format}}
`, "kit", text, "format", cofre.Block(k.Format)))
	return k
}

// ofCopy is the kit of a copy, which promises no recovery points: this version brings none there.
func ofCopy(url, repository string, password cofre.Message, format string) cofre.Message {
	return cofre.Say("kit.copy", `RECOVERY KIT OF A COPY. Print it, and keep it with the kit of the repository.

A copy of the WAL is at   {{.url}}
Its password is at        {{.password}}
The backups are at        {{.repository}}

Only WAL is brought to this copy, and no recovery points: nothing can be restored
from it alone. WAL that the repository has lost is taken from here.

Write the password down and keep it in two safe places that do not burn together.
Without it nobody can read what is there. This page does not hold it on purpose.

One small file leads from the password to the WAL. It is kept twice in the copy,
and here. If both are lost, cofre kit --restore FILE puts it back from a file with
these lines, if the configuration has this copy as its repository:

{{.format}}
`, "url", url, "password", password, "repository", repository, "format", cofre.Block(format))
}

func (k *Kit) say(text cofre.Message) { k.Text, k.Messages = text.Text, cofre.Messages{text} }

// Vouch adds the public half of the journal's key, and the newest checkpoint.
func (k *Kit) Vouch(key, checkpoint string) {
	text := cofre.Say("kit.journal", `{{.kit}}
The journal of what happened to the repository is signed by

    {{.key}}

and begins with what this line covers. Whoever has both can prove whether history
was rewritten: cofre journal verify --key KEY --since LINE

    {{.checkpoint}}
`, "kit", k.Messages.Of(k.Text), "key", key, "checkpoint", checkpoint)
	k.JournalKey, k.Checkpoint = key, checkpoint
	k.say(text)
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
