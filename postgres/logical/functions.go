package logical

import (
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
)

// functionsNamed is how many functions a plan names.
const functionsNamed = 10

// NoteFunctions says which code of the database a restore runs: whoever wrote it acts with the rights of the role that restores, and may
// change other rows than those that are loaded. With late, CHECK constraints are made when the rows were compared, and what runs before all the
// same is named: functions of generated columns and of partition keys.
func (c *Component) NoteFunctions(p *cofre.Plan, late bool) {
	all := c.Facts.Runs
	if all == nil {
		if c.hasFunctions() {
			p.Note(cofre.Say("database.functions_unknown", "the database has functions of its own, and which of them run while it is restored was not recorded; they act with the rights of the role that restores"))
		}
		return
	}
	if len(all) == 0 {
		return
	}
	if late {
		early := slices.DeleteFunc(slices.Clone(all), func(f FunctionRun) bool {
			return !slices.ContainsFunc(f.Users, func(user string) bool {
				return strings.HasPrefix(user, "default value ") || strings.HasPrefix(user, "table ") && !strings.HasPrefix(user, "table constraint ")
			})
		})
		if len(early) > 0 {
			p.Note(cofre.Say("database.functions_early", "of generated columns and partition keys, these run before rows are compared: {{.named}}", "named", nameFunctions(early)))
		}
	}
	p.Note(cofre.SayN("database.functions_run", len(all), "1 function of the database's own runs while it is restored, with the rights of the role that restores: {{.named}}",
		"{{.n}} functions of the database's own run while it is restored, with the rights of the role that restores: {{.named}}", "named", nameFunctions(all)))
}

func nameFunctions(all []FunctionRun) cofre.Message {
	var named []cofre.Message
	for _, f := range all[:min(len(all), functionsNamed)] {
		named = append(named, cofre.Say("database.function_run", "{{.function}} ({{.users}})", "function", f.Function, "users", Some(f.Users)))
	}
	if more := len(all) - len(named); more > 0 {
		named = append(named, cofre.SayN("database.functions_more", more, "1 more", "{{.n}} more"))
	}
	return cofre.List(named...)
}

func (c *Component) hasFunctions() bool {
	for i := range c.TOC.Entries {
		if d := c.TOC.Entries[i].Desc; d == "FUNCTION" || d == "PROCEDURE" {
			return true
		}
	}
	return false
}
