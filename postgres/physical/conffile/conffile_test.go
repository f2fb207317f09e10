package conffile

import (
	"errors"
	"os"
	"testing"
)

// TestInliner writes what a file includes in its place, and keeps the original's places as comments.
func TestInliner(t *testing.T) {
	files := map[string]string{
		"/etc/main/postgresql.conf": "a = 1\ndata_directory = '/var/lib/x' # there\n\tHBA_FILE='/etc/x'\r\n#include 'no'\ninclude_dir='conf.d'\ninclude_if_exists = none\nincluded = on\ninclude \"it's\"",
		"/etc/main/conf.d/b.conf":   "b = 2\ninclude 'sub/c'\n", "/etc/main/conf.d/sub/c": "c = 3",
		"/etc/main/conf.d/.h.conf": "h = 1\n", "/etc/main/conf.d/x": "x = 1\n", "/etc/main/it's": "d = 4\n", "/loop": "include loop\n",
	}
	in := Inliner{
		Read: func(name string) ([]byte, error) {
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		},
		List: func(dir string) ([]string, error) { return []string{"x", "b.conf", ".h.conf"}, nil },
	}
	got, err := in.File("/etc/main/postgresql.conf", 0)
	if err != nil {
		t.Fatal(err)
	}
	want := `a = 1
# of the original: data_directory = '/var/lib/x' # there
# of the original: HBA_FILE='/etc/x'
#include 'no'
# include_dir='conf.d'
# begin of /etc/main/conf.d/b.conf
b = 2
# include 'sub/c'
# begin of /etc/main/conf.d/sub/c
c = 3
# end of /etc/main/conf.d/sub/c
# end of /etc/main/conf.d/b.conf
# include_if_exists = none
included = on
# include "it's"
# begin of /etc/main/it's
d = 4
# end of /etc/main/it's
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	files["/etc/main/postgresql.conf"] = "include 'none'\n"
	if _, err := in.File("/etc/main/postgresql.conf", 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that must be there: %v", err)
	}
	if _, err := in.File("/loop", 0); err == nil {
		t.Error("a file that includes itself was read")
	}
}
