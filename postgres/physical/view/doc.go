// Package view finds the files that a server names, as this process sees them: it may run beside a container, or on the server's
// machine as another user, where the same name is another file. A name that cannot be proven to lead to the server's file leads
// nowhere. Read view.go; Find is where a view comes from.
package view
