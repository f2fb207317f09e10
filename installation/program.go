package installation

import (
	"fmt"
	"strings"

	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
)

// walCommand is how another process archives or fetches WAL with this configuration.
func (in *Installation) walCommand(verb string) ([]string, error) {
	return walstore.Program(in.Program, in.cfg.Path, verb)
}

// restoreCommand is how a restored server fetches WAL; "" if the WAL in the base backup is enough.
func (in *Installation) restoreCommand(w way, spaces map[string]string) (string, error) {
	if w.recovery == nil {
		return "", nil
	}
	args, err := in.walCommand("fetch")
	if err != nil {
		return "", err
	}
	args = append(args, "--spool", datadir.SpoolDir, "--claim", fmt.Sprint(w.target.Timeline), "--used", fmt.Sprint(w.used))
	if edits := restoring.WALEdits(w.recovery, spaces); edits != "" {
		args = append(args, "--edits", edits)
	}
	for i, arg := range args {
		// In restore_command a percent sign begins a placeholder.
		args[i] = shell.Quote(strings.ReplaceAll(arg, "%", "%%"))
	}
	return strings.Join(args, " ") + ` %f "%p"`, nil
}
