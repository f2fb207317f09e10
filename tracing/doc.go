// Package tracing sends what happens to whoever collects traces: a span for each run, in it one for each component and each command of the configuration, and in
// these one for each task. It is an observer of the same events as logs and metrics, and does nothing unless an endpoint is configured.
//
// What is sent goes to another machine, in the clear if the endpoint is http. So it says what, when and how it ended, and never why: no sentence, no name of a
// table or a file, no address, no output of a command.
package tracing
