package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupTrees lists the directories in which a cgroup has to be made: one for each controller on cgroup v1 (hybrid or
// not), the mount itself on v2. Links (cpu -> cpu,cpuacct) name a tree that is listed already.
func cgroupTrees() ([]string, error) {
	if _, err := os.Stat(cgroupMount + "/cgroup.controllers"); err == nil {
		return []string{cgroupMount}, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, err
	}
	var trees []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(cgroupMount, e.Name(), "cgroup.procs")); e.IsDir() && err == nil {
			trees = append(trees, filepath.Join(cgroupMount, e.Name()))
		}
	}
	for _, needed := range []string{"cpu", "memory", "pids", "devices"} {
		if !slices.ContainsFunc(trees, func(t string) bool { return slices.Contains(strings.Split(filepath.Base(t), ","), needed) }) {
			return nil, fmt.Errorf("the cgroup controller %q is not mounted below %s: the kubelet needs it", needed, cgroupMount)
		}
	}
	return trees, nil
}

// createCgroup makes the cluster's cgroup with a child for its own processes: on v2 a cgroup that has
// controllers turned on for its children may hold no process itself.
func createCgroup(name string) error {
	trees, err := cgroupTrees()
	if err != nil {
		return err
	}
	for _, tree := range trees {
		for _, group := range []string{tree + name, tree + name + "/system"} {
			if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if group == tree+name {
				err = delegate(tree, group)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// enterCgroup moves a process, and so its children to come, into the cluster's cgroup.
func enterCgroup(name string, pid int) error {
	trees, err := cgroupTrees()
	if err != nil {
		return err
	}
	for _, tree := range trees {
		if err := os.WriteFile(tree+name+"/system/cgroup.procs", fmt.Append(nil, pid), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegate makes a new cgroup usable: a cpuset on v1 starts empty and refuses processes, on v2 no controller is on.
func delegate(tree, group string) error {
	write := func(path, value string) error { return os.WriteFile(path, []byte(value), 0o644) }
	if strings.Contains(filepath.Base(tree), "cpuset") {
		for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
			value, err := os.ReadFile(tree + file)
			if err == nil {
				err = write(group+file, string(value))
			}
			if err != nil {
				return err
			}
		}
		// Children copy what is written above, instead of starting empty.
		return write(group+"/cgroup.clone_children", "1")
	}
	if tree != cgroupMount {
		return nil
	}
	controllers, err := os.ReadFile(tree + "/cgroup.controllers")
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		for _, at := range []string{tree, group} {
			if err := write(at+"/cgroup.subtree_control", "+"+controller); err != nil {
				return fmt.Errorf("turn on the cgroup controller %q: %w", controller, err)
			}
		}
	}
	return nil
}

// removeCgroup removes the cgroup and all below it. A process that was killed leaves its cgroup a little later,
// so a busy one is tried again, for at most 10 s.
func removeCgroup(name string) error {
	trees, err := cgroupTrees()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, tree := range trees {
		for {
			err := removeTree(tree + name)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// removeTree removes directories from the inside out; the files of a cgroup cannot and need not be removed.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(path); err != nil && err != syscall.ENOENT {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}
