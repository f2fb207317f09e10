package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
)

// Differences are what a policy that was signed says otherwise than the terms of the running configuration, by the keys of that.
func Differences(signed, running Terms) []cofre.Message {
	was, is := signed.lines(), running.lines()
	all := maps.Clone(was)
	maps.Copy(all, is)
	var found []cofre.Message
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if was[key] != is[key] {
			found = append(found, cofre.Say("policy.differs", "{{.key}}: signed is {{.was}}, and running is {{.is}}", "key", key, "was", cmp.Or(was[key], "-"), "is", cmp.Or(is[key], "-")))
		}
	}
	return found
}

// lines are the terms by the keys of the configuration that say them. What says nothing is left out.
func (t Terms) lines() map[string]string {
	all := map[string]string{
		"name": t.Installation, "timezone": t.Timezone, "policy.class": t.Class, "policy.responsible": t.Responsible, "policy.elsewhere": t.Elsewhere, "policy.review": t.Review,
		"objectives.rpo": t.Objectives.RPO, "objectives.rto": t.Objectives.RTO,
		"serve.verify": t.Verification.Schedule, "verify.window": t.Verification.Window, "serve.drill": t.Drills.Schedule,
	}
	for _, s := range t.Sources {
		at := string(s.Kind) + "."
		all[at+"schedule"], all[at+"window"], all[at+"wal"] = cmp.Or(s.Schedule, "by hand"), s.Window, s.WAL
		for rule, n := range s.Keep {
			all[at+"keep."+rule] = fmt.Sprint(n)
		}
	}
	var copies []string
	for _, p := range t.Places {
		if p.Copy {
			copies = append(copies, p.URL)
		} else {
			all["repository.url"] = p.URL
		}
	}
	all["copies"] = strings.Join(copies, ", ")
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}
