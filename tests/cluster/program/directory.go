package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	// The file that makes a directory a cluster's: it is locked while the cluster lives, and nothing is ever removed from
	// a directory without it.
	marker = ".weir-cluster"
	// What `load`, `exec` and others read: the line that `up` printed.
	description = "cluster.json"
	// A Unix socket's path holds 107 bytes; the longest name below the directory is
	// kubelet/pod-resources/kubelet.sock with some room.
	longestDirectory = 64
)

// directory is where one cluster keeps everything, held by its lock.
type directory struct {
	path string
	lock *os.File
}

// prepareDirectory makes dir, or takes an empty one, or one that a former cluster has left.
func prepareDirectory(path string) (*directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if len(path) > longestDirectory {
		return nil, fmt.Errorf("the directory %q has more than %d characters, and paths of Unix sockets below it would not fit: choose a shorter one", path, longestDirectory)
	}
	if err := reachable(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, marker)); err != nil && len(entries) > 0 {
		return nil, fmt.Errorf("%q is not empty and no cluster's directory: choose another one", path)
	}
	if err := os.WriteFile(filepath.Join(path, marker), nil, 0o644); err != nil {
		return nil, err
	}
	d, err := lockDirectory(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.empty(), os.RemoveAll(d.file("log"))); err != nil {
		d.unlock()
		return nil, err
	}
	return d, nil
}

// lockDirectory takes the directory of a cluster that is not running.
func lockDirectory(path string) (*directory, error) {
	lock, err := os.Open(filepath.Join(path, marker))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%q belongs to a cluster that is running: %w", path, err)
	}
	return &directory{path, lock}, nil
}

func (d *directory) unlock() { d.lock.Close() }

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// empty removes all but the logs. Nothing is mounted below the directory in our mount namespace: the cluster's own
// mounts are seen by the cluster only.
func (d *directory) empty() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "log" && e.Name() != marker {
			err = errors.Join(err, os.RemoveAll(d.file(e.Name())))
		}
	}
	return err
}

// reachable checks that the user postgres can enter what is there of the path: PostgreSQL refuses to run as root.
func reachable(path string) error {
	for at := path; at != "/"; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("the user postgres cannot enter %q (mode %v), so PostgreSQL cannot run in %q: choose a directory below /tmp, for example",
				at, info.Mode().Perm(), path)
		}
	}
	return nil
}

// account looks up a user's numbers.
func account(name string) (uid, gid uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), err
}
