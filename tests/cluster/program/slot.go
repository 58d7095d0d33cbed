package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Clusters on one machine share three name spaces: cgroups, interfaces and addresses. A slot is a number that gives each
// cluster its own part of them. It is held by a lock on a file for as long as `up` lives, so the kernel frees it however
// `up` ends; whoever finds an unlocked file of a dead cluster first cleans up after it.
const (
	slotDirectory = "/run/weir-cluster"
	slots         = 64
)

type slot struct {
	number int
	file   *os.File
	// dir is the cluster's directory, kept in the file for those who clean up.
	dir string
}

// claimSlot takes the first free slot for the cluster in dir, after it has cleaned up behind clusters whose `up` was killed.
func claimSlot(dir string) (*slot, error) {
	registry, err := lockRegistry()
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	for n := range slots {
		if s := openSlot(n, os.O_RDWR); s != nil {
			// Nobody holds it, so its `up` is dead; whoever cannot clean leaves it to the next.
			if err := s.clean(); err == nil {
				_ = os.Remove(s.file.Name())
			}
			s.file.Close()
		}
	}
	for n := range slots {
		s := openSlot(n, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if s == nil {
			continue
		}
		s.dir = dir
		_, err := s.file.WriteString(dir)
		return s, err
	}
	return nil, fmt.Errorf("all %d slots in %s are taken: end some clusters first", slots, slotDirectory)
}

// lockRegistry orders claims and releases: while it is held, a slot's file exists exactly as long as somebody uses it.
func lockRegistry() (*os.File, error) {
	if err := os.MkdirAll(slotDirectory, 0o755); err != nil {
		return nil, err
	}
	registry, err := os.Open(slotDirectory)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(registry.Fd()), syscall.LOCK_EX); err != nil {
		registry.Close()
		return nil, err
	}
	return registry, nil
}

// openSlot opens and locks a slot's file, or returns nil where that cannot be done (it is absent, there already, or held).
func openSlot(n, flags int) *slot {
	file, err := os.OpenFile(filepath.Join(slotDirectory, strconv.Itoa(n)), flags, 0o644)
	if err != nil {
		return nil
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil
	}
	dir, _ := io.ReadAll(file)
	return &slot{number: n, file: file, dir: string(dir)}
}

// clean does for a cluster whose `up` was killed what `up` does at its end.
func (s *slot) clean() error {
	err := s.remove()
	if d, lockErr := lockDirectory(s.dir); lockErr == nil {
		err = errors.Join(err, d.empty())
		d.unlock()
	}
	return err
}

// remove removes what the kernel does not remove together with the cluster's namespaces, or not at once.
func (s *slot) remove() error {
	// The interface goes with the network namespace, which is destroyed some time after its last process has ended.
	_ = quiet("ip", "link", "delete", s.link())
	return removeCgroup(s.cgroup())
}

// release gives the slot back.
func (s *slot) release() {
	if registry, err := lockRegistry(); err == nil {
		defer registry.Close()
	}
	_ = os.Remove(s.file.Name())
	s.file.Close()
}

func (s *slot) link() string   { return fmt.Sprintf("weir%d", s.number) }
func (s *slot) cgroup() string { return fmt.Sprintf("/weir-cluster-%d", s.number) }

// addresses are a /21 of 198.18.0.0/15, which RFC 2544 sets aside for tests inside one machine room:
// it meets no address that a developer's own networks use.
type addresses struct {
	All      netip.Prefix // routed from the machine into the cluster
	Pods     netip.Prefix // a /22
	Services netip.Prefix // a /23
	Machine  netip.Addr   // our end of the link, on the machine
	Node     netip.Addr   // the cluster's end, and the address of everything that runs beside the kubelet
	API      netip.Addr   // the Service kubernetes.default
	DNS      netip.Addr   // the Service kube-dns
	Postgres netip.Addr   // the Service postgres.database
}

func (s *slot) addresses() addresses {
	at := func(offset int) netip.Addr {
		n := s.number*2048 + offset
		return netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)})
	}
	return addresses{
		All:      netip.PrefixFrom(at(0), 21),
		Pods:     netip.PrefixFrom(at(0), 22),
		Services: netip.PrefixFrom(at(1024), 23),
		Machine:  at(2045),
		Node:     at(2046),
		API:      at(1024 + 1),
		DNS:      at(1024 + 10),
		Postgres: at(1024 + 20),
	}
}
