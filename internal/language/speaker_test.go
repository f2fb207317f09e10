package language_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/language"
)

func TestAnErrorIsRenderedLinkByLink(t *testing.T) {
	pt := language.For(language.Portuguese)
	gap := &cofre.GapError{Timeline: 3, From: "A", To: "A"}
	err := cofre.WithHint(fmt.Errorf("read %q: %w: %w", "not found", cofre.ErrLocked, fmt.Errorf("segment: %w", gap)), cofre.Say("catalog.make_one", "make one with: cofre backup"))
	const want = `read "not found": bloqueado por outro processo: segment: lacuna no WAL da linha do tempo 3: falta o segmento A`
	if got := pt.Error(err); got != want {
		t.Errorf("%s", got)
	}
	if got := language.For(language.English).Error(err); got != cofre.OneLine(err) {
		t.Errorf("%s", got)
	}
	if got := pt.Say(cofre.HintOf(err)); got != "crie um com: cofre backup" {
		t.Errorf("%s", got)
	}
}

func TestPluralsAndNestedMessages(t *testing.T) {
	pt := language.For(language.Portuguese)
	for n, want := range map[int]string{0: "0 comparação", 1: "1 comparação", 2: "2 comparações", 1000: "1000 comparações", 10_000: "10.000 comparações", 1_000_000: "1.000.000 comparações"} {
		compared := cofre.SayN("restored.comparisons", n, "1 comparison", "{{.n}} comparisons")
		text := pt.Say(cofre.Say("restored.equal_part", "equal in what was compared: {{.compared}}", "compared", compared))
		if text != "igual no que foi comparado: "+want {
			t.Errorf("%d: %s", n, text)
		}
	}
}

// What a repository keeps is read back, of this version and of one without codes.
func TestMessagesSurviveJSON(t *testing.T) {
	m := cofre.SayN("restored.comparisons", 2, "1 comparison", "{{.n}} comparisons")
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back cofre.Message
	if err := json.Unmarshal(data, &back); err != nil || language.For(language.Portuguese).Say(back) != "2 comparações" {
		t.Errorf("%+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`"plain"`), &back); err != nil || back.Text != "plain" || back.Code != "" {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestTheLocaleThatIsSetFirstCounts(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want language.Language
	}{
		{map[string]string{"LANG": "pt_BR.UTF-8"}, language.Portuguese},
		{map[string]string{"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, language.English},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_BR"}, language.Portuguese},
		{map[string]string{"LANG": "ptolemaic"}, language.English},
		{nil, language.English},
	} {
		if got := language.FromEnvironment(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %s", c.env, got)
		}
	}
}

func TestCountsHaveTheirThousandsApart(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1000", 10_000: "10,000", 100_000: "100,000", 1_234_567: "1,234,567", -12_345: "-12,345"} {
		if got := cofre.CountText(n, ","); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	if m := cofre.SayN("restored.comparisons", 12_345, "1 comparison", "{{.n}} comparisons"); m.Text != "12,345 comparisons" {
		t.Error(m.Text)
	}
}

// TestQuantitiesHaveTheMarkOfTheLanguage: numbers with a unit, and nothing that only looks like one.
func TestQuantitiesHaveTheMarkOfTheLanguage(t *testing.T) {
	pt := language.For(language.Portuguese)
	for text, want := range map[string]string{
		"1.5 MiB": "1,5 MiB", "12 KiB": "12 KiB", "3.4s": "3,4s", "1m3.4s": "1m3,4s", "99.9 %": "99,9 %", "2.0 KiB/s": "2,0 KiB/s",
		"15.18": "15.18", "cofre 1.5 MiB": "cofre 1.5 MiB", "10.0.0.1": "10.0.0.1", "a.b": "a.b", "": "",
	} {
		if got := pt.Quantity(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := language.For(language.English).Quantity(text); got != text {
			t.Errorf("in English %q: %q", text, got)
		}
	}
	m := cofre.Say("plan.bytes", "about {{.size}}", "size", "1.5 MiB")
	if got := pt.Say(m); !strings.Contains(got, "1,5 MiB") || m.Text != "about 1.5 MiB" {
		t.Errorf("%q, %q", got, m.Text)
	}
}
