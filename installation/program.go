package installation

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
)

// smallProgram is the part of cofre that PostgreSQL calls; it starts quicker.
const smallProgram = "cofre-wal"

// walCommand is how another process archives or fetches WAL with this configuration: by Program; or by cofre-wal, if it is beside the
// program that runs; or else by that program.
func (in *Installation) walCommand(verb string) ([]string, error) {
	program := in.Program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program to %s WAL with: %w", verb, err)
		}
		program = self
		if small := filepath.Join(filepath.Dir(self), smallProgram); executable(small) {
			program = small
		}
	}
	command := []string{program, "wal", verb}
	if filepath.Base(program) == smallProgram {
		command = []string{program, verb}
	}
	if in.cfg.Path != "" {
		command = append(command, "--config", in.cfg.Path)
	}
	return command, nil
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
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
