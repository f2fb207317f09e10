package edge

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/nearest"
	"github.com/trustlayer/cofre/internal/pattern"
)

// helpWidth is the width that every help fits into: a terminal of the usual 80 columns.
const helpWidth = 80

// helpTemplate is the long text, the usage, and where the exit codes are.
const helpTemplate = `{{with (or .Long .Short)}}{{wrap .}}
{{end}}{{if or .Runnable .HasSubCommands}}
{{.UsageString}}{{end}}`

// usageTemplate is cobra's, with flags and sentences that fit into helpWidth. What is between [[ and ]] is for a person.
const usageTemplate = `[[Usage:]]{{if .Runnable}}{{if .HasParent}}
  {{useline .}}{{end}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [[COMMAND]]{{$commands := .Commands}}{{$parent := .}}{{if .Groups}}{{range $group := .Groups}}

{{.Title}}:{{range $commands}}{{if eq .GroupID $group.ID}}
{{short $parent .}}{{end}}{{end}}{{end}}

[[More:]]{{else}}

[[Commands:]]{{end}}{{range $commands}}{{if and (eq .GroupID "") (or .IsAvailableCommand .IsAdditionalHelpTopicCommand)}}
{{short $parent .}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

[[Flags:]]
{{flags .LocalFlags}}{{end}}{{if .HasAvailableInheritedFlags}}

[[Flags of every command:]]
{{flags .InheritedFlags}}{{end}}{{if .HasAvailableSubCommands}}

{{wrap (printf "[[%s COMMAND --help says more about a command.]]" .CommandPath)}}{{end}}

[[What each exit code means:]] {{.Root.Name}} help exit-codes
`

// words are what is between [[ and ]] in usageTemplate.
var words = pattern.Lazy(`\[\[(.*?)\]\]`)

// usageIn is usageTemplate with its words as say renders them.
func usageIn(say func(english string) string) string {
	return words().ReplaceAllStringFunc(usageTemplate, func(word string) string { return say(word[2 : len(word)-2]) })
}

func asItIs(english string) string { return english }

func (a *App) helpFunctions() map[string]any {
	return map[string]any{
		"wrap": func(text string) string { return Wrap(strings.TrimSpace(text), helpWidth) },
		"flags": func(set *pflag.FlagSet) string {
			usages := aligned(strings.TrimRight(set.FlagUsagesWrapped(helpWidth), " \n"))
			return strings.ReplaceAll(usages, "(default", "("+a.speaker.Help("default"))
		},
		"useline": func(cmd *cobra.Command) string {
			return strings.Replace(cmd.UseLine(), "[flags]", "["+a.speaker.Help("flags")+"]", 1)
		},
		"short": func(parent, cmd *cobra.Command) string {
			width := 0
			for _, c := range parent.Commands() {
				width = max(width, len(c.Name()))
			}
			return Hang(fmt.Sprintf("  %-*s  ", width, cmd.Name()), cmd.Short, helpWidth)
		},
	}
}

// flagLead is what stands before the text of a flag.
var flagLead = pattern.Lazy(`(?m)^ +(?:-\w, )?--[\w-]+(?: \S+)*  `)

// aligned moves the texts of flags under one another: pflag counts the bytes of what is before them, and not the letters.
func aligned(usages string) string {
	return flagLead().ReplaceAllStringFunc(usages, func(lead string) string {
		return lead + strings.Repeat(" ", len(lead)-utf8.RuneCountInString(lead))
	})
}

// Wrap breaks the lines of a text so that none is wider than width, if its words allow that. Paragraphs are filled anew;
// lines that begin with a blank are commands, which stay, and lists of words with what they mean, which may go on in lines under it.
func Wrap(text string, width int) string {
	var out []string
	var words []string
	lead := "" // of the list's item whose meaning the words are
	flush := func() {
		if len(words) > 0 {
			out = append(out, Hang(lead, strings.Join(words, " "), width))
		}
		words, lead = nil, ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			head := line[:strings.LastIndex(line, "   ")+1]
			if head != "" {
				head = line[:len(head)+2]
			}
			goesOn := strings.TrimSpace(head) == "" && utf8.RuneCountInString(head) == utf8.RuneCountInString(lead)
			if lead == "" || !goesOn {
				flush()
			}
			switch {
			case lead != "", strings.TrimSpace(head) != "":
				lead = cmp.Or(lead, head)
				words = append(words, strings.Fields(line[len(head):])...)
			default:
				out = append(out, line)
			}
			continue
		}
		if lead != "" {
			flush()
		}
		words = append(words, strings.Fields(line)...)
	}
	flush()
	return strings.Join(out, "\n")
}

// Hang writes text after lead, and under it as far as it takes more than one line.
func Hang(lead, text string, width int) string {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	var b strings.Builder
	line := lead
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, " %", "\x00%")) {
		word = strings.ReplaceAll(word, "\x00", " ") // 100 % is one word
		switch {
		case line == lead:
			line += word
		case len([]rune(line))+1+len([]rune(word)) > width:
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	return b.String() + line
}

// newExitCodesTopic is the one place of the help that lists the exit codes.
func (a *App) newExitCodesTopic() *cobra.Command {
	topic := &cobra.Command{Use: "exit-codes", Short: "What each exit code means"}
	topic.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprint(cmd.OutOrStdout(), exitHelp(a.speaker.Say)) })
	return topic
}

// unknownCommand is the error of a word that is no command, with the command that may have been meant.
func unknownCommand(cmd *cobra.Command, word string) error {
	err := cofre.Fail(cofre.Say("usage.unknown_command", `unknown command "{{.word}}" for "{{.command}}"`, "word", word, "command", cmd.CommandPath()))
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(word); len(meant) > 0 {
		return cofre.WithHint(err, didYouMean(cmd.CommandPath()+" "+meant[0]))
	}
	return err
}

func didYouMean(command string) cofre.Message {
	return cofre.Say("usage.did_you_mean", "did you mean: {{.command}}", "command", command)
}

// flagError is an error of pflag as a message. What a flag itself said of its value stays.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			return cofre.Fail(cofre.Say("usage.unknown_shorthand", "unknown shorthand flag: -{{.flag}} in -{{.given}}", "flag", unknown.GetSpecifiedName(), "given", short))
		}
		return unknownFlag(cmd, unknown.GetSpecifiedName())
	}
	if bare, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return cofre.Fail(cofre.Say("usage.value_required", "flag --{{.flag}} needs a value", "flag", bare.GetFlag().Name))
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return cofre.Fail(cofre.Say("usage.invalid_value", `--{{.flag}} "{{.value}}"`, "flag", wrong.GetFlag().Name, "value", wrong.GetValue()), wrong.Unwrap())
	}
	return err
}

// unknownFlag is the error of a flag that no command has, with the one that may have been meant.
func unknownFlag(cmd *cobra.Command, word string) error {
	err := cofre.Fail(cofre.Say("usage.unknown_flag", "unknown flag: --{{.flag}}", "flag", word))
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	meant := nearest.Word(word, known)
	if meant == "" {
		return err
	}
	return cofre.WithHint(err, didYouMean(cmd.CommandPath()+" --"+meant))
}
