package edge

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func TestListsAreNeverNull(t *testing.T) {
	type Inner struct {
		Names  []string          `json:"names"`
		Map    map[string]string `json:"map"`
		Raw    json.RawMessage   `json:"raw,omitempty"`
		At     time.Time         `json:"at"`
		Left   []string          `json:"left,omitempty"`
		hidden []int
	}
	doc := struct {
		*Inner
		List  []Inner       `json:"list"`
		Any   any           `json:"any"`
		Keyed map[int][]int `json:"keyed"`
		None  *Inner        `json:"none,omitempty"`
		Bytes []byte        `json:"bytes,omitempty"`
	}{Inner: &Inner{}, List: []Inner{{hidden: []int{1}}}, Any: Inner{}, Keyed: map[int][]int{1: nil}}
	got, err := json.Marshal(noNulls(doc))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(got, []byte("null")) {
		t.Errorf("it has a null: %s", got)
	}
	if doc.Names != nil || doc.List[0].Names != nil {
		t.Error("the document itself was changed")
	}
	if bytes.Contains(got, []byte("left")) {
		t.Errorf("what is left out when empty is there: %s", got)
	}
}

func TestWrap(t *testing.T) {
	text := "one two three\nfour five\n\n  a command that is long and stays\nsix"
	want := "one two\nthree four\nfive\n\n  a command that is long and stays\nsix"
	if got := Wrap(text, 10); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	list := "of\ntwo\n\n  word   what it means,\n         and more\n  next   short\n\n  a command\nend"
	want = "of two\n\n  word   what it\n         means, and\n         more\n  next   short\n\n  a command\nend"
	if got := Wrap(list, 20); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A command at the end of a sentence is one line, however narrow the terminal: a terminal that is copied from gives the lines as they are.
func TestCommandsStayWhole(t *testing.T) {
	for _, command := range []string{
		"cofre verify --level content --config /etc/cofre/cofre.yaml", "/usr/local/bin/cofre-wal archive --config /etc/cofre/cofre.yaml pg_wal/000000010000000000000001",
		"chgrp -R backup /var/backups && chmod -R g+rwX /var/backups", "CREATE ROLE cofre_safe LOGIN CREATEDB", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()",
	} {
		var out bytes.Buffer
		SayWithin(&out, 40, "hint: ", "what is to be done before all of it is lost for good: "+command)
		if !bytes.Contains(out.Bytes(), []byte("\n  "+command+"\n")) {
			t.Errorf("on 40 columns %q is not on a line of its own:\n%s", command, out.String())
		}
	}
}

// A hint in a document is what this person has to type, as it is on the terminal; what else a document says stays.
func TestHintsOfADocumentHaveTheConfiguration(t *testing.T) {
	var out bytes.Buffer
	a := &App{Stdio: Stdio{Out: &out}, ConfigFile: "/etc/my own.yaml"}
	if err := a.Document(map[string]any{"error": map[string]string{"hint": "a \"word\" & then: cofre verify", "message": "cofre verify"}, "name": "x\n\"hint\": \"cofre verify\""}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Error struct{ Hint, Message string }
		Name  string
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Error.Hint != `a "word" & then: cofre --config '/etc/my own.yaml' verify` || got.Error.Message != "cofre verify" || got.Name != "x\n\"hint\": \"cofre verify\"" {
		t.Errorf("%s", &out)
	}
}
