package walstore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// smallProgram is the part of cofre that PostgreSQL calls; it starts quicker.
const smallProgram = "cofre-wal"

// Program is how another process archives or fetches WAL with a configuration: by the program that is named; or by cofre-wal, if it is beside the
// program that runs; or else by that program.
//
// Errors: that this program cannot be found.
func Program(named, config, verb string) ([]string, error) {
	program := named
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
	if config != "" {
		command = append(command, "--config", config)
	}
	return command, nil
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}
