// Package edge is what the programs of cofre have in common: streams, flags and settings, errors as text, JSON and exit
// codes, and the two commands that PostgreSQL itself calls. It knows no repository: what it imports, each segment of
// WAL pays for. Read app.go, then exit.go.
package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/language"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/restore"
)

// App is one call of a program: its streams, its environment, and the flags that every command has. Nothing a
// command does not ask for is opened.
type App struct {
	Stdio
	Getenv func(string) string

	ConfigFile string
	JSON       bool
	Quiet      bool

	// Zone is that of the times on the screen; nil is the machine's.
	Zone *time.Location
	// Refused is said instead of the error of a plan that was refused, if the plan is on the screen; nil if none is.
	Refused error

	lang    typedLanguage
	speaker *language.Speaker // of the person; nil speaks English

	eventsFile string
	events     *observe.Lines // of --events; nil without it

	// printed is true once a JSON document is on stdout: there is exactly one.
	printed bool

	// log is where LogTo has everything said from then on; it is set by Run, and read by other goroutines.
	log *atomic.Pointer[slog.Logger]
}

// Stdio is the terminal or the pipes of one call. Data goes to Out; talk, questions and bars go to Err.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// System is what the operating system gave this process.
func System() App {
	return App{Stdio: Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, Getenv: os.Getenv}
}

// Root makes the root of a program: what every command has in common is added to it.
func (a *App) Root(root *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = Version()
	root.SetVersionTemplate(versionLine(root.Name()) + "\n")
	cobra.AddTemplateFuncs(a.helpFunctions())
	cobra.EnableCommandSorting = false
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageIn(asItIs))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return UsageError(cmd, flagError(cmd, err)) })
	flags := root.PersistentFlags()
	flags.StringVarP(&a.ConfigFile, "config", "c", "", "configuration `FILE` (default ./cofre.yaml, then /etc/cofre/cofre.yaml, then the environment)")
	flags.Var(&a.lang, "lang", "`LANGUAGE` of what is printed: en or pt-BR (default: that of the configuration, or of LANG)")
	flags.BoolVar(&a.JSON, "json", false, "one JSON document on stdout")
	flags.StringVar(&a.eventsFile, "events", "", "append every event to `FILE`, one JSON document a line")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.follow() }
	flags.BoolVarP(&a.Quiet, "quiet", "q", false, "print nothing if nothing is wrong, apart from what was asked for")
	for _, c := range commands {
		if c.GroupID != "" && !root.ContainsGroup(c.GroupID) {
			root.AddGroup(&cobra.Group{ID: c.GroupID, Title: c.GroupID})
		}
	}
	root.AddCommand(commands...)
	root.AddCommand(a.newExitCodesTopic())
	family(root)
	strict(root)
	bounded(root)
	// The shells' completions are cobra's own; ours is the sentence of its help.
	root.InitDefaultCompletionCmd()
	flagsOfHelp(root)
	return root
}

// LogTo has what is otherwise said to a person on stderr be lines of a log: who reads the log of a command that writes one expects nothing else there.
func (a *App) LogTo(l *slog.Logger) { a.log.Store(l) }

// logged is the log of a command that writes one; nil without it.
func (a *App) logged() *slog.Logger { return a.log.Load() }

// waits says what is waited for.
func (a *App) waits(m cofre.Message) {
	if a.Quiet { // what ends well was nothing, and what does not is the error
		return
	}
	waiting := cofre.Say("edge.waiting", "waiting: {{.what}}", "what", m)
	if log := a.logged(); log != nil {
		log.Info("note", "text", a.Text(waiting))
		return
	}
	a.Line(a.Err, waiting)
}

// Run carries out one command line and returns the exit code.
func (a *App) Run(ctx context.Context, root *cobra.Command, args []string) int {
	a.log = new(atomic.Pointer[slog.Logger])
	ctx = s3client.WithTeller(ctx, a.waits)
	// A wrong flag ends the reading of the command line, possibly before --json is read.
	a.JSON = slices.Contains(args, "--json")
	a.speaker = language.For(a.spoken(args))
	ctx, stop := a.interruptible(ctx)
	defer stop()
	a.translate(root)
	out := newOutput(a.Out)
	a.Out, a.Err = out, newOutput(a.Err)
	if err := noPasswords(root, args); err != nil {
		return a.finish(ctx, err)
	}
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	called, err := root.ExecuteContextC(ctx)
	if out.raw.err != nil {
		err = errors.Join(err, fmt.Errorf("%w: %w", errOutput, out.raw.err))
	}
	return a.finish(ctx, forServer(called, err))
}

// interruptible cancels ctx at the first SIGINT or SIGTERM, so that the command cleans up, and ends the process
// at the second: what that leaves is invisible in the repository and is found again by the next run.
func (a *App) interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	told := a.Text(cofre.Say("edge.interrupted", "interrupted, cleaning up (once more ends at once)"))
	go func() {
		select {
		case <-signals:
			if log := a.logged(); log != nil {
				log.Info("note", "text", told)
			} else {
				fmt.Fprintln(a.Err, "\ncofre: "+told)
			}
			cancel(cofre.ErrInterrupted)
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(ExitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// family makes a command that only has others say which, and which one may have been meant.
func family(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		family(sub)
	}
	if cmd.HasSubCommands() && cmd.RunE == nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(cmd, given[0])
			}
			return nil
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// strict makes a wrong number of arguments a usage error that says how the command is called.
func strict(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			err := args(cmd, given)
			if err != nil && strings.Contains(err.Error(), "arg(s)") {
				err = cofre.WithHint(cofre.Fail(cofre.Say("usage.arguments", "wrong number of arguments: {{.given}}", "given", len(given))), usageLine(cmd))
			}
			if err != nil && strings.HasPrefix(err.Error(), "unknown command") && !cmd.HasSubCommands() {
				err = cofre.WithHint(cofre.Fail(cofre.Say("usage.no_arguments", "{{.command}} takes no arguments, and was given \"{{.word}}\"", "command", cmd.CommandPath(), "word", given[0])), usageLine(cmd))
			}
			return UsageError(cmd, err)
		}
	}
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

// usageLine says how a command is called.
func usageLine(cmd *cobra.Command) cofre.Message {
	if line, ok := strings.CutSuffix(cmd.UseLine(), " [flags]"); ok {
		return cofre.Say("usage.line", "{{.line}} [flags]", "line", line)
	}
	return cofre.Verbatim(cmd.UseLine())
}

// UsageError gives an error of the command line its exit code and the way to the help.
func UsageError(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	hint := cofre.HintOf(err)
	if hint.IsZero() {
		hint = cofre.Say("usage.help", "see {{.command}} --help", "command", cmd.CommandPath())
	}
	return cofre.WithHint(Usage(err), hint)
}

// usage marks an error of the command line without a word of its own.
type usage struct{ error }

// Usage makes an error one of the command line: it exits with ExitUsage.
func Usage(err error) error { return &usage{err} }

func (u *usage) Unwrap() []error { return []error{u.error, errUsage} }

// ErrorDocument is how an error looks in JSON.
type ErrorDocument struct {
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
	Code    cofre.Code `json:"code"`
	Exit    int        `json:"exit"`
	// Messages are of the hint, and of the sentences and conditions that the message is made of.
	Messages cofre.Messages `json:"messages,omitempty"`
	// Problems is everything that is wrong with a configuration, if that is the error.
	Problems []config.Problem `json:"problems,omitempty"`
}

// DocumentOf is an error as it looks in JSON, or nil if there is none.
func DocumentOf(err error) *ErrorDocument {
	if err == nil {
		return nil
	}
	exit, code := ExitCode(err)
	doc := &ErrorDocument{Message: cofre.OneLine(err), Hint: cofre.Hint(err), Code: code, Exit: exit, Messages: cofre.MessagesOf(err)}
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		doc.Problems = invalid.Problems
	}
	return doc
}

// finish reports how a command ended: one line and a hint on stderr and, with --json, a document on stdout if
// the command has not printed its own.
func (a *App) finish(ctx context.Context, err error) int {
	err = Interrupted(ctx, err)
	code, _ := ExitCode(err)
	if err == nil {
		return code
	}
	if a.Refused != nil && errors.Is(err, cofre.ErrPreflight) {
		Say(a.Err, "cofre: ", a.forTerminal(a.Refused))
		return code
	}
	hint := cofre.HintOf(err)
	if log := a.logged(); log != nil {
		var more []any
		if !hint.IsZero() {
			more = []any{"hint", a.Text(hint)}
		}
		log.Error(a.forTerminal(err), more...)
		return code
	}
	Say(a.Err, "cofre: ", a.forTerminal(err))
	if !hint.IsZero() {
		Say(a.Err, a.Text(HintWord())+": ", a.Text(hint))
	}
	if a.JSON && !a.printed {
		// A stdout that cannot be written to leaves only the exit code, which is already that of an error.
		_ = a.Document(struct {
			Error *ErrorDocument `json:"error"`
		}{DocumentOf(err)})
	}
	return code
}

// Document prints the JSON document of a command.
func (a *App) Document(v any) error {
	a.printed = true
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(noNulls(v))
	if err == nil {
		_, err = cofre.PrintableJSON(Raw(a.Out)).Write(a.pastedHints(text.Bytes())) // names stay as they are
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// hintField is a hint in an indented document: it has a line of its own.
var hintField = regexp.MustCompile(`(?m)^( *"hint": )("(?:[^"\\]|\\.)*")`)

// pastedHints is a document with the commands in its hints as this person has to type them.
func (a *App) pastedHints(document []byte) []byte {
	if a.ConfigFile == "" || !bytes.Contains(document, []byte(`"hint": `)) { // as in a list of all points
		return document
	}
	return hintField.ReplaceAllFunc(document, func(field []byte) []byte {
		in := hintField.FindSubmatch(field)
		var hint string
		if json.Unmarshal(in[2], &hint) != nil {
			return field
		}
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if enc.Encode(a.Pasted(hint)) != nil {
			return field
		}
		return slices.Concat(in[1], bytes.TrimSpace(text.Bytes()))
	})
}

// forTerminal is an error on one line. The problems of a configuration have a line each, as editors read them.
func (a *App) forTerminal(err error) string {
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		return invalid.In(a.speaker.Say)
	}
	return a.Error(err)
}

// leftBehind is what a failed restore could not remove.
func leftBehind(err error) error {
	var l *restore.LeftError
	if errors.As(err, &l) {
		return l.Left
	}
	return nil
}
