package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// initialize is the first process of the cluster's PID namespace. It makes the machine's shared places private, starts
// `serve`, and does nothing from then on but reap orphans, which the kernel gives to it: containerd's shims for example.
func initialize(arguments []string) error {
	joined := os.NewFile(3, "joined")
	if _, err := io.ReadAll(joined); err != nil {
		return err
	}
	joined.Close()
	s, err := parseSettings(arguments)
	if err != nil {
		return err
	}
	if err := makePrivate(s.Dir); err != nil {
		return fmt.Errorf("make the cluster's mounts private: %w", err)
	}
	child, err := syscall.ForkExec("/proc/self/exe", append([]string{"weir-cluster", "serve"}, arguments...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return err
	}
	if status := reapUntil(child); status != 0 {
		os.Exit(status)
	}
	return nil
}

// reapUntil takes the exit status of every child until the given one ends, and returns that one's.
func reapUntil(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1
		case ended == pid && status.Signaled():
			return 128 + int(status.Signal())
		case ended == pid:
			return status.ExitStatus()
		}
	}
}

// makePrivate covers, in this mount namespace only, each place where the programs of a cluster write outside of the
// directories that they are told: what they leave there goes with the namespace.
func makePrivate(dir string) error {
	// First cut the ties to the machine's mounts, then let the mounts of pods see ours, as on any node.
	if err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""),
		syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""),
	); err != nil {
		return err
	}
	kept, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer kept.Close()
	for _, place := range []string{
		"/run",     // network namespaces, sockets of containerd's shims, the lock of iptables
		"/var/lib", // /var/lib/cni, whose place in libcni is fixed
		"/var/log", // /var/log/containers, whose dead links the kubelet removes
		"/dev/shm", // PostgreSQL's shared memory
	} {
		if err := syscall.Mount("weir-cluster", place, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount a tmpfs on %s: %w", place, err)
		}
	}
	return errors.Join(os.Chmod("/dev/shm", 0o1777), uncover(dir, kept), pretendTunables())
}

// uncover makes the cluster's directory visible again, if it is below a place that has just been covered.
func uncover(dir string, kept *os.File) error {
	before, err := kept.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(dir); err == nil && os.SameFile(before, now) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return syscall.Mount(fmt.Sprintf("/proc/self/fd/%d", kept.Fd()), dir, "", syscall.MS_BIND, "")
}

// pretendTunables shows the kubelet the kernel settings that it would make otherwise: they belong to the whole machine,
// and nobody would put them back.
func pretendTunables() error {
	if err := os.Mkdir("/run/tunables", 0o755); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		source, target := filepath.Join("/run/tunables", filepath.Base(name)), filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue
		}
		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover %s: %w", target, err)
		}
	}
	return nil
}
