package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// writer makes text and values up: the same ones for the same seed.
type writer struct{ *rand.Rand }

func newWriter(seed uint64) writer { return writer{rand.New(rand.NewPCG(20260120, seed))} }

// one of the given words.
func (w writer) one(words []string) string { return words[w.IntN(len(words))] }

func (w writer) sentence() string {
	s := w.one(subjects) + " " + w.one(verbs) + " " + w.one(objects)
	switch w.IntN(4) {
	case 0:
		s += ", " + w.one(circumstances)
	case 1:
		s += " " + w.one(purposes)
	case 2:
		s += ", " + w.one(circumstances) + ", " + w.one(purposes)
	}
	return s + "."
}

func (w writer) paragraph(sentences int) string {
	var b strings.Builder
	for i := range sentences {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.sentence())
	}
	return b.String()
}

// document is a policy: headings, numbered articles, blank lines.
func (w writer) document(articles int) string {
	var b strings.Builder
	for i := range articles {
		fmt.Fprintf(&b, "Art. %dº %s\n\n", i+1, w.paragraph(2+w.IntN(4)))
		for j := range w.IntN(4) {
			fmt.Fprintf(&b, "  § %dº — %s\n", j+1, w.sentence())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (w writer) title() string {
	return w.one(titleHeads) + " " + w.one(titleTails)
}

func (w writer) person() string {
	return w.one(firstNames) + " " + w.one(lastNames) + " " + w.one(lastNames)
}

func (w writer) company() string {
	return w.one(lastNames) + " & " + w.one(lastNames) + " " + w.one([]string{"Tecnologia Ltda.", "Participações S.A.", "Serviços ME", "Indústria e Comércio S.A.", "Seguros S.A."})
}

func (w writer) cnpj() string {
	return fmt.Sprintf("%02d.%03d.%03d/%04d-%02d", w.IntN(100), w.IntN(1000), w.IntN(1000), 1+w.IntN(20), w.IntN(100))
}

var (
	subjects = []string{
		"A equipe de segurança da informação", "O comitê de privacidade", "A diretoria de conformidade", "O encarregado de dados",
		"A área de tecnologia", "O fornecedor contratado", "A auditoria interna", "O responsável pelo controle", "A organização",
		"O gestor do processo", "A central de atendimento", "O conselho de administração", "A equipe de infraestrutura",
		"O analista de riscos", "A consultoria externa", "O time de desenvolvimento", "A área jurídica", "A gestão de pessoas",
	}
	verbs = []string{
		"revisa trimestralmente", "documentou", "mantém atualizado", "deve aprovar", "aplicou", "avaliou", "monitora continuamente",
		"recomendou a adequação de", "implantou", "identificou lacunas em", "concluiu a migração de", "não evidenciou", "formalizou",
		"testou com êxito", "comunicou às partes interessadas", "restringiu o acesso a", "classificou como confidencial",
	}
	objects = []string{
		"o inventário de ativos", "a política de controle de acesso", "os registros de tratamento de dados pessoais",
		"o plano de continuidade de negócios", "as cópias de segurança do ambiente de produção", "a gestão de vulnerabilidades",
		"os contratos com operadores", "o relatório de impacto à proteção de dados", "a segregação de funções no sistema financeiro",
		"a criptografia das informações em repouso e em trânsito", "os procedimentos de resposta a incidentes",
		"a autenticação em dois fatores para contas privilegiadas", "o ciclo de vida das credenciais", "os treinamentos obrigatórios",
		"a retenção e o descarte de documentos", "os registros de auditoria dos servidores", "a avaliação de terceiros críticos",
	}
	circumstances = []string{
		"conforme o art. 46 da LGPD", "em conformidade com a ISO/IEC 27001:2022", "após a reunião de 12 de março",
		"com ressalvas da auditoria", "no prazo acordado de 30 dias", "sem exceções registradas", "dentro da janela de manutenção",
		"mediante aprovação da diretoria", "segundo o relatório nº 87/2025", "com evidências anexadas a esta resposta",
	}
	purposes = []string{
		"para reduzir a exposição a vazamentos", "a fim de atender à fiscalização", "para garantir a disponibilidade do serviço",
		"de modo a preservar a integridade dos dados", "para que a recuperação ocorra em até quatro horas",
		"com o objetivo de mitigar o risco residual", "para demonstrar a efetividade do controle",
	}
	titleHeads = []string{
		"Gestão de", "Revisão de", "Política de", "Plano de", "Controle de", "Avaliação de", "Proteção de", "Registro de", "Indisponibilidade de", "Adequação de",
	}
	titleTails = []string{
		"acessos privilegiados", "ativos de informação", "dados pessoais sensíveis", "incidentes de segurança", "fornecedores críticos",
		"cópias de segurança", "continuidade de negócios", "desenvolvimento seguro", "mudanças em produção", "chaves criptográficas",
		"registros e trilhas", "vulnerabilidades técnicas", "dispositivos móveis", "transferência internacional", "trabalho remoto",
	}
	firstNames = []string{
		"Ana", "João", "Conceição", "Luís", "Beatriz", "José", "Mônica", "Antônio", "Lúcia", "Sebastião", "Inês", "Márcio", "Júlia", "Otávio", "Thaís", "Cauã", "Íris", "Zélia",
	}
	lastNames = []string{
		"Gonçalves", "Araújo", "Magalhães", "Simões", "Conceição", "Muñoz", "Brandão", "Guimarães", "Assunção", "Müller", "Falcão", "Sá", "D'Ávila", "Paixão", "Leão", "Assis",
	}
)
