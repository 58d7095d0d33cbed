package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// say tells the person at the terminal what happens. Standard output is for programs, so this goes to standard error.
func say(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "weir-cluster: "+format+"\n", arguments...)
}

func since(t time.Time) string {
	if d := time.Since(t); d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	} else {
		return d.Round(time.Second).String()
	}
}

// step does one part of the work and says how long it took.
func step(what string, do func() error) error {
	started := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	say("%-46s %s", what, since(started))
	return nil
}

// quiet runs a command whose output matters only if it fails.
func quiet(name string, arguments ...string) error {
	output, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// tail is the end of a log, short enough for an error message.
func tail(log []byte) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
