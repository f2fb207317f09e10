package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/restore"
)

// app is what every command may ask for, and nothing a command does not ask for is opened.
type app struct {
	stdio
	getenv func(string) string

	configFile string
	json       bool
	quiet      bool

	// printed is true once a JSON document is on stdout: there is exactly one.
	printed bool
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "cofre",
		Short: "Back up, keep, prove and restore an installation",
		Long: `cofre backs up an installation made of a PostgreSQL database, object buckets and configuration files, keeps
the backups encrypted and deduplicated, proves that they restore, and brings everything back.

A first time:
  cofre init --write-config      a commented cofre.yaml to fill in
  cofre init                     make the repository
  cofre doctor                   what stands in the way, and the line that changes it
  cofre backup                   one recovery point of everything configured
  cofre restore database latest --dry-run`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetHelpTemplate(`{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}
` + exitHelp())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	flags := root.PersistentFlags()
	flags.StringVarP(&a.configFile, "config", "c", "", "configuration `FILE` (default ./cofre.yaml, then /etc/cofre/cofre.yaml, then the environment)")
	flags.BoolVar(&a.json, "json", false, "one JSON document on stdout")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, only results, warnings and errors")
	root.AddCommand(commands(a)...)
	strict(root)
	// The shells' completions are cobra's own; ours is the sentence of its help.
	root.InitDefaultCompletionCmd()
	return root
}

// strict makes a wrong number of arguments a usage error that says how the command is called.
func strict(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			err := args(cmd, given)
			if err != nil && strings.Contains(err.Error(), "arg(s)") {
				err = cofre.WithHint(fmt.Errorf("wrong number of arguments: %d", len(given)), "%s", cmd.UseLine())
			}
			return usageError(cmd, err)
		}
	}
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

// usageError gives an error of the command line its exit code and the way to the help.
func usageError(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	hint := cofre.Hint(err)
	if hint == "" {
		hint = fmt.Sprintf("see %s --help", cmd.CommandPath())
	}
	return cofre.WithHint(&usage{err}, "%s", hint)
}

// usage marks an error of the command line without a word of its own.
type usage struct{ error }

func (u *usage) Unwrap() []error { return []error{u.error, errUsage} }

// errorDocument is how an error looks in JSON.
type errorDocument struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    string `json:"code"`
	Exit    int    `json:"exit"`
	// Problems is everything that is wrong with a configuration, where that is the error.
	Problems []config.Problem `json:"problems,omitempty"`
}

func documentOf(err error) *errorDocument {
	if err == nil {
		return nil
	}
	exit, code := exitCode(err)
	doc := &errorDocument{Message: oneLine(err), Hint: cofre.Hint(err), Code: code, Exit: exit}
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		doc.Problems = invalid.Problems
	}
	return doc
}

// finish reports how a command ended: one line and a hint on stderr and, with --json, a document on stdout where
// the command has not printed its own.
func (a *app) finish(ctx context.Context, err error) int {
	err = interrupted(ctx, err)
	code, _ := exitCode(err)
	if err == nil {
		return code
	}
	fmt.Fprintf(a.Err, "cofre: %s\n", forTerminal(err))
	if hint := cofre.Hint(err); hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", hint)
	}
	if a.json && !a.printed {
		// A stdout that cannot be written to leaves only the exit code, which is already that of an error.
		_ = a.document(struct {
			Error *errorDocument `json:"error"`
		}{documentOf(err)})
	}
	return code
}

// document prints the JSON document of a command.
func (a *app) document(v any) error {
	a.printed = true
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// forTerminal is oneLine, but for the problems of a configuration: they have a line each, as editors read them.
func forTerminal(err error) string {
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Error()
	}
	return oneLine(err)
}

// oneLine puts an error on one line: what a program said on several is separated by semicolons.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// leftBehind is what a failed restore could not remove.
func leftBehind(err error) error {
	var l *restore.LeftError
	if errors.As(err, &l) {
		return l.Left
	}
	return nil
}
