package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
)

// keeping is the retention policy of one section.
type keeping struct {
	kind cofre.Kind
	keep *Keep
}

// keptDays is how long backups of a kind are kept if the configuration does not say: as long as the guide that this program replaces kept them.
func keptDays(kind cofre.Kind) int {
	switch kind {
	case cofre.KindCluster:
		return 7
	case cofre.KindConfig:
		return 90
	}
	return 30
}

// keeps leads to the retention policies of the sections that are there.
func (c *Config) keeps() []keeping {
	var all []keeping
	if c.Database != nil {
		all = append(all, keeping{cofre.KindDatabase, &c.Database.Keep})
	}
	if c.Cluster != nil {
		all = append(all, keeping{cofre.KindCluster, &c.Cluster.Keep})
	}
	if c.Storage != nil {
		all = append(all, keeping{cofre.KindStorage, &c.Storage.Keep})
	}
	if c.Files != nil {
		all = append(all, keeping{cofre.KindConfig, &c.Files.Keep})
	}
	return all
}

// Keeping returns the configuration as if rules of retention were written into its file: each assignment is KEY=VALUE with a key of the file, such
// as database.keep.days=7, or without the section, keep.days=7, for every section. What else the file says of a section stays; the days that a
// section without rules of its own has do not, as they would not in the file. The receiver is not changed.
//
// Errors: cofre.ErrConfig, with every assignment that is wrong.
func (c *Config) Keeping(assignments ...string) (*Config, error) {
	found := &problems{}
	other := *c
	other.Database, other.Cluster, other.Storage, other.Files = shallow(c.Database), shallow(c.Cluster), shallow(c.Storage), shallow(c.Files)
	given := map[*Keep]*assigned{}
	for _, a := range assignments {
		other.assign(a, given, found)
	}
	for _, k := range other.keeps() {
		rules := given[k.keep]
		if rules == nil {
			continue
		}
		rules.alone.check(found, string(k.kind)+".keep")
		*k.keep = rules.written
		if rules.alone.Everything {
			*k.keep = rules.alone
		}
		if k.keep.IsZero() {
			k.keep.Days = keptDays(k.kind)
		}
	}
	return &other, found.err("--what-if")
}

// assigned are rules that are given: alone, and beside what the file says.
type assigned struct{ alone, written Keep }

// assignedTo returns what is given of a section, before anything is.
func (c *Config) assignedTo(k keeping) *assigned {
	if k.keep.Everything || slices.Contains(c.keptByDefault, k.kind) {
		return &assigned{}
	}
	return &assigned{written: *k.keep}
}

func shallow[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// assign adds one assignment to the rules that are given.
func (c *Config) assign(assignment string, given map[*Keep]*assigned, found *problems) {
	key, value, _ := strings.Cut(assignment, "=")
	at, rule, ok := strings.Cut(key, "keep.")
	at = strings.TrimSuffix(at, ".")
	i := slices.IndexFunc(keepKeys, func(k Key) bool { return k.Name == rule })
	if !ok || i < 0 || (at != "" && !slices.ContainsFunc(c.keeps(), func(k keeping) bool { return string(k.kind) == at })) {
		found.add(assignment, cofre.Say("config.not_a_rule", "is not a rule of a section that is configured"), cofre.Say("config.a_rule", "write it as keep.days=7, or database.keep.monthly=12"))
		return
	}
	for _, k := range c.keeps() {
		if at != "" && at != string(k.kind) {
			continue
		}
		if given[k.keep] == nil {
			given[k.keep] = c.assignedTo(k)
		}
		if rules := given[k.keep]; !rules.alone.set(rule, value) || !rules.written.set(rule, value) {
			found.add(assignment, cofre.Say("config.not_a_rule_value", "has no value that the rule takes"), cofre.Say("config.a_rule", "write it as keep.days=7, or database.keep.monthly=12"))
			return
		}
	}
}

// set gives one rule its value, and reports whether the value is one.
func (k *Keep) set(rule, value string) bool {
	v := reflect.ValueOf(k).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") != rule {
			continue
		}
		if v.Field(i).Kind() == reflect.Bool {
			b, err := strconv.ParseBool(value)
			v.Field(i).SetBool(b)
			return err == nil
		}
		n, err := strconv.Atoi(value)
		v.Field(i).SetInt(int64(n))
		return err == nil
	}
	return false
}
