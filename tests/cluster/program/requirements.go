package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Where Debian and Ubuntu install the CNI plugins.
const cniPrograms = "/usr/lib/cni"

// checkRequirements says everything that is missing at once, and how to get it.
func checkRequirements() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster makes namespaces, mounts and interfaces: run as root")
	}
	packages := map[string]string{
		"containerd": "containerd", "containerd-shim-runc-v2": "containerd", "ctr": "containerd", "runc": "runc",
		"ip": "iproute2", "nft": "nftables", "mount": "mount", "nsenter": "util-linux",
		cniPrograms + "/ptp": "containernetworking-plugins", cniPrograms + "/host-local": "containernetworking-plugins",
	}
	var programs, install []string
	for program, name := range packages {
		if _, err := exec.LookPath(program); err != nil {
			programs, install = append(programs, program), append(install, name)
		}
	}
	if _, err := postgresPrograms(); err != nil {
		programs, install = append(programs, "initdb, postgres"), append(install, "postgresql-15")
	}
	if len(programs) > 0 {
		slices.Sort(programs)
		slices.Sort(install)
		return fmt.Errorf("missing: %s\nRun tests/cluster/install, or: apt-get install %s",
			strings.Join(programs, ", "), strings.Join(slices.Compact(install), " "))
	}
	for _, namespace := range []string{"net", "mnt", "pid", "ipc"} {
		if _, err := os.Stat("/proc/self/ns/" + namespace); err != nil {
			return fmt.Errorf("the kernel has no %s namespaces (CONFIG_NAMESPACES): %w", namespace, err)
		}
	}
	return nil
}

// postgresPrograms is the directory of the newest installed PostgreSQL's programs.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errors.Join(err, errors.New("no PostgreSQL server in /usr/lib/postgresql"))
	}
	// 9.6 and older are long gone, so the longest and then the greatest name is the newest version.
	newest := slices.MaxFunc(found, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return filepath.Dir(newest), nil
}
