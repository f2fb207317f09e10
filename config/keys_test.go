package config

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var writePages = flag.Bool("update-pages", false, "write the tables of keys in docs, and the schema, anew")

// The table and the types are the same list: what decodes is documented, and what is documented decodes.
func TestEveryKeyIsInTheTable(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(of reflect.Type)
	visit = func(of reflect.Type) {
		if seen[of] {
			return
		}
		seen[of] = true
		s, ok := sectionOf(of)
		if !ok {
			t.Errorf("no section is of %s", of)
			return
		}
		var names []string
		for _, k := range s.Keys {
			names = append(names, k.Name)
		}
		want := keysOf(of)
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("section %q has the keys %v, and %s decodes %v", s.Name, names, of, want)
		}
		for field := range of.Fields() {
			if inner := typeOf(of, field.Tag.Get("yaml")); inner != nil && inner.Kind() == reflect.Struct && isMapping(inner) {
				visit(inner)
			}
		}
	}
	visit(reflect.TypeFor[Config]())
	if len(seen) != len(Sections()) {
		t.Errorf("%d sections for %d types", len(Sections()), len(seen))
	}
}

func isMapping(t reflect.Type) bool {
	return !reflect.PointerTo(t).Implements(reflect.TypeFor[textual]())
}

func TestEveryKeySaysWhatItMeans(t *testing.T) {
	for _, s := range Sections() {
		for _, k := range s.Keys {
			if k.Default != "" && !strings.HasPrefix(k.Default, "`") && k.Default != "AWS" && standards[k.Default] == "" {
				t.Errorf("%s.%s: its default is not in Portuguese", s.Name, k.Name)
			}
			if k.English == "" || k.Portuguese == "" || k.Since == "" {
				t.Errorf("%s.%s: a meaning or the release is missing: %+v", s.Name, k.Name, k)
			}
			if !regexp.MustCompile(`\b` + k.Name + `\b`).MatchString(Example()) {
				t.Errorf("%s.%s is not in the example", s.Name, k.Name)
			}
		}
	}
}

// The pages in both languages have the tables that the keys make. Written anew with: go test ./config -update-pages.
func TestPagesHaveEveryKey(t *testing.T) {
	for _, page := range []struct {
		path, key, standard, words string
		meaning, otherwise         func(Key) string
	}{
		{"../docs/en/configuration.md", "key", "Default", "One of", func(k Key) string { return k.English }, func(k Key) string { return k.Default }},
		{"../docs/pt-BR/configuration.md", "chave", "Padrão", "Um de", func(k Key) string { return k.Portuguese }, func(k Key) string { return cmp.Or(standards[k.Default], k.Default) }},
	} {
		text, err := os.ReadFile(page.path)
		if err != nil {
			t.Fatal(err)
		}
		want := string(text)
		for _, s := range Sections() {
			var b strings.Builder
			fmt.Fprintf(&b, "<!-- keys of %s -->\n| %s | |\n|---|---|\n", cmp.Or(s.Name, "the file"), page.key)
			for _, k := range s.Keys {
				mark, more := "", ""
				if k.UsedBy == notYet {
					mark = " °"
				}
				if len(k.Words) > 0 {
					more += fmt.Sprintf(". %s: `%s`", page.words, strings.Join(k.Words, "`, `"))
				}
				if k.Default != "" {
					more += fmt.Sprintf(". %s: %s", page.standard, page.otherwise(k))
				}
				fmt.Fprintf(&b, "| `%s`%s | %s%s |\n", k.Name, mark, page.meaning(k), more)
			}
			b.WriteString("<!-- end of keys -->")
			block := regexp.MustCompile(`(?s)<!-- keys of ` + regexp.QuoteMeta(cmp.Or(s.Name, "the file")) + ` -->.*?<!-- end of keys -->`)
			if !block.MatchString(want) {
				t.Errorf("%s has no place for the keys of %q", page.path, s.Name)
			}
			want = block.ReplaceAllLiteralString(want, b.String())
		}
		compare(t, page.path, text, []byte(want))
	}
}

// The schema is what editors complete and check with. It says less than Load does: what depends on more than one key is
// not in it.
func TestSchemaHasEveryKey(t *testing.T) {
	document := schemaOf(reflect.TypeFor[Config]())
	document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	document["title"] = "cofre.yaml"
	want, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const path = "../docs/cofre.schema.json"
	have, err := os.ReadFile(path)
	if err != nil && !*writePages {
		t.Fatal(err)
	}
	compare(t, path, have, append(want, '\n'))
}

func schemaOf(of reflect.Type) map[string]any {
	properties := map[string]any{}
	s, _ := sectionOf(of)
	for _, k := range s.Keys {
		for field := range of.Fields() {
			if field.Tag.Get("yaml") != k.Name {
				continue
			}
			p := schemaOfType(field.Type)
			p["description"] = strings.ReplaceAll(k.English, "`", "")
			if len(k.Words) > 0 {
				p["enum"] = k.Words
			}
			properties[k.Name] = p
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

func schemaOfType(of reflect.Type) map[string]any {
	switch {
	case of.Kind() == reflect.Pointer:
		return schemaOfType(of.Elem())
	case of.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOfType(of.Elem())}
	case of == reflect.TypeFor[Secret]():
		return map[string]any{"type": "string", "pattern": "^(env|file):."}
	case of.Kind() == reflect.Struct && isMapping(of):
		forms := []any{schemaOf(of)}
		switch short := reflect.Zero(of).Interface().(type) {
		case interface{ listed() string }:
			forms = append(forms, schemaOfKey(of, short.listed()))
		case interface{ texted() string }:
			forms = append(forms, schemaOfKey(of, short.texted()))
		default:
			return schemaOf(of)
		}
		return map[string]any{"anyOf": forms}
	case of.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case of.Kind() == reflect.Int:
		return map[string]any{"type": "integer", "minimum": 0}
	}
	return map[string]any{"type": "string"}
}

// schemaOfKey is the schema of one key of a mapping.
func schemaOfKey(of reflect.Type, key string) any {
	return schemaOf(of)["properties"].(map[string]any)[key]
}

// What Load takes the schema takes, and the words and types that Load refuses by themselves it refuses.
func TestSchemaTakesWhatIsGood(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../docs/cofre.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"the example": Example()}
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		good[name] = string(text)
	}
	good["a list of texts"] = "notify: [env:A, {url: env:B}]\ndrill: {checks: [SELECT true]}\n"
	check := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	for name, text := range good {
		if err := check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"notify: [{url: 1, language: en}]", "notify: env:A", "notify:", "name: 5", "hooks: {before_backup: [5]}", "notify: [{to: env:A}]", "no_such: 1", "language: de", "drill: {checks: [1]}", "repository: {password: plain}"} {
		if check(bad) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

func compare(t *testing.T, path string, have, want []byte) {
	t.Helper()
	if string(have) == string(want) {
		return
	}
	if *writePages {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is not what the keys make; write it anew with: go test ./config -update-pages", path)
}
