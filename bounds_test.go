package cofre_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// readWhole names the files that read something whole without a limit in the call, and why they may.
var readWhole = map[string]string{
	"postgres/physical/adopting/adopt.go": "files of a data directory",
	"postgres/physical/view/view.go":      "files of /proc, and of a data directory",
	"postgres/ctl.go":                     "PG_VERSION",
	"postgres/wal/ahead.go":               "histories of pg_wal, and a file that this program has written",
	"postgres/wal/archive.go":             "a file of pg_wal that the server hands over",
	"postgres/wal/fetch/ahead.go":         "a segment that this program has written into a spool of its own",
	"postgres/wal/fetch/fetch.go":         "a history of pg_wal",
	"postgres/wal/keys.go":                "a file that this program has written",
	"postgres/wal/origin/key.go":          "the key of this host",
	"postgres/wal/stream/spool.go":        "a segment that this program has received",
	"bucket/supabase/store.go":            "the certificates that a configuration names",
	"internal/s3client/s3client.go":       "the certificates that a configuration names",
	"internal/secret/secret.go":           "a file that a configuration names",
	"internal/durable/lock.go":            "a file of /proc",
	"lease/process.go":                    "files of /proc",
	"store/temp.go":                       "a file of /proc",
	"store/sizes.go":                      "a cache of this machine, with a checksum",
	"repository/blobs/index_cache.go":     "a cache of this machine, with a hash",
	"repository/published/memory.go":      "a cache of this machine, sealed",
	"cmd/cofre/kit.go":                    "a file that a person names",
	"demo/files_print.go":                 "what the demonstration has made",
}

// TestNothingIsReadWholeWithoutALimit: what comes from a store, a server or a file of somebody else is read within a limit that fits its kind, by bounded.All,
// bounded.Read, inside.ReadFile or an io.LimitReader. Whoever has a reason not to writes it into readWhole.
func TestNothingIsReadWholeWithoutALimit(t *testing.T) {
	seen := map[string]bool{}
	for dir, files := range goFiles(t) {
		for file := range files {
			if isKit(dir) || dir == "bench" || dir == "internal/testkit" || len(file) > 8 && file[len(file)-8:] == "_test.go" {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 1 {
					return true
				}
				what := selected(call)
				if what != "io.ReadAll" && what != "os.ReadFile" {
					return true
				}
				if inner, ok := call.Args[0].(*ast.CallExpr); ok && selected(inner) == "io.LimitReader" {
					return true
				}
				if name, ok := call.Args[0].(*ast.Ident); ok && name.Name == "limited" {
					return true
				}
				seen[file] = true
				if readWhole[file] == "" {
					t.Errorf("%s: %s without a limit: see bounded.All and inside.ReadFile, or write the reason into readWhole", set.Position(call.Pos()), what)
				}
				return true
			})
		}
	}
	for file := range readWhole {
		if !seen[file] {
			t.Errorf("%s reads nothing whole any more: take it out of readWhole", file)
		}
	}
}

// selected is the name of a function of a package that is called.
func selected(call *ast.CallExpr) string {
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		if p, ok := s.X.(*ast.Ident); ok {
			return p.Name + "." + s.Sel.Name
		}
	}
	return ""
}
