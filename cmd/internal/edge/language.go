package edge

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/language"
	figures "github.com/trustlayer/cofre/internal/words"
)

// typedLanguage is the flag --lang. It comes before the configuration and the environment.
type typedLanguage struct{ language.Language }

func (l *typedLanguage) Set(name string) (err error) {
	l.Language, err = language.Parse(name)
	return err
}

func (l *typedLanguage) String() string { return string(l.Language) }
func (l *typedLanguage) Type() string   { return "string" }

// spoken is the language of a call before a flag or a file is read: the help and a wrong command line are in it as well.
func (a *App) spoken(args []string) language.Language {
	for i, arg := range args {
		name, ok := strings.CutPrefix(arg, "--lang=")
		if arg == "--lang" && i+1 < len(args) {
			name, ok = args[i+1], true
		}
		if l, err := language.Parse(name); ok && err == nil {
			return l
		}
		if arg == "--" {
			break
		}
	}
	return language.FromEnvironment(a.Getenv)
}

// configured speaks the language of the configuration, if the person has typed none.
func (a *App) configured(name string) {
	if name == "" || a.lang.Language != "" {
		return
	}
	if l, err := language.Parse(name); err == nil {
		a.speaker = language.For(l)
	}
}

// Speaker says messages in the language of the person.
func (a *App) Speaker() *language.Speaker { return a.speaker }

// Text is a message in the language of the person.
func (a *App) Text(m cofre.Message) string { return a.Pasted(a.clocked(a.speaker.Say(m), m)) }

// Count writes a number with its thousands apart, as the language of the person has it: 200,000 or 200.000.
func (a *App) Count(n int64) string {
	if a.speaker.English() {
		return figures.Count(n)
	}
	return strings.ReplaceAll(figures.Count(n), ",", ".")
}

// Size writes a number of bytes as the language of the person has it: 1.5 MiB or 1,5 MiB.
func (a *App) Size(bytes int64) string { return a.speaker.Quantity(figures.Size(bytes)) }

// Took writes how long something took as the language of the person has it: 3.4s or 3,4s.
func (a *App) Took(d time.Duration) string { return a.speaker.Quantity(figures.Took(d)) }

// Error is an error on one line, in the language of the person.
func (a *App) Error(err error) string {
	return a.Pasted(a.clocked(a.speaker.Error(err), cofre.MessagesOf(err)...))
}

// Line prints a message on a line of its own.
func (a *App) Line(w io.Writer, m cofre.Message) { Say(w, "", a.Text(m)) }

// Beside is a text in the language of the person, by the messages that stand beside it.
func (a *App) Beside(text string, beside cofre.Messages) string { return a.Text(beside.Of(text)) }

// translate puts the help of every command into the language of the person. The English of a text is its name in the catalogue.
func (a *App) translate(root *cobra.Command) {
	if a.speaker.English() {
		return
	}
	root.InitDefaultHelpCmd()
	eachHelp(root, func(text *string) { *text = a.help(root.Name(), *text) })
	root.SetUsageTemplate(usageIn(a.speaker.Help))
}

// help is a text of the help in the language of the person. cobra writes the name of the program into its own.
func (a *App) help(program, english string) string {
	if text := a.speaker.Help(english); text != english {
		return text
	}
	return strings.ReplaceAll(a.speaker.Help(strings.ReplaceAll(english, program, "cofre")), "cofre", program)
}

// HelpTexts are the texts of the help of programs, in English: what the catalogue must have.
func HelpTexts(roots ...*cobra.Command) []string {
	all := []string{"default", "flags"}
	usageIn(func(english string) string { all = append(all, english); return english })
	for _, root := range roots {
		root.InitDefaultHelpCmd()
		eachHelp(root, func(text *string) {
			english := strings.TrimSpace(*text)
			if short := strings.ReplaceAll(english, root.Name(), "cofre"); slices.Contains(all, short) {
				english = short
			}
			all = append(all, english)
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// flagsOfHelp says what --help and --version do in the same words for every command.
func flagsOfHelp(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	for name, usage := range map[string]string{"help": "print this help", "version": "print the version"} {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Usage = usage
		}
	}
	for _, sub := range cmd.Commands() {
		flagsOfHelp(sub)
	}
}

// eachHelp calls do for every text of the help of a command and of those below it, which it may change.
func eachHelp(cmd *cobra.Command, do func(text *string)) {
	for _, text := range []*string{&cmd.Short, &cmd.Long} {
		if *text != "" {
			do(text)
		}
	}
	for _, g := range cmd.Groups() {
		do(&g.Title)
	}
	each := func(f *pflag.Flag) {
		if f.Usage != "" && !f.Hidden {
			do(&f.Usage)
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(each)
	cmd.PersistentFlags().VisitAll(each)
	for _, sub := range cmd.Commands() {
		eachHelp(sub, do)
	}
}

// WarningWord is what stands before a warning.
func WarningWord() cofre.Message { return cofre.Say("word.warning", "warning") }

// HintWord is what stands before a hint.
func HintWord() cofre.Message { return cofre.Say("word.hint", "hint") }

func (a *App) warn(m cofre.Message) { Say(a.Err, a.Text(WarningWord())+": ", a.Text(m)) }

// Spoken is the language of those for whom the configuration names none: what was typed, or that of the environment.
func (a *App) Spoken() language.Language {
	if a.lang.Language != "" {
		return a.lang.Language
	}
	return language.FromEnvironment(a.Getenv)
}
