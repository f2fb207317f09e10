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
	// decodeText returns what is wrong, or "", and a hint.
	decodeText(d *decoding, text string) (what, hint string)
}

// parse reads the text as one YAML document. It returns nil, and the problem, where it is not one.
func (d *decoding) parse(text []byte) (root ast.Node) {
	defer func() {
		// YAML is large, and its parsers index into their tokens: a text that trips one is malformed, not fatal.
		if r := recover(); r != nil {
			root = nil
			d.addAt(place{1, 1}, "", "is not YAML", "")
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		where := place{1, 1}
		what := "is not YAML"
		var at interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &at) {
			what = "is not YAML: " + strings.TrimSpace(at.GetMessage())
			if t := at.GetToken(); t != nil && t.Position != nil {
				where = place{t.Position.Line, t.Position.Column}
			}
		}
		d.addAt(where, "", what, "")
		return nil
	}
	docs := slices.DeleteFunc(slices.Clone(file.Docs), func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch {
	case len(docs) == 0:
		d.addAt(place{1, 1}, "", "is empty", "cofre init --write-config writes one to begin with")
		return nil
	case len(docs) > 1:
		d.addAt(placeOf(docs[1].Body), "", "holds more than one document", "keep everything above the line ---")
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
		d.add(path, "holds an alias that leads nowhere", "")
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
		if what, hint := t.decodeText(d, text); what != "" {
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
			d.add(path, "wants true or false, found "+kindOf(n), "")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			d.add(path, "wants a whole number, found "+kindOf(n), "")
			return
		}
		number, err := strconv.ParseInt(fmt.Sprint(i.Value), 10, 32)
		if err != nil {
			d.add(path, "is a number out of range", "")
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
		d.add(path, "wants text, found "+kindOf(n), "put it between quotation marks")
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
		d.add(path, "wants text, found "+kindOf(n), "")
		return "", false
	}
	if text == "" {
		d.add(path, "is empty", "leave the line out, or give it a value")
		return "", false
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		d.add(path, "holds a control character", "")
		return "", false
	}
	return text, true
}

func (d *decoding) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(path, "wants a list, found "+kindOf(n), "write it as [first, second], or one a line after a dash")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, item := range s.Values {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoding) mapping(n ast.Node, v reflect.Value, path string) {
	values, ok := mappingValues(n)
	if !ok {
		d.add(path, "wants a mapping of keys to values, found "+kindOf(n), "known keys: "+strings.Join(keysOf(v.Type()), ", "))
		return
	}
	seen := map[string]place{}
	for _, entry := range values {
		where := placeOf(entry.Key)
		key, ok := keyText(entry.Key)
		if !ok {
			d.addAt(where, path, "holds a key that is not plain text", "known keys: "+strings.Join(keysOf(v.Type()), ", "))
			continue
		}
		full := key
		if path != "" {
			full = path + "." + key
		}
		if first, twice := seen[key]; twice {
			d.addAt(where, full, fmt.Sprintf("stands twice, first in line %d", first.line), "")
			continue
		}
		seen[key] = where
		field, known := fieldOf(v, key)
		if !known {
			d.addAt(where, full, "unknown key", suggestion(key, keysOf(v.Type())))
			continue
		}
		d.at[full] = where
		if isNull(d.resolve(entry.Value)) {
			d.add(full, "has no value", "leave the line out, or give it a value")
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

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	}
	return "something else"
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
func suggestion(key string, known []string) string {
	if meant := nearest.Word(key, known); meant != "" {
		return "did you mean " + meant + "?"
	}
	return "known keys: " + strings.Join(known, ", ")
}
