package cofre_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/language"
)

// explained says of a condition why it arises and what to do, in both languages; what happened is its message.
type explained struct {
	exit        string
	why, do     string
	whyPt, doPt string
}

// conditions are the pages of docs/*/errors. The test holds that each condition of errors.go has one.
var conditions = map[string]explained{
	"not_found":     {"1", "A recovery point, a component, a file or an object of that name is not there.", "The hint names what is there instead; `cofre list` and `cofre show POINT` print the names.", "Não há ponto de recuperação, componente, arquivo ou objeto com esse nome.", "A dica diz o que existe no lugar; `cofre list` e `cofre show POINT` imprimem os nomes."},
	"exists":        {"1", "Something has that name already. cofre replaces nothing without being told to.", "Choose another name or place, or the flag that replaces and keeps the old one (`--replace`).", "Algo já tem esse nome. O cofre não substitui nada sem ser mandado.", "Escolha outro nome ou lugar, ou a opção que substitui e mantém o antigo (`--replace`)."},
	"ambiguous":     {"1", "More than one thing fits what was asked for.", "Give more of the name, as the hint says.", "Mais de uma coisa corresponde ao que foi pedido.", "Informe mais do nome, como diz a dica."},
	"locked":        {"11", "Another process holds the lock: another backup, or a session of the database.", "Wait for it, or end it; the message names who holds the lock if that is known.", "Outro processo mantém o bloqueio: outro backup, ou uma sessão do banco de dados.", "Espere por ele, ou encerre-o; a mensagem diz quem mantém o bloqueio, se isso é conhecido."},
	"wrong_key":     {"12", "The password is not the one that the repository was made with. Without it nothing can be read.", "Look at what `repository.password` refers to. The recovery kit says where the password was kept.", "A senha não é aquela com que o repositório foi criado. Sem ela nada pode ser lido.", "Verifique a que `repository.password` se refere. O kit de recuperação diz onde a senha foi guardada."},
	"corrupt":       {"1", "Stored bytes are not those that were written: a disk, a copy or somebody has changed them.", "`cofre verify --level content` names everything that is damaged; `cofre backup` stores afresh what still exists at its source.", "Bytes guardados não são os que foram escritos: um disco, uma cópia ou alguém os mudou.", "`cofre verify --level content` nomeia tudo o que está danificado; `cofre backup` guarda de novo o que ainda existe na fonte."},
	"no_repository": {"10", "The address was reached, and there is no repository: it was never made, the disk is not mounted, or the address is another.", "Correct `repository.url`, mount the disk, or make one with `cofre init`.", "O endereço foi alcançado, e não há repositório: nunca foi criado, o disco não está montado, ou o endereço é outro.", "Corrija `repository.url`, monte o disco, ou crie um com `cofre init`."},
	"read_only":     {"14", "The file system or the credentials allow reading alone.", "Mount the disk for writing, or give credentials that may write.", "O sistema de arquivos ou as credenciais só permitem leitura.", "Monte o disco para escrita, ou informe credenciais que possam escrever."},
	"disk_full":     {"14", "There is no space left, or a quota is used up. Nothing half written is visible.", "Free space, and run the same command again.", "Não há mais espaço, ou uma cota se esgotou. Nada escrito pela metade é visível.", "Libere espaço, e execute o mesmo comando de novo."},
	"unreachable":   {"13", "The server, the storage or the repository does not answer.", "See that it runs and that host and port are right; run the command again. What was stored is not stored twice.", "O servidor, o storage ou o repositório não responde.", "Verifique se está em execução e se servidor e porta estão certos; execute o comando de novo. O que foi guardado não é guardado duas vezes."},
	"denied":        {"1", "The user or role may not do what is needed.", "`cofre doctor` names each right that is missing, with the SQL or command that gives it.", "O usuário ou papel não pode fazer o que é necessário.", "`cofre doctor` nomeia cada direito que falta, com o SQL ou o comando que o dá."},
	"configuration": {"2", "The configuration cannot be used as it stands.", "The message has the line and the key of each problem; `docs/en/configuration.md` lists the keys.", "A configuração não pode ser usada como está.", "A mensagem traz a linha e a chave de cada problema; `docs/pt-BR/configuration.md` lista as chaves."},
	"preflight":     {"23", "The plan found what would make it fail. Nothing was touched.", "Each problem of the plan has its hint; mend them and run the command again.", "O plano encontrou o que o faria falhar. Nada foi tocado.", "Cada problema do plano tem a sua dica; corrija-os e execute o comando de novo."},
	"unproven":      {"24", "The restored copy was compared with what was captured, and differs. Nothing was replaced.", "Look at the differences that are named; a copy that is kept can be accepted with `--accept` or dropped.", "A cópia restaurada foi comparada com o que foi capturado, e difere. Nada foi substituído.", "Examine as diferenças nomeadas; uma cópia mantida pode ser aceita com `--accept` ou removida."},
	"partial":       {"3", "Something that was asked for is missing, and is named. What is there was published.", "`cofre show POINT` names what is missing and why; mend the cause and back up again.", "Falta algo que foi pedido, e é nomeado. O que existe foi publicado.", "`cofre show POINT` nomeia o que falta e por quê; corrija a causa e faça um novo backup."},
	"refused":       {"1", "It would do what cannot be taken back, or what nobody has confirmed.", "Read the message; if it is what you want, confirm with the flag that the hint names.", "Faria algo que não pode ser desfeito, ou que ninguém confirmou.", "Leia a mensagem; se é o que você quer, confirme com a opção que a dica indica."},
	"findings":      {"20", "A verification found something missing or changed, and names it.", "Back up again now: what still exists at its source is stored afresh.", "Uma verificação encontrou algo que falta ou mudou, e o nomeia.", "Faça um novo backup agora: o que ainda existe na fonte é guardado de novo."},
	"attention":     {"25", "`cofre status` found something to look at. What is promised can be restored.", "Each finding has its command.", "O `cofre status` encontrou algo a examinar. O que foi prometido pode ser restaurado.", "Cada achado tem o seu comando."},
	"unknown":       {"26", "`cofre status` could not read something, and says what and why: nobody knows whether everything can be restored.", "Each finding has its command; `cofre doctor` says what stands in the way.", "O `cofre status` não pôde ler algo, e diz o quê e por quê: ninguém sabe se tudo pode ser restaurado.", "Cada achado tem o seu comando; `cofre doctor` diz o que atrapalha."},
	"at_risk":       {"27", "`cofre status` found that something which is promised cannot be restored now, or soon will not be.", "Each finding has its command; begin with the first.", "O `cofre status` encontrou algo prometido que não pode ser restaurado agora, ou em breve não poderá.", "Cada achado tem o seu comando; comece pelo primeiro."},
	"interrupted":   {"130", "A signal ended the command. Nothing half done is visible.", "Run it again; what was stored is found.", "Um sinal encerrou o comando. Nada pela metade é visível.", "Execute de novo; o que foi guardado é aproveitado."},
}

// Each code has a page, in both languages, which is made of the source and the catalogue. Written anew with -update.
func TestEveryCodeHasItsPage(t *testing.T) {
	messages := messagesInSource(t)
	translated := map[string]language.Entry{}
	for _, e := range readCatalogue(t) {
		translated[e.Context] = e
	}
	pages := map[string]string{}
	for code := range messages {
		name, ok := strings.CutPrefix(code, "condition.")
		if !ok {
			continue
		}
		c, ok := conditions[name]
		if !ok {
			t.Errorf("%s has no page: say in error_pages_test.go why it arises, and what to do", code)
			continue
		}
		if pt := translated[code]; pt.Translated() {
			pages["docs/en/errors/"+name+".md"] = page(messages[code].one, name, c.exit, "What happened", "Why", "What to do", "Exit code", c.why, c.do)
			pages["docs/pt-BR/errors/"+name+".md"] = page(pt.Translation[0], name, c.exit, "O que aconteceu", "Por quê", "O que fazer", "Código de saída", c.whyPt, c.doPt)
		}
	}
	for name := range conditions {
		if messages["condition."+name] == nil {
			t.Errorf("there is a page of %s, and no such condition", name)
		}
	}
	pages["docs/en/errors/messages.md"] = listing("# Messages\n\nEvery message by its code, as JSON and events carry it. What stands in braces is an argument.\n", messages, func(m *spoken) []string { return both(m.one, m.many) })
	pages["docs/pt-BR/errors/messages.md"] = listing("# Mensagens\n\nCada mensagem pelo seu código, que JSON e eventos trazem. O que está entre chaves é um argumento.\n", messages, func(m *spoken) []string { return translated[m.code].Translation })
	for path, want := range pages {
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the messages make: go test . -update writes it anew (%v)", path, err)
		}
	}
}

func page(what, name, exit, happened, why, do, code, because, next string) string {
	return fmt.Sprintf("# %s\n\n%s: %s · `condition.%s`\n\n**%s.** %s.\n\n**%s.** %s\n\n**%s.** %s\n", what, code, exit, name, happened, strings.ToUpper(what[:1])+what[1:], why, because, do, next)
}

func both(one, many string) []string {
	if many == "" {
		return []string{one}
	}
	return []string{one, many}
}

func listing(head string, messages map[string]*spoken, texts func(*spoken) []string) string {
	var b strings.Builder
	b.WriteString(head)
	area := ""
	for _, code := range slices.Sorted(maps.Keys(messages)) {
		if of, _, _ := strings.Cut(code, "."); of != area {
			area = of
			fmt.Fprintf(&b, "\n## %s\n\n", area)
		}
		said := strings.Join(texts(messages[code]), " · ")
		fmt.Fprintf(&b, "- `%s` %s\n", code, strings.ReplaceAll(strings.ReplaceAll(said, "{{.", "{"), "}}", "}"))
	}
	return b.String()
}
