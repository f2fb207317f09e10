package tracing

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"github.com/trustlayer/cofre"
)

const (
	// lastWords is how long the end of a process waits for what is still to be sent.
	lastWords = 5 * time.Second
	// quiet is how long nothing more is said of an endpoint that takes nothing.
	quiet = 10 * time.Minute
)

// Options are what a Tracer depends on.
type Options struct {
	Getenv  func(string) string
	Version string
	// Warn is told what is not sent, and why; seldom. It may be called by several goroutines.
	Warn func(cofre.Message)
}

// Asked reports whether the environment names an endpoint for traces.
//
// Source: OpenTelemetry, SDK environment variables (OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER) and OTLP exporter configuration.
func Asked(getenv func(string) string) bool {
	return (getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "") &&
		getenv("OTEL_SDK_DISABLED") != "true" && getenv("OTEL_TRACES_EXPORTER") != "none"
}

// Tracer is a cofre.Observer that makes spans of events.
type Tracer struct {
	provider *trace.TracerProvider
	tracer   api.Tracer
	parent   context.Context // of runs that are part of no other

	mu   sync.Mutex
	runs map[cofre.RunID]*run
}

// run is one under way.
type run struct {
	span
	components map[cofre.SourceID]span
	tasks      map[task]span
}

// span is one that has begun, and what others begin in.
type span struct {
	api.Span
	in context.Context
}

type task struct {
	of   cofre.SourceID
	name string
}

// Start begins to send to the endpoint that the environment names. It connects to nothing yet: an endpoint that does not answer stops nothing, and is told to
// Options.Warn.
//
// Errors: cofre.ErrConfig if the environment asks for something else than OTLP over HTTP; those of its other variables.
func Start(ctx context.Context, o Options) (*Tracer, error) {
	for name, known := range map[string][]string{
		"OTEL_TRACES_EXPORTER":               {"", "otlp"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":        {"", "http/protobuf"},
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": {"", "http/protobuf"},
	} {
		if asked := o.Getenv(name); !slices.Contains(known, asked) && (name != "OTEL_EXPORTER_OTLP_PROTOCOL" || o.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") == "") {
			return nil, cofre.WithHint(cofre.Fail(cofre.Say("tracing.not_spoken", "{{.name}} asks for {{.asked}}, which is not spoken here", "name", name, "asked", asked), cofre.ErrConfig),
				cofre.Say("tracing.use", "send traces by OTLP over HTTP: {{.name}}={{.known}}", "name", name, "known", known[1]))
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	of, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "cofre"), attribute.String("service.version", o.Version)), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	otel.SetErrorHandler(seldom(o.Warn))
	t := &Tracer{provider: trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(of)), runs: map[cofre.RunID]*run{}}
	t.tracer = t.provider.Tracer("github.com/trustlayer/cofre", api.WithInstrumentationVersion(o.Version))
	carrier := propagation.MapCarrier{"traceparent": o.Getenv("TRACEPARENT"), "tracestate": o.Getenv("TRACESTATE")}
	t.parent = propagation.TraceContext{}.Extract(context.WithoutCancel(ctx), carrier)
	return t, nil
}

// seldom warns of the first error, and of one now and then.
func seldom(warn func(cofre.Message)) otel.ErrorHandlerFunc {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); last.IsZero() || now.Sub(last) > quiet {
			last = now
			warn(cofre.Say("tracing.not_sent", "traces are not sent: {{.why}}", "why", cofre.SayError(err)))
		}
	}
}

// Close sends what is still to be sent, within a few seconds. What cannot be sent is told to Options.Warn.
func (t *Tracer) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// Observe makes spans of an event. It never waits: if more spans are made than can be sent, some are dropped.
func (t *Tracer) Observe(e cofre.Event) {
	if e.Run == "" {
		return // of an agent that does nothing
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, ok := e.Fact.(cofre.RunBegan); ok {
		t.begin(e, f)
		return
	}
	r := t.runs[e.Run]
	if r == nil {
		return
	}
	switch f := e.Fact.(type) {
	case cofre.RunEnded:
		t.end(r, e, f)
	case cofre.ComponentCaptured:
		of := cofre.SourceID{Installation: e.Source.Installation, Kind: f.Component.Kind, Name: f.Component.Name}
		s, ok := r.components[of]
		if !ok {
			s = t.component(r, of, f.Component.StartedAt)
		}
		s.SetAttributes(attribute.Int64("cofre.bytes", f.Component.Bytes), attribute.Int64("cofre.stored_bytes", f.Component.Stored), attribute.Int64("cofre.entries", f.Component.Entries))
		if f.Component.Partial {
			s.SetStatus(codes.Error, string(cofre.CodePartial))
		}
		s.End(api.WithTimestamp(e.At))
		delete(r.components, of)
	case cofre.HookRan:
		s := t.start(r.span, "hook "+f.When, e.At.Add(-f.Took), attribute.Int("cofre.hook", f.N))
		s.ended(f.Code, e.At)
	case cofre.PointPublished:
		r.SetAttributes(attribute.String("cofre.point", string(f.Point.ID)))
	case cofre.VerificationEnded:
		r.SetAttributes(attribute.String("cofre.level", string(f.Reached)), attribute.Int("cofre.findings", f.Findings))
	}
	t.task(r, e)
}

func (t *Tracer) begin(e cofre.Event, f cofre.RunBegan) {
	in := span{in: t.parent}
	if outer := t.runs[f.Within]; outer != nil {
		in = outer.span
	}
	s := t.start(in, "cofre "+string(f.Kind), e.At, attribute.String("cofre.run", string(e.Run)), attribute.String("cofre.installation", e.Source.Installation))
	if f.What != "" {
		s.SetAttributes(attribute.String("cofre.what", f.What))
	}
	t.runs[e.Run] = &run{span: s, components: map[cofre.SourceID]span{}, tasks: map[task]span{}}
}

// end ends the run, and what it has left open.
func (t *Tracer) end(r *run, e cofre.Event, f cofre.RunEnded) {
	for _, s := range r.tasks {
		s.ended(f.Code, e.At)
	}
	for _, s := range r.components {
		s.ended(f.Code, e.At)
	}
	r.ended(f.Code, e.At)
	delete(t.runs, e.Run)
}

// task makes the span of a task, in that of the component which it is of.
func (t *Tracer) task(r *run, e cofre.Event) {
	id := task{e.Source, e.Task}
	switch e.Type {
	case cofre.TypeTaskBegan:
		if old, ok := r.tasks[id]; ok {
			old.End(api.WithTimestamp(e.At)) // it is done again
		}
		in := r.span
		if e.Source.Kind != "" {
			in = t.component(r, e.Source, e.At)
		}
		r.tasks[id] = t.start(in, nameOf(e), e.At)
	case cofre.TypeTaskEnded:
		s, ok := r.tasks[id]
		if !ok {
			return
		}
		if e.Done > 0 {
			s.SetAttributes(attribute.Int64("cofre.done_"+string(e.Unit), e.Done))
		}
		s.ended(cofre.CodeOf(e.Err), e.At)
		delete(r.tasks, id)
	}
}

// nameOf is what a task is called: the code of its sentence, which has no name of anybody's in it.
func nameOf(e cofre.Event) string {
	if m := e.Messages.Of(e.Task); m.Code != "" {
		return m.Code
	}
	return "task"
}

// component is the span of a component, which begins when the first that is said of it does.
func (t *Tracer) component(r *run, of cofre.SourceID, at time.Time) span {
	s, ok := r.components[of]
	if !ok {
		s = t.start(r.span, string(of.Kind), at, attribute.String("cofre.kind", string(of.Kind)), attribute.String("cofre.source", of.Name))
		r.components[of] = s
	}
	return s
}

func (t *Tracer) start(in span, name string, at time.Time, what ...attribute.KeyValue) span {
	ctx, s := t.tracer.Start(in.in, name, api.WithTimestamp(at), api.WithAttributes(what...))
	return span{s, ctx}
}

// ended ends a span with a code.
func (s span) ended(code cofre.Code, at time.Time) {
	s.SetAttributes(attribute.String("cofre.code", string(code)))
	if code != cofre.CodeOK {
		s.SetStatus(codes.Error, string(code))
	}
	s.End(api.WithTimestamp(at))
}
