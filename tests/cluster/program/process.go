package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A component is one long-running program of the cluster, with its log in DIR/log/NAME.
type component struct {
	name      string
	arguments []string
	// user runs it as somebody else than root.
	user *syscall.Credential
	// ready is asked until it returns nil.
	ready stage
	// limit is the longest time from the start to ready.
	limit time.Duration

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	asked  bool          // whether its end was asked for
}

// supervisor starts components and fails the cluster when one ends that nobody asked to.
type supervisor struct {
	dir    string
	env    []string
	failed context.CancelCauseFunc

	lock       sync.Mutex
	components map[string]*component
}

// start starts the component and waits until it is ready.
func (s *supervisor) start(ctx context.Context, c *component) error {
	started := time.Now()
	if err := s.launch(c); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	if err := s.await(ctx, c); err != nil {
		return err
	}
	say("%-46s %s", c.name+" is ready", since(started))
	return nil
}

func (s *supervisor) launch(c *component) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	log, err := os.OpenFile(s.log(c.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.arguments[0], c.arguments[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd, c.exited, c.asked = cmd, make(chan struct{}), false
	s.components[c.name] = c
	go s.watch(c, cmd, c.exited)
	return nil
}

func (s *supervisor) watch(c *component, cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	s.lock.Lock()
	asked := c.asked
	s.lock.Unlock()
	close(exited)
	if !asked {
		s.failed(fmt.Errorf("%s has ended (%v); the end of %s:\n%s", c.name, err, s.log(c.name), s.tail(c.name)))
	}
}

// await asks the component until it is ready, its limit has passed, or some component has failed.
func (s *supervisor) await(ctx context.Context, c *component) error {
	limited, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	err := poll(limited, c.ready)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("%s is not ready after %s: %w; the end of %s:\n%s", c.name, c.limit, err, s.log(c.name), s.tail(c.name))
	}
	return nil
}

// stop ends a component as its operator would, by SIGTERM, and by SIGKILL when that takes longer than a minute
// (an API server takes its time to let watches go).
func (s *supervisor) stop(name string) error {
	c, err := s.running(name)
	if err != nil {
		return err
	}
	s.lock.Lock()
	c.asked = true
	s.lock.Unlock()
	signal := syscall.SIGTERM
	if name == "postgresql" {
		signal = syscall.SIGINT // its fast shutdown: sessions are ended, not waited for
	}
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	_ = c.cmd.Process.Signal(signal)
	select {
	case <-c.exited:
	case <-time.After(time.Minute):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	return nil
}

// restart starts a component again that was stopped.
func (s *supervisor) restart(ctx context.Context, name string) error {
	s.lock.Lock()
	c := s.components[name]
	s.lock.Unlock()
	if c == nil {
		return s.unknown(name)
	}
	select {
	case <-c.exited:
		return s.start(ctx, c)
	default:
		return fmt.Errorf("%s is running", name)
	}
}

// signal sends any signal; a component that ends by it was asked to.
func (s *supervisor) signal(name string, signal syscall.Signal) error {
	c, err := s.running(name)
	if err != nil {
		return err
	}
	s.lock.Lock()
	c.asked = c.asked || signal != syscall.SIGSTOP && signal != syscall.SIGCONT
	s.lock.Unlock()
	return c.cmd.Process.Signal(signal)
}

func (s *supervisor) running(name string) (*component, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	c := s.components[name]
	if c == nil {
		return nil, s.unknown(name)
	}
	select {
	case <-c.exited:
		return nil, fmt.Errorf("%s is not running", name)
	default:
		return c, nil
	}
}

func (s *supervisor) unknown(name string) error {
	return fmt.Errorf("no component %q: the name is that of a file in %s", name, filepath.Join(s.dir, "log"))
}

func (s *supervisor) log(name string) string { return filepath.Join(s.dir, "log", name) }

func (s *supervisor) tail(name string) string {
	content, err := os.ReadFile(s.log(name))
	if err != nil {
		return err.Error()
	}
	return tail(content)
}
