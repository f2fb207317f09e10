package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/trustlayer/cofre"
)

// Example is a commented cofre.yaml with every key, for cofre init --write-config. It loads as it is.
func Example() string { return example }

//go:embed example.yml
var example string

// WriteExample writes Example to a file that does not exist, and syncs it.
//
// Errors: cofre.ErrExists; those of the file system.
func WriteExample(path string) error {
	// O_EXCL: a configuration that is there is never overwritten.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return cofre.WithHint(cofre.Fail(cofre.Say("export.write", "write {{.path}}", "path", path), cofre.ErrExists), cofre.Say("init.edit", "edit it, or name another with --config"))
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.WriteString(example)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
