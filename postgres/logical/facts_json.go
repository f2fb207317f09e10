package logical

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/trustlayer/cofre/internal/rawtext"
)

// A database whose encoding says nothing of its bytes has names that are no UTF-8. In JSON they are as rawtext writes them.

// plainFacts are facts without the methods of Facts.
type plainFacts Facts

// MarshalJSON writes the facts; texts that are no UTF-8 are encoded.
//
// Errors: none that facts of a capture cause.
func (f Facts) MarshalJSON() ([]byte, error) {
	raw := false
	eachText(reflect.ValueOf(&f).Elem(), func(s string) string {
		raw = raw || !utf8.ValidString(s) || strings.HasPrefix(s, rawtext.Prefix)
		return s
	}, false)
	if raw {
		// The facts of the caller stay as they are: those of a copy are encoded.
		eachText(reflect.ValueOf(&f).Elem(), rawtext.Encode, true)
	}
	return json.Marshal(plainFacts(f))
}

// UnmarshalJSON reads what MarshalJSON wrote.
//
// Errors: those of encoding/json.
func (f *Facts) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*plainFacts)(f)); err != nil {
		return err
	}
	if bytes.Contains(b, []byte(rawtext.Prefix)) {
		eachText(reflect.ValueOf(f).Elem(), rawtext.Decode, true)
	}
	return nil
}

// eachText replaces the texts in v by what change makes of them, if write says so; lists are then copied first.
func eachText(v reflect.Value, change func(string) string, write bool) {
	switch v.Kind() {
	case reflect.String:
		if s := change(v.String()); write {
			v.SetString(s)
		}
	case reflect.Slice:
		if write && !v.IsNil() {
			list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(list, v)
			v.Set(list)
		}
		for i := range v.Len() {
			eachText(v.Index(i), change, write)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachText(v.Field(i), change, write)
			}
		}
	}
}
