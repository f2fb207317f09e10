package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/secret"
)

const text = "Xk7-segredo-ção"

func TestNoWayOfPrintingShowsASecret(t *testing.T) {
	v := secret.New(text)
	type holder struct {
		Password secret.Value
		Pointer  *secret.Value
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", v, holder{v, &v})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "password", v, "pointer", &v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "password", v, "pointer", &v)
	if err := json.NewEncoder(&out).Encode(holder{v, &v}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(&out, fmt.Errorf("connect: %v", v))
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is in:\n%s", out.String())
		}
	}
	if v.Reveal() != text {
		t.Error("Reveal does not return the secret")
	}
}

func TestReadTakesReferencesAndNothingElse(t *testing.T) {
	file, empty := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "empty")
	for path, content := range map[string]string{file: text + "\r\n", empty: "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	getenv := func(name string) string { return map[string]string{"SET": text}[name] }
	for _, ref := range []string{"env:SET", "file:" + file} {
		v, err := secret.Read(ref, getenv)
		if err != nil || v.Reveal() != text {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for ref, want := range map[string]string{
		"env:UNSET":        "environment variable UNSET is not set",
		"file:" + empty:    "is empty",
		"file:/none/there": "no such file",
		"env:":             "must be a reference",
		text:               "must be a reference",
		"":                 "must be a reference",
	} {
		v, err := secret.Read(ref, getenv)
		if err == nil || !strings.Contains(err.Error(), want) || !v.IsZero() {
			t.Errorf("%q: got %v, want an error with %q", ref, err, want)
		}
		if err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}
