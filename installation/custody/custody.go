// Package custody looks at who else than this process's user may read or write the files that an installation believes: its
// configuration, the files with its secrets, its state directory, and the programs that its hooks run.
//
// It changes nothing and refuses nothing: what it finds is for doctor. Read Look first.
package custody

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/shell"
)

// Look says what others may read or write that they should not, each with the command that ends it; one line says that nothing was found.
func Look(cfg *config.Config) []cofre.Diagnosis {
	var wrong []cofre.Diagnosis
	add := func(err error) {
		if err == nil {
			return
		}
		d := cofre.NewDiagnosis(subject(), false, cofre.SayError(err), cofre.HintOf(err))
		if !slices.ContainsFunc(wrong, func(w cofre.Diagnosis) bool { return w.Detail == d.Detail }) { // a folder that several files are in
			wrong = append(wrong, d)
		}
	}
	if cfg.Path != "" {
		add(written(cfg.Path))
	}
	for _, file := range secretFiles(cfg) {
		add(read(file))
	}
	if state, err := cfg.StateFolder(); err == nil {
		add(there(inside.Own(state)))
	}
	for _, program := range programs(cfg.Hooks) {
		add(written(program))
	}
	if len(wrong) > 0 {
		return wrong
	}
	return []cofre.Diagnosis{cofre.NewDiagnosis(subject(), true, cofre.Say("doctor.files_kept", "nobody else writes the configuration, what hooks run and the state directory, or reads the files with passwords"), cofre.Message{})}
}

func subject() cofre.Message { return cofre.Say("doctor.files", "files of this host") }

// written says who else may write a file, or put another in its place.
func written(file string) error {
	full, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := there(inside.Own(full)); err != nil {
		return err
	}
	folder := filepath.Dir(full)
	if info, err := os.Stat(folder); err == nil && info.Mode()&fs.ModeSticky != 0 { // nobody replaces there what is another's
		return nil
	}
	return there(inside.Own(folder))
}

// there passes over what is not there, or cannot be looked at: who needs it says so.
func there(err error) error {
	if err == nil || cofre.HintOf(err).IsZero() {
		return nil
	}
	return err
}

// read says of a file with a secret that every user of the host can read it.
func read(file string) error {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 || given(file) || closed(file) {
		return nil
	}
	return cofre.WithHint(
		cofre.Fail(cofre.Say("doctor.secret_open", "every user of this host can read {{.file}}, which holds a secret", "file", file)),
		cofre.Say("doctor.secret_close", "chmod o= {{.word}}; and, if others use this host, change the secret", "word", shell.Quote(file)))
}

// given reports whether the file was put there by whoever runs this container, who alone says how.
func given(file string) bool {
	var st unix.Statfs_t
	return strings.HasPrefix(file, "/run/secrets/") || unix.Statfs(file, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// closed reports whether a folder above the file keeps others out.
func closed(file string) bool {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return false
	}
	for at := filepath.Dir(real); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o001 == 0 {
			return true
		}
		if at == filepath.Dir(at) {
			return false
		}
	}
}

// secretFiles are the files that references of the configuration lead to, and that of COFRE_PASSWORD_FILE.
func secretFiles(cfg *config.Config) []string {
	var files []string
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		if !v.CanInterface() {
			return
		}
		if s, ok := v.Interface().(config.Secret); ok {
			if file, ok := strings.CutPrefix(s.String(), "file:"); ok && !slices.Contains(files, file) {
				files = append(files, file)
			}
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				visit(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		}
	}
	visit(reflect.ValueOf(cfg))
	return files
}

// programs are the files that hooks begin with, each once. What a shell finds in no folder is left to the hook.
func programs(h config.Hooks) []string {
	var all []string
	for _, line := range slices.Concat(h.BeforeBackup, h.AfterBackup, h.BeforeRestore, h.AfterRestore) {
		for _, word := range strings.Fields(line) {
			word = strings.Trim(word, `"';`)
			found, err := exec.LookPath(word)
			if err == nil && !slices.Contains(all, found) && !system(found) {
				all = append(all, found)
			}
		}
	}
	return all
}

// system reports whether root alone keeps the file, as the programs of the system.
func system(file string) bool {
	info, err := os.Stat(file)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0 && (strings.HasPrefix(file, "/usr/") || strings.HasPrefix(file, "/bin/") || strings.HasPrefix(file, "/sbin/"))
}
