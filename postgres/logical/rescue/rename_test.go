package rescue

import "testing"

func TestMovedNames(t *testing.T) {
	m := moved{{"public", "answers"}: "res", {"public", "answers_id_seq"}: "res", {`a "b"`, "x.y"}: "res"}
	for in, want := range map[string]string{
		`CREATE TABLE public.answers (`: `CREATE TABLE "res"."answers" (`,
		`ALTER TABLE ONLY public.answers ALTER COLUMN id SET DEFAULT nextval('public.answers_id_seq'::regclass);`: `ALTER TABLE ONLY "res"."answers" ALTER COLUMN id SET DEFAULT nextval('"res"."answers_id_seq"'::regclass);`,
		`CHECK ((public.answers(x) > 0))`:                                                                  `CHECK ((public.answers(x) > 0))`,
		`CHECK ((x <> 'see public.answers'::text))`:                                                        `CHECK ((x <> 'see public.answers'::text))`,
		`CREATE INDEX i ON "a ""b"""."x.y" USING btree (e)`:                                                `CREATE INDEX i ON "res"."x.y" USING btree (e)`,
		`SELECT $f$ public.answers $f$ || public.answers.id || public.answersx || E'it\'s public.answers'`: `SELECT $f$ public.answers $f$ || "res"."answers".id || public.answersx || E'it\'s public.answers'`,
		`SELECT 1e5, 1.5::numeric, notpublic.answers`:                                                      `SELECT 1e5, 1.5::numeric, notpublic.answers`,
	} {
		if got := m.rewrite(in); got != want {
			t.Errorf("%s\nbecame %s", in, got)
		}
	}
}

func FuzzMoved(f *testing.F) {
	f.Add("CREATE TABLE public.answers (")
	f.Fuzz(func(t *testing.T, sql string) {
		if got := (moved{}).rewrite(sql); got != sql {
			t.Fatalf("%q became %q", sql, got)
		}
	})
}
