package demo

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// How many rows the large tables get; with the small ones about 300,000.
const (
	organizations = 24
	profiles      = 2_000
	frameworks    = 8
	controls      = 1_600
	assessments   = 600
	answers       = 100_000
	changes       = 60_000
	evidences     = 25_000
	risks         = 5_000
	policies      = 480
	vendors       = 1_200
	incidents     = 1_500
	auditEvents   = 65_000
	notifications = 20_000
	comments      = 15_000
	tags          = 240
)

// start is when the installation began; everything happened in the two years after.
var start = time.Date(2025, 1, 6, 8, 0, 0, 0, time.UTC)

// table says how one table is filled: its columns, how many rows, and the values of row i in the text form of
// COPY. Each table has a writer of its own, so that the tables are the same whatever order they are filled in.
type table struct {
	columns string // grc.answers (id, …)
	rows    int
	row     func(w writer, i int) []any
}

func tables() []table {
	return []table{
		{"grc.organizations (id, name, cnpj, plan, settings, responsible, created_at)", organizations, func(w writer, i int) []any {
			return []any{
				uuid(1, i), w.company(), w.cnpj(), w.one([]string{"essencial", "profissional", "corporativo"}),
				fmt.Sprintf(`{"idioma": "pt-BR", "limite": %d, "recursos": ["relatórios", "api"]}`, w.IntN(1000)),
				fmt.Sprintf(`("%s","+55 11 9%08d")`, w.person(), w.IntN(100_000_000)), w.at(),
			}
		}},
		{"grc.profiles (id, organization_id, email, full_name, role, preferences, created_at, updated_at)", profiles, func(w writer, i int) []any {
			at := w.at()
			return []any{
				uuid(2, i), uuid(1, i%organizations), fmt.Sprintf("pessoa.%d@exemplo.com.br", i), w.person(),
				w.one([]string{"administrador", "analista", "analista", "auditor", "leitor", "leitor"}),
				fmt.Sprintf(`{"tema": "%s", "avisos": %t}`, w.one([]string{"claro", "escuro"}), w.IntN(2) == 0), at, at,
			}
		}},
		{"grc.frameworks (id, code, name, version, description, published_on)", frameworks, func(w writer, i int) []any {
			names := []string{"LGPD", "ISO 27001", "ISO 27701", "SOC 2", "PCI DSS", "NIST CSF", "BACEN 4.893", "CIS Controls"}
			return []any{i + 1, names[i], names[i], fmt.Sprintf("%d.%d", 1+w.IntN(4), w.IntN(3)), w.paragraph(4), date(w.at())}
		}},
		{"grc.controls (id, framework_id, code, title, description, guidance, weight, keywords)", controls, func(w writer, i int) []any {
			return []any{
				i + 1, i%frameworks + 1, fmt.Sprintf("C-%04d", i+1), w.title(), w.paragraph(3), w.paragraph(5),
				fmt.Sprintf("%.2f", 0.5+w.Float64()*9), `{"` + w.one(titleTails) + `","` + w.one(titleTails) + `"}`,
			}
		}},
		{"grc.assessments (id, organization_id, framework_id, owner_id, title, period, score, closed)", assessments, func(w writer, i int) []any {
			from := w.at()
			return []any{
				uuid(3, i), uuid(1, i%organizations), i%frameworks + 1, uuid(2, w.IntN(profiles)), w.title() + " " + strconv.Itoa(2025+i%2),
				fmt.Sprintf("[%s,%s)", date(from), date(from.AddDate(0, 3, 0))), w.maybe(fmt.Sprintf("%.2f", w.Float64()*100)), w.IntN(3) == 0,
			}
		}},
		{"grc.answers (id, assessment_id, control_id, author_id, status, answer, justification, confidence, attachments, answered_at, updated_at)", answers, func(w writer, i int) []any {
			at := start.Add(time.Duration(i) * 9 * time.Minute)
			return []any{
				i + 1, uuid(3, i%assessments), w.IntN(controls) + 1, uuid(2, w.IntN(profiles)),
				w.one([]string{"rascunho", "em revisão", "aprovada", "aprovada", "rejeitada", "não se aplica"}), w.paragraph(1 + w.IntN(3)),
				w.maybe(w.sentence()), w.IntN(101), w.maybe(fmt.Sprintf(`[{"nome": "evidência %d.pdf", "páginas": %d}]`, i, 1+w.IntN(40))),
				at, at.Add(time.Duration(w.IntN(10_000)) * time.Second),
			}
		}},
		{"grc.change_logs (id, table_name, row_id, changed_by, action, old_row, new_row, changed_at)", changes, func(w writer, i int) []any {
			id := w.IntN(answers) + 1
			return []any{
				i + 1, "answers", id, "trustlayer_app", "alteração",
				fmt.Sprintf(`{"id": %d, "status": "rascunho", "confidence": %d}`, id, w.IntN(101)),
				fmt.Sprintf(`{"id": %d, "status": "aprovada", "justification": "%s"}`, id, w.sentence()), start.Add(time.Duration(i) * 15 * time.Minute),
			}
		}},
		{"grc.evidence (id, answer_id, object_path, sha256, size_bytes, mime_type, uploaded_by, uploaded_at, description)", evidences, func(w writer, i int) []any {
			return []any{
				uuid(4, i), w.IntN(answers) + 1, fmt.Sprintf("%s/2026/evidência-%05d.pdf", uuid(1, i%organizations), i),
				`\x` + fmt.Sprintf("%016x%016x%016x%016x", w.Uint64(), w.Uint64(), w.Uint64(), w.Uint64()), 1000 + w.IntN(5_000_000),
				w.one([]string{"application/pdf", "image/png", "text/csv"}), uuid(2, w.IntN(profiles)), w.at(), w.maybe(w.sentence()),
			}
		}},
		{"grc.risks (organization_id, owner_id, code, title, description, level, probability, impact, treatment, review_on, closed_at)", risks, func(w writer, i int) []any {
			return []any{
				uuid(1, i%organizations), w.maybe(uuid(2, w.IntN(profiles))), fmt.Sprintf("R-%05d", i+1), w.title(), w.paragraph(3),
				w.severity(), fmt.Sprintf("%.3f", w.Float64()), fmt.Sprintf("%.2f", w.Float64()*5e6), w.maybe(w.paragraph(2)), date(w.at()), w.maybe(w.at()),
			}
		}},
		{"grc.policies (id, organization_id, title, version, body, approved_by, valid)", policies, func(w writer, i int) []any {
			return []any{
				uuid(5, i), uuid(1, i%organizations), titleHeads[i/organizations%len(titleHeads)] + " " + w.one(titleTails), 1 + i/organizations, w.document(10 + w.IntN(30)),
				w.maybe(uuid(2, w.IntN(profiles))), fmt.Sprintf("[%s,)", date(w.at())),
			}
		}},
		{"grc.vendors (organization_id, name, cnpj, country, criticality, annual_cost, addresses, notes)", vendors, func(w writer, i int) []any {
			return []any{
				uuid(1, i%organizations), w.company(), w.maybe(w.cnpj()), w.one([]string{"BR", "BR", "BR", "PT", "US", "DE"}), w.severity(),
				fmt.Sprintf("%.2f", w.Float64()*1e6), fmt.Sprintf("{10.%d.%d.0/24,2001:db8::%x}", w.IntN(256), w.IntN(256), w.IntN(65536)), w.maybe(w.paragraph(2)),
			}
		}},
		{"grc.incidents (organization_id, severity, title, timeline, detected_at, resolved_at, source, personal_data)", incidents, func(w writer, i int) []any {
			at := w.at()
			return []any{
				uuid(1, i%organizations), w.severity(), w.title(), w.document(1 + w.IntN(4)), at,
				w.maybe(at.Add(time.Duration(w.IntN(500_000)) * time.Second)), w.maybe(w.address()), w.IntN(5) == 0,
			}
		}},
		{"grc.audit_events (id, organization_id, actor, action, at, address, details)", auditEvents, func(w writer, i int) []any {
			return []any{
				i + 1, uuid(1, i%organizations), fmt.Sprintf("pessoa.%d@exemplo.com.br", w.IntN(profiles)),
				w.one([]string{"entrou", "saiu", "exportou relatório", "alterou permissão", "consultou resposta"}),
				start.Add(time.Duration(i) * 14 * time.Minute), w.address(), fmt.Sprintf(`{"objeto": "%s", "duração_ms": %d}`, w.title(), w.IntN(4000)),
			}
		}},
		{"grc.notifications (id, profile_id, kind, title, body, created_at, read_at)", notifications, func(w writer, i int) []any {
			at := w.at()
			return []any{i + 1, uuid(2, w.IntN(profiles)), w.one([]string{"prazo", "menção", "revisão"}), w.title(), w.maybe(w.sentence()), at, w.maybe(at.Add(time.Hour))}
		}},
		{"grc.comments (id, answer_id, author_id, parent_id, body, created_at)", comments, func(w writer, i int) []any {
			var parent any
			if i > 0 && w.IntN(3) == 0 {
				parent = w.IntN(i) + 1
			}
			return []any{i + 1, w.IntN(answers) + 1, uuid(2, w.IntN(profiles)), parent, w.paragraph(1 + w.IntN(2)), w.at()}
		}},
		{"grc.tags (id, organization_id, name, colour)", tags, func(w writer, i int) []any {
			return []any{i + 1, uuid(1, i%organizations), w.one(titleTails), fmt.Sprintf("#%06x", w.IntN(1<<24))}
		}},
		{"grc.risk_tags (risk_id, tag_id)", risks, func(_ writer, i int) []any { return []any{i + 1, i%tags + 1} }},
		{"private.api_keys (id, organization_id, name, hash, created_at)", organizations, func(w writer, i int) []any {
			return []any{uuid(6, i), uuid(1, i), "integração", `\x` + fmt.Sprintf("%016x%016x", w.Uint64(), w.Uint64()), w.at()}
		}},
		{"public.schema_migrations (version, name, applied_at)", 40, func(w writer, i int) []any {
			return []any{20250106000000 + int64(i)*1_000_000, fmt.Sprintf("%03d_%s", i, strings.ReplaceAll(w.one(titleTails), " ", "_")), w.at()}
		}},
	}
}

// uuid is the same for the same kind and number, and looks like any other.
func uuid(kind, n int) string {
	x := uint64(n+1)*0x9E3779B97F4A7C15 ^ uint64(kind)<<56 // Fibonacci hashing spreads neighbours
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", uint32(x>>32), uint16(x>>16), x&0xfff, kind, n)
}

func (w writer) at() time.Time {
	return start.Add(time.Duration(w.IntN(600*24*3600)) * time.Second)
}

func (w writer) severity() string {
	return w.one([]string{"baixa", "baixa", "média", "média", "alta", "crítica"})
}

func (w writer) address() string {
	return fmt.Sprintf("%d.%d.%d.%d", 1+w.IntN(220), w.IntN(256), w.IntN(256), w.IntN(256))
}

// maybe is NULL one time in three.
func (w writer) maybe(v any) any {
	if w.IntN(3) == 0 {
		return nil
	}
	return v
}

func date(t time.Time) string { return t.Format(time.DateOnly) }

// copyRows fills every table, over as many connections as are given.
func copyRows(ctx context.Context, conns []*pgconn.PgConn) error {
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan int)
	group.Go(func() error {
		defer close(work)
		for i := range tables() {
			select {
			case work <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for _, conn := range conns {
		group.Go(func() error {
			all := tables()
			for i := range work {
				if err := copyTable(ctx, conn, all[i], newWriter(uint64(i))); err != nil {
					return fmt.Errorf("fill %s: %w", all[i].columns, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func copyTable(ctx context.Context, conn *pgconn.PgConn, t table, w writer) error {
	r, pipe := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		var b []byte
		for i := range t.rows {
			b = appendRow(b, t.row(w, i))
			if len(b) > 256<<10 || i == t.rows-1 {
				if _, err := pipe.Write(b); err != nil {
					return // the reader has ended, and says why
				}
				b = b[:0]
			}
		}
		_ = pipe.Close() // never fails, see io.PipeWriter
	})
	_, err := conn.CopyFrom(ctx, r, "COPY "+t.columns+" FROM STDIN")
	_ = r.CloseWithError(io.ErrClosedPipe) // lets the writer end
	wg.Wait()
	return err
}

// appendRow adds a line in the text form of COPY.
func appendRow(b []byte, values []any) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, '\t')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, `\N`...)
		case int:
			b = strconv.AppendInt(b, int64(v), 10)
		case time.Time:
			b = v.AppendFormat(b, time.RFC3339)
		case string:
			b = appendText(b, v)
		default:
			b = fmt.Append(b, v)
		}
	}
	return append(b, '\n')
}

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch s[i] {
		case '\\':
			b = append(b, `\\`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, s[i])
		}
	}
	return b
}
