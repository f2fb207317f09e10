package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/nearest"
)

// decoding turns a parsed YAML document into a Config, and goes on after a problem: the library's own strict
// mode stops at the first.
//
// No problem repeats a value of the file: it may be a secret in the wrong place.
type decoding struct {
	*problems
	anchors map[string]ast.Node
	getenv  func(string) string
	// depth guards against an alias inside its own anchor.
	depth int
}

// textual is a value that is written as one scalar.
type textual interface {
	// decodeText returns what is wrong, or the zero message, and a hint.
	decodeText(d *decoding, text string) (what, hint cofre.Message)
}

// parse reads the text as one YAML document. It returns nil, and the problem, if it is not one.
func (d *decoding) parse(text []byte) (root ast.Node) {
	defer func() {
		// YAML is large, and its parsers index into their tokens: a text that trips one is malformed, not fatal.
		if r := recover(); r != nil {
			root = nil
			d.addAt(place{1, 1}, "", cofre.Say("config.not_yaml", "is not YAML"), cofre.Message{})
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		where := place{1, 1}
		what := cofre.Say("config.not_yaml", "is not YAML")
		var at interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &at) {
			what = cofre.Say("config.not_yaml_why", "is not YAML: {{.why}}", "why", cofre.Verbatim(strings.TrimSpace(at.GetMessage())))
			if t := at.GetToken(); t != nil && t.Position != nil {
				where = place{t.Position.Line, t.Position.Column}
			}
		}
		d.addAt(where, "", what, cofre.Message{})
		return nil
	}
	docs := slices.DeleteFunc(slices.Clone(file.Docs), func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch {
	case len(docs) == 0:
		d.addAt(place{1, 1}, "", cofre.Say("config.empty", "is empty"), cofre.Say("config.write", "cofre init --write-config writes one to begin with"))
		return nil
	case len(docs) > 1:
		d.addAt(placeOf(docs[1].Body), "", cofre.Say("config.documents", "holds more than one document"), cofre.Say("config.one_document", "keep everything above the line ---"))
		return nil
	}
	return docs[0].Body
}

// value decodes n into v, whose path is given.
func (d *decoding) value(n ast.Node, v reflect.Value, path string) {
	n = d.resolve(n)
	d.depth++
	defer func() { d.depth-- }()
	if n == nil || d.depth > 30 {
		d.add(path, cofre.Say("config.alias", "holds an alias that leads nowhere"), cofre.Message{})
		return
	}
	if _, ok := d.at[path]; !ok {
		d.at[path] = placeOf(n)
	}
	if t, ok := v.Addr().Interface().(textual); ok {
		text, ok := d.scalar(n, path)
		if !ok {
			return
		}
		if what, hint := t.decodeText(d, text); !what.IsZero() {
			d.add(path, what, hint)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if preset, ok := v.Interface().(interface{ preset() }); ok {
			preset.preset()
		}
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		if field, ok := shortened(n, v); ok {
			d.value(n, field, path)
			return
		}
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.String:
		if text, ok := d.text(n, path); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.add(path, cofre.Say("config.wants_bool", "wants true or false, found {{.found}}", "found", kindOf(n)), cofre.Message{})
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			d.add(path, cofre.Say("config.wants_number", "wants a whole number, found {{.found}}", "found", kindOf(n)), cofre.Message{})
			return
		}
		number, err := strconv.ParseInt(fmt.Sprint(i.Value), 10, 32)
		if err != nil {
			d.add(path, cofre.Say("config.out_of_range", "is a number out of range"), cofre.Message{})
			return
		}
		v.SetInt(number)
	default:
		panic("config: internal error: no decoding for " + v.Type().String())
	}
}

// text is a scalar that was written as text.
func (d *decoding) text(n ast.Node, path string) (string, bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		d.add(path, cofre.Say("config.wants_text", "wants text, found {{.found}}", "found", kindOf(n)), cofre.Say("config.quote", "put it between quotation marks"))
		return "", false
	}
	return d.scalar(n, path)
}

// scalar is any scalar, as it was written.
func (d *decoding) scalar(n ast.Node, path string) (string, bool) {
	var text string
	switch s := n.(type) {
	case *ast.StringNode:
		text = s.Value
	case *ast.LiteralNode:
		if s.Value != nil {
			text = strings.TrimRight(s.Value.Value, "\n")
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		text = nameOf(n)
	default:
		d.add(path, cofre.Say("config.wants_text", "wants text, found {{.found}}", "found", kindOf(n)), cofre.Message{})
		return "", false
	}
	if text == "" {
		d.add(path, cofre.Say("config.empty", "is empty"), cofre.Say("config.give_value", "leave the line out, or give it a value"))
		return "", false
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		d.add(path, cofre.Say("config.control_character", "holds a control character"), cofre.Message{})
		return "", false
	}
	return text, true
}

func (d *decoding) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(path, cofre.Say("config.wants_list", "wants a list, found {{.found}}", "found", kindOf(n)), cofre.Say("config.list_form", "write it as [first, second], or one a line after a dash"))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, item := range s.Values {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// shortened is the field of a mapping that is written without it, as a list or a text.
func shortened(n ast.Node, v reflect.Value) (reflect.Value, bool) {
	switch n.(type) {
	case *ast.SequenceNode:
		if s, ok := v.Interface().(interface{ listed() string }); ok {
			return fieldOf(v, s.listed())
		}
	case *ast.StringNode, *ast.LiteralNode:
		if s, ok := v.Interface().(interface{ texted() string }); ok {
			return fieldOf(v, s.texted())
		}
	}
	return reflect.Value{}, false
}

func (d *decoding) mapping(n ast.Node, v reflect.Value, path string) {
	values, ok := mappingValues(n)
	if !ok {
		d.add(path, cofre.Say("config.wants_mapping", "wants a mapping of keys to values, found {{.found}}", "found", kindOf(n)), knownKeys(keysOf(v.Type())))
		return
	}
	seen := map[string]place{}
	for _, entry := range values {
		where := placeOf(entry.Key)
		key, ok := keyText(entry.Key)
		if !ok {
			d.addAt(where, path, cofre.Say("config.key_not_text", "holds a key that is not plain text"), knownKeys(keysOf(v.Type())))
			continue
		}
		full := key
		if path != "" {
			full = path + "." + key
		}
		if first, twice := seen[key]; twice {
			d.addAt(where, full, cofre.Say("config.twice_in_line", "stands twice, first in line {{.line}}", "line", first.line), cofre.Message{})
			continue
		}
		seen[key] = where
		field, known := fieldOf(v, key)
		if !known {
			d.addAt(where, full, cofre.Say("config.unknown_key", "unknown key"), suggestion(key, keysOf(v.Type())))
			continue
		}
		d.at[full] = where
		if isNull(d.resolve(entry.Value)) {
			d.add(full, cofre.Say("config.no_value", "has no value"), cofre.Say("config.give_value", "leave the line out, or give it a value"))
			continue
		}
		d.at[full] = placeOf(entry.Value)
		d.value(entry.Value, field, full)
	}
}

// resolve follows anchors and aliases, and looks through tags.
func (d *decoding) resolve(n ast.Node) ast.Node {
	for range 30 {
		switch x := n.(type) {
		case *ast.AnchorNode:
			if x.Name != nil {
				d.anchors[nameOf(x.Name)] = x.Value
			}
			n = x.Value
		case *ast.AliasNode:
			n = d.anchors[nameOf(x.Value)]
		case *ast.TagNode:
			n = x.Value
		default:
			if isNil(n) {
				return nil
			}
			return n
		}
	}
	return nil
}

// isNil also finds the typed nil pointers that the parser leaves in malformed documents.
func isNil(n ast.Node) bool {
	if n == nil {
		return true
	}
	v := reflect.ValueOf(n)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return null
}

func nameOf(n ast.Node) string {
	if isNil(n) || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func mappingValues(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func keyText(k ast.MapKeyNode) (string, bool) {
	s, ok := k.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

func placeOf(n ast.Node) place {
	if isNil(n) {
		return place{1, 1}
	}
	t := n.GetToken()
	// The token of a mapping is its first colon; a reader looks for its first key.
	if values, ok := mappingValues(n); ok && len(values) > 0 && !isNil(values[0].Key) {
		t = values[0].Key.GetToken()
	}
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

func kindOf(n ast.Node) cofre.Message {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return cofre.Say("config.kind_text", "text")
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return cofre.Say("config.kind_number", "a number")
	case *ast.BoolNode:
		return cofre.Say("config.kind_bool", "true or false")
	case *ast.NullNode:
		return cofre.Say("config.kind_nothing", "nothing")
	case *ast.SequenceNode:
		return cofre.Say("config.kind_list", "a list")
	case *ast.MappingNode, *ast.MappingValueNode:
		return cofre.Say("config.kind_mapping", "a mapping")
	}
	return cofre.Say("config.kind_else", "something else")
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name == key && name != "-" && name != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" && name != "" {
			keys = append(keys, name)
		}
	}
	return keys
}

// suggestion names the known key that a person probably meant, or all of them.
func suggestion(key string, known []string) cofre.Message {
	if meant := nearest.Word(key, known); meant != "" {
		return cofre.Say("config.did_you_mean", "did you mean {{.key}}?", "key", meant)
	}
	return knownKeys(known)
}

func knownKeys(keys []string) cofre.Message {
	return cofre.Say("config.known_keys", "known keys: {{.keys}}", "keys", strings.Join(keys, ", "))
}
