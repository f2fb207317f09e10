package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
)

// Text is the policy as people read it, in Markdown: a message for each line, and the zero message for an empty one. by is who has signed these terms; nil if nobody has.
func (t Terms) Text(by *Signed) []cofre.Message {
	var all []cofre.Message
	section := func(lines ...cofre.Message) { all = append(append(all, lines...), cofre.Message{}) }
	heading := func(m cofre.Message) { section(m) }

	heading(cofre.Say("policy.title", "# Backup policy of {{.installation}}", "installation", t.Installation))
	section(t.standing(by))
	section(cofre.Say("policy.scope", "This policy says what is backed up, how often, for how long it is kept, where, how it is protected, and how it is proven that it can be restored, as ISO/IEC 27001:2022 A.8.13 asks. It is written from the running configuration: what differs from what was signed is a finding."))
	heading(cofre.Say("policy.h_what", "## What is backed up, and how often"))
	section(each(t.Sources, t.captured)...)
	heading(cofre.Say("policy.h_kept", "## For how long it is kept"))
	section(append(each(t.Sources, Source.kept),
		cofre.Say("policy.kept_anyway", "- Whatever the rules say, the newest whole backup of each source stays, and so does what is held. What is removed, when, and by which rule is in the journal."))...)
	heading(cofre.Say("policy.h_where", "## Where"))
	section(append(each(t.Places, Place.said), t.alone()...)...)
	heading(cofre.Say("policy.h_protected", "## How it is protected"))
	section(
		cofre.Say("policy.encrypted", "- Backups are encrypted before they leave the host, with AES-256-GCM, under keys that a password opens. WAL is encrypted with age for the key of the repository, and signed with Ed25519 by the host that archives it."),
		cofre.Say("policy.sealed", "- What is stored is sealed under a key: whatever somebody without the password changes, replaces or removes is found."),
		cofre.Say("policy.journaled", "- Each backup, restore, removal, test and change of the configuration is an entry of a signed journal, in which nothing can be rewritten unseen."),
	)
	heading(cofre.Say("policy.h_tested", "## How it is tested"))
	section(t.verified(), t.drilled())
	heading(cofre.Say("policy.h_objectives", "## What may be lost, and how long a recovery may take"))
	section(t.objectives()...)
	heading(cofre.Say("policy.h_who", "## Who answers for it"))
	return append(all, t.who()...)
}

// each says something of everything, or that there is nothing.
func each[T any](all []T, say func(T) cofre.Message) []cofre.Message {
	if len(all) == 0 {
		return []cofre.Message{cofre.Say("policy.nothing", "- nothing")}
	}
	said := make([]cofre.Message, len(all))
	for i, one := range all {
		said[i] = say(one)
	}
	return said
}

func (t Terms) standing(by *Signed) cofre.Message {
	if by == nil {
		return cofre.Say("policy.unsigned", "Digest {{.digest}}, signed by nobody.", "digest", t.Digest()[:16])
	}
	return cofre.Say("policy.signed", "Version {{.number}}, digest {{.digest}}, signed by {{.by}} on {{.at}}, in entry {{.entry}} of the journal.", "number", by.Number, "digest", t.Digest()[:16], "by", by.By, "at", by.At.UTC().Format(time.DateOnly), "entry", by.Entry)
}

func (t Terms) captured(s Source) cofre.Message {
	when := cofre.Say("policy.by_hand", "when somebody, or another scheduler, says so")
	if s.Schedule != "" {
		when = cofre.Say("policy.scheduled", "by the schedule `{{.schedule}}` ({{.zone}})", "schedule", s.Schedule, "zone", t.zone())
		if s.Window != "" {
			when = cofre.Say("policy.within", "{{.when}}, to end within {{.window}}", "when", when, "window", s.Window)
		}
	}
	switch {
	case s.Kind == cofre.KindDatabase:
		return cofre.Say("policy.database", "- `database`: all of the database, as of one moment, {{.when}}.", "when", when)
	case s.Kind == cofre.KindCluster && s.WAL == "":
		return cofre.Say("policy.cluster", "- `cluster`: the whole database server, {{.when}}. What happens between two of them is not kept.", "when", when)
	case s.Kind == cofre.KindCluster:
		return cofre.Say("policy.cluster_wal", "- `cluster`: the whole database server, {{.when}}, and continuously every change in between (WAL), so that it can be taken back to any moment.", "when", when)
	case s.Kind == cofre.KindStorage:
		return cofre.Say("policy.storage", "- `storage`: the objects of the application's buckets, {{.when}}; what has not changed is stored once.", "when", when)
	}
	return cofre.Say("policy.config", "- `config`: configuration files, {{.when}}.", "when", when)
}

func (t Terms) zone() cofre.Message {
	if t.Timezone == "" {
		return cofre.Say("policy.machine_zone", "time zone of the machine")
	}
	return cofre.Verbatim(t.Timezone)
}

// kept says by which rules backups of a source stay: while any of them holds.
func (s Source) kept() cofre.Message {
	if s.Keep["everything"] > 0 {
		return cofre.Say("policy.kept_all", "- `{{.source}}`: everything, without an end.", "source", s.Kind)
	}
	rules := map[string]func(int) cofre.Message{
		"days": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_days", n, "those of the last day", "those of the last {{.n}} days")
		},
		"last": func(n int) cofre.Message { return cofre.SayN("policy.keep_last", n, "the newest", "the newest {{.n}}") },
		"hourly": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_hourly", n, "one of the last hour", "one of each of {{.n}} hours")
		},
		"daily": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_daily", n, "one of the last day", "one of each of {{.n}} days")
		},
		"weekly": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_weekly", n, "one of the last week", "one of each of {{.n}} weeks")
		},
		"monthly": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_monthly", n, "one of the last month", "one of each of {{.n}} months")
		},
		"yearly": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_yearly", n, "one of the last year", "one of each of {{.n}} years")
		},
		"verified": func(n int) cofre.Message {
			return cofre.SayN("policy.keep_verified", n, "the newest that is verified", "the newest {{.n}} that are verified")
		},
	}
	var all []cofre.Message
	for _, rule := range slices.Sorted(maps.Keys(s.Keep)) {
		if say := rules[rule]; say != nil {
			all = append(all, say(s.Keep[rule]))
		}
	}
	return cofre.Say("policy.kept", "- `{{.source}}`: {{.rules}}.", "source", s.Kind, "rules", cofre.Series(all...))
}

func (p Place) said() cofre.Message {
	if p.Copy {
		return cofre.Say("policy.copy", "- a copy of the WAL at {{.url}}", "url", p.URL)
	}
	return cofre.Say("policy.repository", "- the repository at {{.url}}", "url", p.URL)
}

func (t Terms) alone() []cofre.Message {
	if t.Elsewhere != "" {
		return []cofre.Message{cofre.Say("policy.elsewhere", "- by other means, at which cofre does not look: {{.how}}", "how", t.Elsewhere)}
	}
	return []cofre.Message{cofre.Say("policy.no_copy", "- There is no second place of whole backups: if the repository is lost, they are.")}
}

func (t Terms) verified() cofre.Message {
	v := t.Verification
	switch {
	case v.Schedule == "":
		return cofre.Say("policy.never_verified", "- What is stored is read back only when somebody says so.")
	case v.Window == "":
		return cofre.Say("policy.verified", "- What is stored is read back and compared with its seals by the schedule `{{.schedule}}`.", "schedule", v.Schedule)
	}
	return cofre.Say("policy.verified_within", "- What is stored is read back and compared with its seals by the schedule `{{.schedule}}`, everything once in {{.window}}.", "schedule", v.Schedule, "window", v.Window)
}

func (t Terms) drilled() cofre.Message {
	if t.Drills.Schedule == "" {
		return cofre.Say("policy.never_drilled", "- Restores are tested only when somebody says so.")
	}
	return cofre.Say("policy.drilled", "- Restores are tested by the schedule `{{.schedule}}`: each source is restored where it touches nothing, and compared with what was captured.", "schedule", t.Drills.Schedule)
}

func (t Terms) objectives() (all []cofre.Message) {
	if t.Objectives.RPO != "" {
		all = append(all, cofre.Say("policy.rpo", "- RPO: at most {{.time}} of work may be lost.", "time", t.Objectives.RPO))
	}
	if t.Objectives.RTO != "" {
		all = append(all, cofre.Say("policy.rto", "- RTO: a recovery may take {{.time}}.", "time", t.Objectives.RTO))
	}
	if len(all) == 0 {
		all = append(all, cofre.Say("policy.no_objectives", "- Nobody has said so: `objectives` is not set."))
	}
	return all
}

func (t Terms) who() (all []cofre.Message) {
	if t.Responsible == "" {
		all = append(all, cofre.Say("policy.nobody", "- Nobody: `policy.responsible` is not set."))
	} else {
		all = append(all, cofre.Say("policy.responsible", "- {{.who}}", "who", t.Responsible))
	}
	if t.Class != "" {
		all = append(all, cofre.Say("policy.class", "- Class of the system: `{{.class}}`, with the figures of Instrução Normativa SEORI 1/2024 of the Brazilian Ministry of Defence.", "class", t.Class))
	}
	return append(all, cofre.Say("policy.review", "- It is to be read and signed again every {{.time}}.", "time", t.Review))
}
