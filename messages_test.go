package cofre_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre/internal/language"
)

var update = flag.Bool("update", false, "write the catalogue and the pages of messages anew")

const catalogue = "internal/language/pt_BR"

// spoken is a message as the source says it.
type spoken struct {
	code, one, many string // many: of SayN, else ""
	names           []string
	places          []string // packages
	at              token.Position
}

// messagesInSource reads every Say and SayN, and reports those that cannot be read: code and text are literals, and the names in
// the text are those of the arguments.
func messagesInSource(t *testing.T) map[string]*spoken {
	t.Helper()
	all := map[string]*spoken{}
	for dir, files := range goFiles(t) {
		for file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !isSay(f.Name.Name, call.Fun) {
					return true
				}
				said := readSay(t, fset, call)
				if said == nil {
					return true
				}
				known := all[said.code]
				if known == nil {
					all[said.code], known = said, said
				}
				if known.one != said.one || known.many != said.many {
					t.Errorf("%s: code %s has another text at %s: a code is of one sentence", said.at, said.code, known.at)
				}
				if !slices.Contains(known.places, dir) {
					known.places = append(known.places, dir)
					slices.Sort(known.places)
				}
				return true
			})
		}
	}
	return all
}

// isSay knows cofre.Say and cofre.SayN, and Say and SayN of the root itself.
func isSay(pkg string, fun ast.Expr) bool {
	name, ok := fun.(*ast.Ident)
	if s, selected := fun.(*ast.SelectorExpr); selected {
		of, isIdent := s.X.(*ast.Ident)
		if !isIdent || of.Name != "cofre" {
			return false
		}
		name, ok = s.Sel, true
	} else if pkg != "cofre" {
		return false
	}
	return ok && (name.Name == "Say" || name.Name == "SayN")
}

var (
	codeForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)+$`)
	argument = regexp.MustCompile(`\{\{\.([a-z][a-z0-9_]*)\}\}`)
)

func readSay(t *testing.T, fset *token.FileSet, call *ast.CallExpr) *spoken {
	t.Helper()
	said := &spoken{at: fset.Position(call.Pos())}
	text := func(n int) string {
		if n < len(call.Args) {
			if s, ok := literal(call.Args[n]); ok {
				return s
			}
		}
		t.Errorf("%s: argument %d is not a literal text: the code and the sentence are written where they are used", said.at, n+1)
		return ""
	}
	fun := call.Fun
	if s, ok := fun.(*ast.SelectorExpr); ok {
		fun = s.Sel
	}
	first := 2
	said.code = text(0)
	if fun.(*ast.Ident).Name == "SayN" {
		said.one, said.many, first = text(2), text(3), 4
		said.names = append(said.names, "n")
	} else {
		said.one = text(1)
	}
	if !codeForm.MatchString(said.code) {
		t.Errorf("%s: code %q is not of the form area.what", said.at, said.code)
		return nil
	}
	for i := first; i < len(call.Args); i += 2 {
		said.names = append(said.names, text(i))
	}
	if (len(call.Args)-first)%2 != 0 {
		t.Errorf("%s: %s: arguments are pairs of a name and a value", said.at, said.code)
	}
	// The sentence for one may leave the number out.
	if wrong := differ(said.names, namesIn(said.one+said.many)); wrong != "" {
		t.Errorf("%s: %s: %s", said.at, said.code, wrong)
	}
	return said
}

func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, okA := literal(e.X)
		b, okB := literal(e.Y)
		return a + b, okA && okB && e.Op == token.ADD
	}
	return "", false
}

func namesIn(text string) []string {
	var names []string
	for _, m := range argument.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

func differ(given, used []string) string {
	for _, n := range given {
		if !slices.Contains(used, n) {
			return "the text does not say the argument " + n
		}
	}
	for _, n := range used {
		if !slices.Contains(given, n) {
			return "the text says " + n + ", which is no argument"
		}
	}
	return ""
}

func readCatalogue(t *testing.T) []language.Entry {
	t.Helper()
	entries, err := language.ReadCatalogue(os.DirFS(catalogue))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// Each message is in the catalogue in the words that the source has now, translated, with the same arguments; and nothing else
// is there. With -update what is new gets a place, what is changed loses its translation, and what nothing says any more is
// taken away.
func TestEveryMessageIsTranslated(t *testing.T) {
	messages := messagesInSource(t)
	entries := readCatalogue(t)
	if *update {
		entries = renewed(entries, messages)
		if err := language.WriteCatalogue(catalogue, entries); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Context == language.HelpContext {
			continue // the test of the help in cmd/cofre looks at these
		}
		m := messages[e.Context]
		switch {
		case seen[e.Context]:
			t.Errorf("%s is there twice", e.Context)
		case m == nil:
			t.Errorf("%s is in the catalogue, and nothing says it any more: go test . -update takes it away", e.Context)
		case m.one != e.ID || m.many != e.PluralID:
			t.Errorf("%s: %s has other words now: go test . -update brings them, then translate them anew", m.at, e.Context)
		case !e.Translated():
			t.Errorf("%s: %s is not translated: write its msgstr in %s/%s", m.at, e.Context, catalogue, language.FileOf(e.Context))
		default:
			checkNames(t, m, e)
		}
		seen[e.Context] = true
	}
	for _, code := range slices.Sorted(maps.Keys(messages)) {
		if !seen[code] {
			t.Errorf("%s: %s is not in the catalogue: go test . -update brings it, then translate it in %s/%s", messages[code].at, code, catalogue, language.FileOf(code))
		}
	}
}

func checkNames(t *testing.T, m *spoken, e language.Entry) {
	t.Helper()
	// Both forms say the number: in Portuguese the first is also that of 0.
	for _, text := range e.Translation {
		if wrong := differ(m.names, namesIn(text)); wrong != "" {
			t.Errorf("%s: the translation of %s: %s", m.at, e.Context, wrong)
		}
		if text != "" && strings.Count(text, "\n") != strings.Count(e.ID, "\n") {
			t.Errorf("the translation of %s has not as many lines as its English: is it there twice? %s", e.Context, text)
		}
		if strings.Count(text, "{{") != len(namesIn(text)) {
			t.Errorf("the translation of %s has braces that are no argument: %s", e.Context, text)
		}
	}
}

func renewed(entries []language.Entry, messages map[string]*spoken) []language.Entry {
	var kept []language.Entry
	known := map[string]language.Entry{}
	for _, e := range entries {
		if e.Context == language.HelpContext {
			kept = append(kept, e)
			continue
		}
		known[e.Context] = e
	}
	for code, m := range messages {
		e := language.Entry{Context: code, ID: m.one, PluralID: m.many, Places: m.places}
		if old, ok := known[code]; ok && old.ID == e.ID && old.PluralID == e.PluralID {
			e.Translation = old.Translation
		}
		kept = append(kept, e)
	}
	return kept
}

// sentences are the fields in which a text for a person stands, by their type; one that is not of the vocabulary has its package.
var sentences = map[string][]string{
	"Problem": {"What", "Hint"}, "Step": {"Verb", "Object", "Detail"}, "Finding": {"What"}, "Diagnosis": {"Subject", "Detail", "Hint"},
	"Plan": {"Title", "Notes"}, "Event": {"Text", "Task"}, "Captured": {"Warnings"},
	"Checked": {"What", "Want", "Got", "Accepted"}, "Proof": {"NotCompared", "Of"}, "config.Problem": {"What", "Hint"},
}

// notYetSaid is how many places of a package are left that give a person a sentence without a code. They may only grow fewer: write
// cofre.Say in a new place, as docs/contributing/messages.md says, and lower the number with each that is converted.
var notYetSaid = map[string]int{
	"demo":                       1, // a line of what differs in the demonstration
	"postgres/logical/restoring": 2, // what a record of the repository says of damage
	"repository":                 1, // the same
	"repository/told":            3, // the same
}

func TestSentencesWithoutACodeOnlyGrowFewer(t *testing.T) {
	for _, p := range typed(t) {
		places := p.unsaid()
		if len(places) == 0 {
			continue
		}
		t.Logf("%4d %s", len(places), p.path)
		if testing.Verbose() {
			for _, at := range places {
				t.Log("       " + at)
			}
		}
		if was := notYetSaid[p.path]; len(places) > was {
			t.Errorf("%s: %d places give a person a sentence without a code, and there were %d: say it with cofre.Say (docs/contributing/messages.md)", p.path, len(places), was)
		}
	}
}

// typedPackage is one package as the compiler sees it.
type typedPackage struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// typed is every package of the module with its types, read once.
func typed(t *testing.T) []typedPackage {
	t.Helper()
	all, err := readTyped()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What the packages import is taken from the build cache.
var readTyped = sync.OnceValues(func() ([]typedPackage, error) {
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles,DepOnly", "./...").Output()
	if err != nil {
		return nil, err
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
		DepOnly                 bool
	}
	exports := map[string]string{}
	var own []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			own = append(own, p)
		}
	}
	fset := token.NewFileSet()
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	var all []typedPackage
	for _, p := range own {
		one := typedPackage{path: strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"), fset: fset, info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
			Instances: map[*ast.Ident]types.Instance{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		}}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				return nil, err
			}
			one.files = append(one.files, f)
		}
		if _, err := conf.Check(p.ImportPath, fset, one.files, one.info); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
})

// unsaid lists the places of a package where a sentence for a person is a text. A function that is given the sentence counts once for
// each call of it.
func (p *typedPackage) unsaid() []string {
	if p.path == "" {
		return nil // the vocabulary makes the texts of its messages
	}
	var places []string
	carriers := map[types.Object]bool{}
	for _, f := range p.files {
		var enclosing []ast.Node
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				enclosing = enclosing[:len(enclosing)-1]
				return true
			}
			if p.isUnsaid(n) {
				if given := p.givenBy(enclosing, n); given != nil {
					carriers[given] = true
				} else {
					places = append(places, p.place(n))
				}
			}
			enclosing = append(enclosing, n)
			return true
		})
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && carriers[p.called(call)] {
				places = append(places, p.place(n))
			}
			return true
		})
	}
	return places
}

func (p *typedPackage) place(n ast.Node) string {
	at := p.fset.Position(n.Pos())
	return filepath.Base(at.Filename) + ":" + strconv.Itoa(at.Line)
}

func (p *typedPackage) called(call *ast.CallExpr) types.Object {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return p.info.Uses[fun]
	case *ast.SelectorExpr:
		return p.info.Uses[fun.Sel]
	}
	return nil
}

// reasons are the arguments of messages that are sentences themselves: as a text they are English in every language.
var reasons = []string{"why", "what", "detail", "state", "stop"}

// isUnsaid knows a hint that is a format, a field of the vocabulary that is filled with a text, a reason in a message that is one, and
// what a command prints itself.
func (p *typedPackage) isUnsaid(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		callee := p.called(n)
		if callee == nil || callee.Pkg() == nil {
			return false
		}
		switch {
		case callee.Name() == "WithHint" && callee.Pkg().Path() == module:
			of := p.info.Types[n.Args[1]].Type
			basic, ok := of.Underlying().(*types.Basic)
			return ok && basic.Info()&types.IsString != 0
		case callee.Pkg().Path() == module && strings.HasPrefix(callee.Name(), "Say"):
			return slices.ContainsFunc(n.Args[1:], func(a ast.Expr) bool {
				i := slices.Index(n.Args, a)
				name, ok := literal(n.Args[i-1])
				return ok && slices.Contains(reasons, name) && p.isText(a)
			})
		case callee.Pkg().Path() == "fmt" && strings.HasPrefix(callee.Name(), "Fprint") && strings.HasPrefix(p.path, "cmd/"):
			return slices.ContainsFunc(n.Args[1:], func(a ast.Expr) bool {
				text, ok := literal(a)
				return ok && sentenceWords.MatchString(text)
			})
		}
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				key, ok := kv.Key.(*ast.Ident)
				if ok && slices.Contains(sentences[p.vocabulary(n)], key.Name) && !(p.isMessageText(kv.Value) && hasMessages(n)) {
					return true
				}
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if s, ok := left.(*ast.SelectorExpr); ok && slices.Contains(sentences[p.vocabulary(s.X)], s.Sel.Name) {
				return i >= len(n.Rhs) || !p.emptied(n.Rhs[i])
			}
		}
	}
	return false
}

func (p *typedPackage) isText(e ast.Expr) bool {
	basic, ok := p.info.Types[e].Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsString != 0
}

// isMessageText reports whether a value is the text of a message, and hasMessages whether a literal has messages beside its texts.
func (p *typedPackage) isMessageText(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Text" && p.vocabulary(s.X) == "Message"
}

func hasMessages(lit *ast.CompositeLit) bool {
	return slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		kv, ok := e.(*ast.KeyValueExpr)
		key, named := kv.Key.(*ast.Ident)
		return ok && named && key.Name == "Messages"
	})
}

var sentenceWords = regexp.MustCompile(`[a-z]{3,} [a-z]{2,}|[a-z]{3,}: `)

func (p *typedPackage) emptied(e ast.Expr) bool {
	v := p.info.Types[e]
	return v.IsNil() || v.Value != nil && v.Value.ExactString() == `""`
}

// vocabulary is the name of the type of an expression, with its package unless that is cofre.
func (p *typedPackage) vocabulary(e ast.Expr) string {
	of := p.info.Types[e].Type
	if ptr, ok := of.(*types.Pointer); ok {
		of = ptr.Elem()
	}
	named, ok := of.(*types.Named)
	if !ok || named.Obj().Pkg() == nil {
		return ""
	}
	if pkg, ok := strings.CutPrefix(named.Obj().Pkg().Path(), module+"/"); ok {
		return pkg + "." + named.Obj().Name()
	} else if pkg != module {
		return ""
	}
	return named.Obj().Name()
}

// givenBy is the innermost function around a place that has a parameter of text and uses it there: it is given the sentence.
func (p *typedPackage) givenBy(enclosing []ast.Node, at ast.Node) types.Object {
	for i, around := range slices.Backward(enclosing) {
		switch around := around.(type) {
		case *ast.FuncDecl:
			if p.usesText(around.Type, at) {
				return p.info.Defs[around.Name]
			}
			return nil
		case *ast.FuncLit:
			if !p.usesText(around.Type, at) {
				continue
			}
			if assigned, ok := enclosing[i-1].(*ast.AssignStmt); ok && len(assigned.Lhs) == 1 {
				if name, ok := assigned.Lhs[0].(*ast.Ident); ok {
					return p.info.Defs[name]
				}
			}
		}
	}
	return nil
}

func (p *typedPackage) usesText(fun *ast.FuncType, at ast.Node) bool {
	params := map[types.Object]bool{}
	for _, field := range fun.Params.List {
		if basic, ok := p.info.Types[field.Type].Type.Underlying().(*types.Basic); ok && basic.Kind() == types.String {
			for _, name := range field.Names {
				params[p.info.Defs[name]] = true
			}
		}
	}
	used := false
	ast.Inspect(at, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && params[p.info.Uses[id]] && slices.Contains([]string{"text", "format", "what", "hint", "why", "detail", "verb"}, id.Name) {
			used = true
		}
		return true
	})
	return used
}
