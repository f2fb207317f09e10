package config

import (
	"reflect"
	"strings"
)

// Changes names the keys that differ between two configurations, as database.schedule: never their values, which may hold secrets of hooks.
func Changes(from, to *Config) []string {
	return changes(reflect.ValueOf(*from), reflect.ValueOf(*to), "")
}

func changes(from, to reflect.Value, path string) []string {
	s, _ := sectionOf(from.Type())
	var names []string
	for _, k := range s.Keys {
		a, ok := fieldOf(from, k.Name)
		b, _ := fieldOf(to, k.Name)
		if !ok {
			continue
		}
		full := strings.TrimPrefix(path+"."+k.Name, ".")
		if a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() {
			a, b = a.Elem(), b.Elem()
		}
		_, section := sectionOf(a.Type())
		switch {
		case a.Kind() == reflect.Struct && section:
			names = append(names, changes(a, b, full)...)
		case !reflect.DeepEqual(plain(a), plain(b)):
			names = append(names, full)
		}
	}
	return names
}

// plain is a value as it was written, where it can be said so, in lists and what they hold as well: a secret also knows how the environment is read, and
// functions are never equal.
func plain(v reflect.Value) any {
	if of, ok := v.Interface().(interface{ MarshalText() ([]byte, error) }); ok {
		text, _ := of.MarshalText()
		return string(text)
	}
	var all []any
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, plain(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				all = append(all, plain(v.Field(i)))
			}
		}
	default:
		return v.Interface()
	}
	return all
}
