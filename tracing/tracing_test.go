package tracing_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/tracing"
)

// collecting is whoever collects traces, by the messages that the protocol defines.
type collecting struct {
	mu    sync.Mutex
	spans []*spans.Span
	raw   []byte
}

func (c *collecting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	b, err := io.ReadAll(body)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &in)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, b...)
	for _, of := range in.ResourceSpans {
		for _, s := range of.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
}

// tree is each span under its parents, with its code and how long it took.
func (c *collecting) tree() []string {
	byID := map[string]*spans.Span{}
	for _, s := range c.spans {
		byID[string(s.SpanId)] = s
	}
	var all []string
	for _, s := range c.spans {
		path := s.Name
		for up := byID[string(s.ParentSpanId)]; up != nil; up = byID[string(up.ParentSpanId)] {
			path = up.Name + "/" + path
		}
		all = append(all, fmt.Sprintf("%s %s %s", path, time.Duration(s.EndTimeUnixNano-s.StartTimeUnixNano), s.Status.GetMessage()))
	}
	slices.Sort(all)
	return all
}

func start(t *testing.T, warn func(cofre.Message)) *tracing.Tracer {
	t.Helper()
	if !tracing.Asked(os.Getenv) {
		t.Fatal("nobody asks")
	}
	tr, err := tracing.Start(t.Context(), tracing.Options{Getenv: os.Getenv, Version: "1.2.3", Warn: warn})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestSpansOfRuns(t *testing.T) {
	c := &collecting{}
	server := httptest.NewServer(c)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	tr := start(t, func(m cofre.Message) { t.Error(m.Text) })
	at := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	after := func(s int) time.Time { return at.Add(time.Duration(s) * time.Second) }
	database := cofre.SourceID{Installation: "tl", Kind: cofre.KindDatabase, Name: "app"}
	do := func(s int, e cofre.Event) {
		e.At = after(s)
		if e.Run == "" {
			e.Run = "r"
		}
		if e.Fact != nil {
			e.Type = e.Fact.EventType()
		}
		tr.Observe(e)
	}
	dumping := func(kind cofre.EventType) cofre.Event {
		return cofre.Event{Type: kind, Source: database, Done: 7, Unit: cofre.UnitBytes}.Doing(cofre.Say("logical.task_dump", "dump {{.database}}", "database", "secret-of-a-name"))
	}
	do(0, cofre.Event{Source: cofre.SourceID{Installation: "tl"}, Fact: cofre.RunBegan{Kind: cofre.RunBackup, What: "database,config"}})
	do(0, cofre.Event{Fact: cofre.HookBegan{When: "before_backup"}})
	do(2, cofre.Event{Fact: cofre.HookRan{When: "before_backup", Code: cofre.CodeOK, Took: 2 * time.Second, Said: "secret-of-a-hook"}})
	do(2, dumping(cofre.TypeTaskBegan))
	do(3, cofre.Event{Type: cofre.TypeTaskProgress, Source: database, Item: "secret-of-a-table"})
	do(4, cofre.Event{Type: cofre.TypeWarning, Text: "secret-of-a-warning"})
	do(5, dumping(cofre.TypeTaskEnded))
	do(6, cofre.Event{Source: database, Fact: cofre.ComponentCaptured{Component: cofre.Component{Kind: cofre.KindDatabase, Name: "app", StartedAt: after(2)}}})
	read := cofre.Event{Type: cofre.TypeTaskBegan, Source: cofre.SourceID{Installation: "tl", Kind: cofre.KindConfig, Name: "config"}}.Doing(cofre.Say("files.task_read", "read files"))
	do(6, read)
	failed := read
	failed.Type, failed.Err = cofre.TypeTaskEnded, fmt.Errorf("secret-of-an-error: %w", cofre.ErrUnreachable)
	do(7, failed)
	do(7, cofre.Event{Run: "inner", Fact: cofre.RunBegan{Kind: cofre.RunVerify, Within: "r"}})
	// One that nothing was heard of again ends with its run.
	do(8, cofre.Event{Run: "inner", Type: cofre.TypeTaskBegan}.Doing(cofre.Say("repository.task_verify", "verify")))
	do(9, cofre.Event{Run: "inner", Fact: cofre.RunEnded{Kind: cofre.RunVerify, Code: cofre.CodeOK}})
	do(10, cofre.Event{Fact: cofre.RunEnded{Kind: cofre.RunBackup, Code: cofre.CodeUnreachable, Message: "secret-of-a-message"}})
	do(11, dumping(cofre.TypeTaskBegan)) // of no run that is known
	tr.Close(t.Context())
	want := []string{
		"cofre backup 10s unreachable", "cofre backup/cofre verify 2s ", "cofre backup/cofre verify/repository.task_verify 1s ", "cofre backup/config 4s unreachable", "cofre backup/config/files.task_read 1s unreachable",
		"cofre backup/database 4s ", "cofre backup/database/logical.task_dump 3s ", "cofre backup/hook before_backup 2s ",
	}
	if got := c.tree(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, s := range c.spans {
		if fmt.Sprintf("%x", s.TraceId) != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%s is of trace %x", s.Name, s.TraceId)
		}
	}
	if raw := string(c.raw); strings.Contains(raw, "secret-of") || !strings.Contains(raw, "1.2.3") {
		t.Errorf("%q", raw)
	}
}

// Whoever collects traces and does not answer is named once, and nothing waits for it.
func TestAnEndpointThatDoesNotAnswer(t *testing.T) {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }))
	defer down.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", down.URL+"/v1/traces")
	var mu sync.Mutex
	var told []string
	tr := start(t, func(m cofre.Message) { mu.Lock(); defer mu.Unlock(); told = append(told, m.Text) })
	for i := range 5000 {
		run := cofre.RunID(fmt.Sprint(i))
		tr.Observe(cofre.Event{Run: run, Fact: cofre.RunBegan{Kind: cofre.RunWALArchive}})
		tr.Observe(cofre.Event{Run: run, Fact: cofre.RunEnded{Kind: cofre.RunWALArchive, Code: cofre.CodeOK}})
	}
	tr.Close(t.Context())
	if len(told) != 1 || !strings.HasPrefix(told[0], "traces are not sent: ") {
		t.Errorf("told %q", told)
	}
}

func TestWhatTheEnvironmentAsksFor(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	const endpoint, at = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"
	for name, c := range map[string]struct {
		env   func(string) string
		asked bool
	}{
		"nothing":   {env(), false},
		"endpoint":  {env(endpoint, at), true},
		"of traces": {env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", at), true},
		"disabled":  {env(endpoint, at, "OTEL_SDK_DISABLED", "true"), false},
		"none":      {env(endpoint, at, "OTEL_TRACES_EXPORTER", "none"), false},
	} {
		if got := tracing.Asked(c.env); got != c.asked {
			t.Errorf("%s: asked %t", name, got)
		}
	}
	for _, wrong := range []func(string) string{
		env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"), env("OTEL_TRACES_EXPORTER", "zipkin"),
	} {
		if _, err := tracing.Start(t.Context(), tracing.Options{Getenv: wrong}); !errors.Is(err, cofre.ErrConfig) || cofre.Hint(err) == "" {
			t.Errorf("%v: %q", err, cofre.Hint(err))
		}
	}
	tr, err := tracing.Start(t.Context(), tracing.Options{Getenv: env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"), Warn: func(cofre.Message) {}})
	if err != nil {
		t.Fatal(err)
	}
	tr.Close(t.Context())
}
