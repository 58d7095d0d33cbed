package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings is what `up` hands to the processes inside the cluster.
type settings struct {
	addresses
	Dir              string
	Cgroup           string
	Interface        string
	Programs         string
	PostgresPrograms string
	EmulatedVersion  string
	APIServerFlags   []string
	PostgresSettings []string
	AuditPolicy      string
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// up runs a cluster until standard input ends, a signal comes or the cluster fails, and leaves only its logs behind.
func up(arguments []string) error {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	dir := flags.String("dir", "", "directory of the cluster, absent or empty (required)")
	keep := flags.Bool("keep", false, "go on when standard input ends")
	discard := flags.Bool("discard", false, "remove the directory with its logs, unless the cluster failed")
	emulated := flags.String("emulated-version", "", "serve the API of an older Kubernetes, as 1.34")
	audit := flags.String("audit-policy", "", "audit policy file (default: the metadata of every request)")
	var apiserver, postgres list
	flags.Var(&apiserver, "apiserver-flag", "one more flag of the API server, as --goaway-chance=0.01 (repeatable)")
	flags.Var(&postgres, "postgres-setting", "one more line for postgresql.conf, as max_connections=20 (repeatable)")
	_ = flags.Parse(arguments)
	if *dir == "" || flags.NArg() > 0 {
		return errors.New("usage: weir-cluster up --dir DIR [flags] (weir-cluster up -h lists them)")
	}
	ended := endOfInput(*keep)

	if err := checkRequirements(); err != nil {
		return err
	}
	s := settings{EmulatedVersion: *emulated, APIServerFlags: apiserver, PostgresSettings: postgres, AuditPolicy: *audit}
	var err error
	if s.PostgresPrograms, err = postgresPrograms(); err != nil {
		return err
	}
	if s.Programs, err = programs(ended); err != nil {
		return err
	}
	return run(*dir, s, *discard, ended)
}

// endOfInput ends when the cluster has no reason to go on.
func endOfInput(keep bool) context.Context {
	ended, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() { <-signals; end() }()
	if !keep {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); end() }()
	}
	return ended
}

func run(path string, s settings, discard bool, ended context.Context) (err error) {
	started := time.Now()
	dir, err := prepareDirectory(path)
	if err != nil {
		return err
	}
	defer dir.unlock()
	slot, err := claimSlot(dir.path)
	if err != nil {
		return err
	}
	defer slot.release()
	s.Dir, s.Cgroup, s.Interface, s.addresses = dir.path, slot.cgroup(), slot.link(), slot.addresses()

	defer func() {
		removed := time.Now()
		if cleanErr := errors.Join(slot.remove(), dir.empty()); cleanErr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", cleanErr))
			return
		}
		if discard && err == nil {
			err = os.RemoveAll(dir.path)
			say("nothing is left of the cluster of %s (%s)", dir.path, since(removed))
			return
		}
		say("nothing is left of the cluster but %s (%s)", dir.file("log"), since(removed))
	}()

	initial, joined, err := startInit(s)
	if err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- initial.Wait() }()
	defer func() {
		// The kernel kills every process of a PID namespace whose first one ends.
		_ = initial.Process.Kill()
		<-exited
	}()
	pid := initial.Process.Pid
	if err := errors.Join(writePID(s.Dir, upPID, os.Getpid()), writePID(s.Dir, initPID, pid), enterCgroup(s.Cgroup, pid), join(slot, pid)); err != nil {
		return err
	}
	// From here on init goes on by itself.
	joined.Close()
	select {
	case <-ended.Done():
		say("ending the cluster of %s after %s", dir.path, since(started))
		return nil
	case status := <-exited:
		exited <- status
		return fmt.Errorf("the cluster has ended by itself (%v): its logs are in %s", status, dir.file("log"))
	}
}

// startInit starts the first process of the cluster's namespaces, in the cluster's cgroup. It waits for the returned pipe
// to be closed before it does anything, so that its network is complete when it looks.
func startInit(s settings) (*exec.Cmd, io.Closer, error) {
	if err := createCgroup(s.Cgroup); err != nil {
		return nil, nil, err
	}
	waits, joined, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer waits.Close()
	text, err := json.Marshal(s)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("/proc/self/exe", "init", string(text))
	cmd.Args[0] = "weir-cluster"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{waits}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		// Ctrl-C at a terminal is for us alone: we end the cluster in order.
		Setsid: true,
		// And if we are killed, the kernel ends it.
		Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		joined.Close()
		return nil, nil, fmt.Errorf("make namespaces (needs CAP_SYS_ADMIN and CONFIG_NET_NS, CONFIG_PID_NS, CONFIG_IPC_NS): %w", err)
	}
	return cmd, joined, nil
}
