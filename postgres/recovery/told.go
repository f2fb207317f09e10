package recovery

import (
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// unread begins what a repository has noted of a segment that cannot be read. Who shows it says that already.
const unread = "cannot be read: "

// Told is what is said of a break or of damage, as a message. Notes in repositories keep the sentence alone, and those of before too,
// so it is known by its words; what no form here tells stays as it is.
func Told(why string) cofre.Message {
	for _, form := range forms() {
		if m := form.words.FindStringSubmatch(why); m != nil {
			return form.say(m[1:])
		}
	}
	return cofre.Verbatim(why)
}

type form struct {
	words *regexp.Regexp
	say   func(m []string) cofre.Message
}

// Reason is what is said of a break or of damage, as GapError carries it beside the text.
type Reason string

// Message is Told of the reason.
func (r Reason) Message() cofre.Message { return Told(string(r)) }

var (
	compiled sync.Once
	known    []form
)

// forms are compiled when the first sentence is asked for: archiving a segment does not pay for them.
func forms() []form {
	compiled.Do(func() { known = compile() })
	return known
}

func compile() []form {
	of := func(words string, say func(m []string) cofre.Message) form {
		return form{regexp.MustCompile("^(?s:" + words + ")$"), say}
	}
	const lsn = `([0-9A-F]+/[0-9A-F]+)`
	return []form{
		of(`zeros where a page of WAL is to begin`, func([]string) cofre.Message {
			return cofre.Say("gap.zeros_page", "zeros where a page of WAL is to begin")
		}),
		of(`zeros where a record is to begin`, func([]string) cofre.Message {
			return cofre.Say("gap.zeros_record", "zeros where a record is to begin")
		}),
		of(`a page of (\d+) bytes`, func(m []string) cofre.Message {
			return cofre.Say("gap.short_page", "a page of {{.bytes}} bytes", "bytes", m[0])
		}),
		of(`a page of `+lsn, func(m []string) cofre.Message {
			return cofre.Say("gap.page_of", "a page of {{.lsn}}", "lsn", m[0])
		}),
		of(`a record of (-?\d+) bytes`, func(m []string) cofre.Message {
			return cofre.Say("gap.record_length", "a record of {{.bytes}} bytes", "bytes", m[0])
		}),
		of(`a record of which (\d+) bytes are to follow on the page at `+lsn+`, which says that (.*)`, func(m []string) cofre.Message {
			return cofre.Say("gap.record_cut", "a record of which {{.bytes}} bytes are to follow on the page at {{.lsn}}, which says that {{.says}}", "bytes", m[0], "lsn", m[1], "says", remainder(m[2]))
		}),
		of(`a page that says that (.*), (?:where|although) the one before it leaves (\d+) to follow`, func(m []string) cofre.Message {
			return cofre.Say("gap.page_says", "a page that says that {{.says}}, although the one before it leaves {{.bytes}} to follow", "says", remainder(m[0]), "bytes", m[1])
		}),
		of(`a record whose checksum does not match`, func([]string) cofre.Message {
			return cofre.Say("gap.record_checksum", "a record whose checksum does not match")
		}),
		of(`a record that says the one before it starts at `+lsn, func(m []string) cofre.Message {
			return cofre.Say("gap.record_back", "a record that says the one before it starts at {{.lsn}}", "lsn", m[0])
		}),
		of(`a record that says the one before it starts at `+lsn+`, and that starts at `+lsn, func(m []string) cofre.Message {
			return cofre.Say("gap.record_other_back", "a record that says the one before it starts at {{.lsn}}, and that starts at {{.is}}", "lsn", m[0], "is", m[1])
		}),
		of(`(\d+) bytes of a record are to follow, and (\d+) bytes of one follow`, func(m []string) cofre.Message {
			return cofre.Say("gap.bytes_follow", "{{.wanted}} bytes of a record are to follow, and {{.are}} bytes of one follow", "wanted", m[0], "are", m[1])
		}),
		of(`the last record before starts at `+lsn+`, and the record at `+lsn+` says that it starts at `+lsn, func(m []string) cofre.Message {
			return cofre.Say("gap.record_before", "the last record before starts at {{.lsn}}, and the record at {{.at}} says that it starts at {{.says}}", "lsn", m[0], "at", m[1], "says", m[2])
		}),
		of(`it does not follow (\S+): (.*)`, func(m []string) cofre.Message {
			return cofre.Say("gap.not_following", "it does not follow {{.segment}}: {{.why}}", "segment", m[0], "why", Told(m[1]))
		}),
		of(lsn+`: (.*)`, func(m []string) cofre.Message {
			return cofre.Say("gap.at", "{{.lsn}}: {{.why}}", "lsn", m[0], "why", Told(m[1]))
		}),
		of(`the repository has another (\S+) than this server wrote`, func(m []string) cofre.Message {
			return cofre.Say("gap.another_stored", "the repository has another {{.segment}} than this server wrote", "segment", m[0])
		}),
		of(`its records end before it does`, func([]string) cofre.Message {
			return cofre.Say("gap.records_end", "its records end before it does")
		}),
		of(`what follows does not follow it`, func([]string) cofre.Message {
			return cofre.Say("gap.nothing_follows", "what follows does not follow it")
		}),
		of(`the segment before it is another than the server had that wrote this one`, func([]string) cofre.Message {
			return cofre.Say("gap.another_before", "the segment before it is another than the server had that wrote this one")
		}),
		of(`it is of another server than the segment before: (.*)`, func(m []string) cofre.Message {
			return cofre.Say("gap.another_server", "it is of another server than the segment before: {{.why}}", "why", Told(m[0]))
		}),
		of(`it is of another server than base backup (\S+) was taken of`, func(m []string) cofre.Message {
			return cofre.Say("gap.another_server_backup", "it is of another server than base backup {{.point}} was taken of", "point", m[0])
		}),
		of(`another (\S+) was offered by (.*) at (\S+), and refused`, func(m []string) cofre.Message {
			at, err := time.Parse(time.RFC3339, m[2])
			if err != nil {
				return cofre.Verbatim("another " + m[0] + " was offered by " + m[1] + " at " + m[2] + ", and refused")
			}
			return cofre.Say("gap.offered", "another {{.file}} was offered by {{.from}} at {{.at}}, and refused", "file", m[0], "from", m[1], "at", at)
		}),
		of(`the repository holds another (\S+); (.*)`, func(m []string) cofre.Message {
			return cofre.Say("gap.holds_another", "the repository holds another {{.file}}; {{.why}}", "file", m[0], "why", Told(m[1]))
		}),
		of(`its bytes are not those that were stored`, func([]string) cofre.Message {
			return cofre.Say("gap.other_bytes", "its bytes are not those that were stored")
		}),
		of(`it was stored by a version of before, and nothing proves its bytes without the key`, func([]string) cofre.Message {
			return cofre.Say("gap.unproven", "it was stored by a version of before, and nothing proves its bytes without the key")
		}),
		of(`its header is damaged`, func([]string) cofre.Message { return cofre.Say("gap.header", "its header is damaged") }),
		of(`cannot be read: (.*)`, func(m []string) cofre.Message {
			return cofre.Say("gap.unread", "cannot be read: {{.why}}", "why", Told(m[0]))
		}),
		of(`was found damaged`, func([]string) cofre.Message { return cofre.Say("gap.found_damaged", "was found damaged") }),
		of(`(.*): corrupt`, func(m []string) cofre.Message {
			return cofre.Say("gap.corrupt", "{{.what}}: {{.condition}}", "what", Told(m[0]), "condition", cofre.ErrCorrupt)
		}),
	}
}

// remainder is what a page says of the record that it begins with.
func remainder(text string) cofre.Message {
	if bytes, ok := strings.CutSuffix(text, " bytes of a record go on there"); ok {
		return cofre.Say("gap.goes_on", "{{.bytes}} bytes of a record go on there", "bytes", bytes)
	}
	if text == "no record goes on there" {
		return cofre.Say("gap.none_goes_on", "no record goes on there")
	}
	return cofre.Verbatim(text)
}
