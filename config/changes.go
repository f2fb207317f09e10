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

// plain is a value as it was written, where it can be said so: a secret also knows how the environment is read, and functions are never equal.
func plain(v reflect.Value) any {
	switch of := v.Interface().(type) {
	case interface{ MarshalText() ([]byte, error) }:
		text, _ := of.MarshalText()
		return string(text)
	case []Repository:
		var all []any
		for _, r := range of {
			all = append(all, []any{r.URL, r.Password.String(), r.Compression, r.Credentials.AccessKey.String(), r.Credentials.SecretKey.String(), r.Credentials.SessionToken.String(), r.CA, r.WALRecipient})
		}
		return all
	case []Notify:
		var all []any
		for _, n := range of {
			all = append(all, n.String())
		}
		return all
	}
	return v.Interface()
}
