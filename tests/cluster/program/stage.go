package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// poll asks every 20 ms until the answer is nil; when the context ends it returns the last answer.
func poll(ctx context.Context, ready stage) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A stage is a part of the start.
type stage = func(context.Context) error

// together runs stages at the same time and returns the first error, after which the others are told to end.
func together(stages ...stage) stage {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		results := make(chan error, len(stages))
		for _, run := range stages {
			go func() { results <- run(ctx) }()
		}
		var first error
		for range stages {
			if err := <-results; err != nil && first == nil {
				first = err
				cancel()
			}
		}
		return first
	}
}

// inOrder runs stages one after the other.
func inOrder(stages ...stage) stage {
	return func(ctx context.Context) error {
		for _, run := range stages {
			if err := run(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// exits is a ready function for what can only be asked by a command.
func exits(name string, arguments ...string) stage {
	return func(ctx context.Context) error {
		output, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(string(output)))
		}
		return nil
	}
}
