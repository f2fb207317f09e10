package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A backup sends a trace to whoever collects them, and is as well if nobody takes it.
func TestTracesOfABackup(t *testing.T) {
	i := newInstallation(t)
	var mu sync.Mutex
	var got strings.Builder
	takes := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !takes {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		got.WriteString(r.URL.Path)
		_, _ = io.Copy(&got, r.Body)
	}))
	t.Cleanup(server.Close)
	i.env = append(i.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	if out, err := i.command("backup", "database").CombinedOutput(); err != nil || strings.Contains(string(out), "traces") {
		t.Fatalf("%v\n%s", err, out)
	}
	mu.Lock()
	for _, want := range []string{"/v1/traces", "cofre backup", "database", "service.name"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("no %q in %q", want, got.String())
		}
	}
	if strings.Contains(got.String(), "answers") {
		t.Errorf("a table is named: %q", got.String())
	}
	takes = false
	mu.Unlock()
	if out, err := i.command("backup", "database").CombinedOutput(); err != nil || strings.Count(string(out), "traces are not sent") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	i.env = append(i.env, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	if out, err := i.command("backup", "database").CombinedOutput(); err != nil || strings.Count(string(out), "traces are not sent") != 1 || !strings.Contains(string(out), "OTEL_EXPORTER_OTLP_PROTOCOL asks for grpc") {
		t.Errorf("%v\n%s", err, out)
	}
}
