package alerts

import (
	"fmt"
	"strings"
)

// Page is the runbook in a language, "en" or "pt-BR": an index, and of each rule what it comes from, what to look at, and what to paste.
func Page(language string, rules []Rule) string {
	of := func(t Text) string { return t.En }
	in := `# Alerts

What each alert of [deploy/monitoring/rules.yml](../../deploy/monitoring/rules.yml) means, and what to do. [Monitoring](monitoring.md) says how Prometheus gets them.

**critical** calls somebody now: what is promised cannot be restored, or soon will not be. **warning** is for the day. Each is checked against a healthy installation, in which
none of them fires but CofreWatchdog.

| alert | | after | |
|---|---|---|---|
`
	why, look, do, fires := "Why", "Look at", "Commands", "It fires if this is so for %s:"
	if language != "en" {
		of = func(t Text) string { return t.Pt }
		in = `# Alertas

O que significa cada alerta de [deploy/monitoring/rules.yml](../../deploy/monitoring/rules.yml), e o que fazer. [Monitoramento](monitoring.md) diz como o Prometheus os recebe.

**critical** chama alguém agora: o que foi prometido não pode ser restaurado, ou em breve não poderá. **warning** fica para o dia. Cada um é testado contra uma instalação saudável, em que
nenhum dispara além do CofreWatchdog.

| alerta | | depois de | |
|---|---|---|---|
`
		why, look, do, fires = "Por quê", "Veja", "Comandos", "Dispara se isto vale por %s:"
	}
	plain := strings.NewReplacer("{{ $labels.", "*", "{{ $value | humanizeDuration }}", "*N*", "{{ $value | humanize }}", "*N*", " }}", "*")
	var b strings.Builder
	b.WriteString(in)
	for _, r := range rules {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", r.Name, strings.ToLower(r.Name), r.Severity, span(r.For), plain.Replace(of(r.Says)))
	}
	for _, r := range rules {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n**%s.** %s\n\n**%s.** %s\n\n**%s.**\n\n```sh\n%s\n```\n\n", r.Name, plain.Replace(of(r.Says)), why, of(r.Cause), look, of(r.Check), do, strings.Join(r.Do, "\n"))
		fmt.Fprintf(&b, fires+"\n\n```\n%s\n```\n", span(r.For), r.Expr)
	}
	return b.String()
}
