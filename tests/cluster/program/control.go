package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The socket by which `stop`, `start` and `signal` reach the supervisor inside: one JSON request, one answer, which is
// the error as text or empty.
const controlSocket = "control.sock"

type request struct {
	Verb, Component, Signal string
}

var signals = map[string]syscall.Signal{
	"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "KILL": syscall.SIGKILL,
	"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "HUP": syscall.SIGHUP,
}

// control asks the supervisor of a running cluster; its name is the verb.
func control(arguments []string) error {
	dir, rest, err := directoryFlag(os.Args[1], arguments)
	if err != nil {
		return err
	}
	r := request{Verb: os.Args[1]}
	switch {
	case r.Verb == "signal" && len(rest) == 2:
		r.Component, r.Signal = rest[0], rest[1]
	case r.Verb != "signal" && len(rest) == 1:
		r.Component = rest[0]
	default:
		return errors.New("name one component (and, to signal, one signal)")
	}
	connection, err := net.Dial("unix", filepath.Join(dir, controlSocket))
	if err != nil {
		return fmt.Errorf("no cluster is running in %q: %w", dir, err)
	}
	defer connection.Close()
	if err := json.NewEncoder(connection).Encode(r); err != nil {
		return err
	}
	answer, err := bufio.NewReader(connection).ReadString(0)
	if err != nil {
		return fmt.Errorf("the cluster ended before it answered: %w", err)
	}
	if answer = strings.TrimSuffix(answer, "\x00"); answer != "" {
		return errors.New(answer)
	}
	return nil
}

// serveControl answers requests until the cluster ends.
func (s *supervisor) serveControl(ctx context.Context) error {
	listener, err := net.Listen("unix", filepath.Join(s.dir, controlSocket))
	if err != nil {
		return err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				s.failed(fmt.Errorf("accept on %s: %w", controlSocket, err))
				return
			}
			go func() {
				defer connection.Close()
				var r request
				err := json.NewDecoder(connection).Decode(&r)
				if err == nil {
					err = s.obey(ctx, r)
				}
				answer := "\x00"
				if err != nil {
					answer = err.Error() + answer
				}
				_, _ = connection.Write([]byte(answer))
			}()
		}
	}()
	return nil
}

func (s *supervisor) obey(ctx context.Context, r request) error {
	switch r.Verb {
	case "stop":
		return s.stop(r.Component)
	case "start":
		return s.restart(ctx, r.Component)
	case "signal":
		signal, known := signals[strings.TrimPrefix(r.Signal, "SIG")]
		if !known {
			return fmt.Errorf("unknown signal %q", r.Signal)
		}
		return s.signal(r.Component, signal)
	default:
		return fmt.Errorf("unknown verb %q", r.Verb)
	}
}
