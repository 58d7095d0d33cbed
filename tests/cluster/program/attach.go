package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The commands that work on a running cluster from outside.

// directoryFlag reads --dir and returns what follows.
func directoryFlag(command string, arguments []string) (dir string, rest []string, err error) {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	flags.StringVar(&dir, "dir", "", "directory of the cluster (required)")
	_ = flags.Parse(arguments)
	if dir == "" {
		return "", nil, errors.New("which cluster? Give its directory by --dir")
	}
	dir, err = filepath.Abs(dir)
	return dir, flags.Args(), err
}

// down ends a cluster by a signal to its `up`, and waits until that has cleaned up.
func down(arguments []string) error {
	dir, _, err := directoryFlag("down", arguments)
	if err != nil {
		return err
	}
	pid, err := readPID(dir, upPID)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for range 600 {
		if d, err := lockDirectory(dir); err == nil {
			d.unlock()
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the cluster of %q (process %d) is still there after 30 s", dir, pid)
}

// load imports images into the container runtime, where pods find them by name: no registry is asked.
func load(arguments []string) error {
	dir, archives, err := directoryFlag("load", arguments)
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return errors.New("name the archives to load")
	}
	for _, archive := range archives {
		if err := quiet("ctr", "--address", filepath.Join(dir, "containerd.sock"), "--namespace", "k8s.io", "images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

// enter replaces this process by a command inside the cluster's namespaces.
func enter(arguments []string) error {
	dir, command, err := directoryFlag("exec", arguments)
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return errors.New("which command?")
	}
	pid, err := readPID(dir, initPID)
	if err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	return syscall.Exec(nsenter, append([]string{"nsenter", "--target", strconv.Itoa(pid), "--net", "--mount", "--pid", "--ipc", "--"}, command...), os.Environ())
}

// Files that hold the process numbers, as the machine sees them, of `up` and of the first process inside.
const upPID, initPID = "up.pid", "init.pid"

func writePID(dir, file string, pid int) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(pid)), 0o644)
}

func readPID(dir, file string) (int, error) {
	d, err := lockDirectory(dir)
	if err == nil {
		d.unlock()
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("no cluster is running in %q", dir)
	}
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}
