// Weir-cluster runs a real Kubernetes and a real PostgreSQL on one Linux machine, for the tests and the demo.
//
// Each cluster lives in its own network, mount, PID and IPC namespace with its own cgroup, so several run side by side,
// and killing the first process of the PID namespace removes every process, mount, interface and firewall rule of it.
//
// How a start flows: up (on the machine: claim a slot, make the cgroup, start init, join the networks) -> init (first
// process inside: private mounts, reaps orphans) -> serve (starts and awaits each component, prints what is where).
package main

import (
	"fmt"
	"os"
	"runtime"
)

type command struct {
	name, arguments, help string
	run                   func(arguments []string) error
}

func commands() []command {
	return []command{
		{"up", "--dir DIR [flags]", "start a cluster and run it until standard input ends, or until a signal", up},
		{"down", "--dir DIR", "end the cluster of DIR and wait until it is gone", down},
		{"build", "", "build Kubernetes, CoreDNS and Helm, unless they are in the cache; print their directory", buildTools},
		{"pack", "--name NAME --output FILE --add SOURCE[=PATH].. [flags] -- ENTRYPOINT..", "pack programs and files with the libraries they need into an OCI archive", pack},
		{"load", "--dir DIR ARCHIVE..", "load OCI archives into the cluster's container runtime", load},
		{"exec", "--dir DIR COMMAND..", "run a command inside the cluster's namespaces", enter},
		{"stop", "--dir DIR COMPONENT", "end one component (postgresql, kubelet..) and wait until it is gone", control},
		{"start", "--dir DIR COMPONENT", "start a stopped component again and wait until it serves", control},
		{"signal", "--dir DIR COMPONENT SIGNAL", "send a signal (STOP, CONT, KILL..) to a component", control},
		{"init", "", "", initialize},
		{"serve", "", "", serve},
		{"pause", "", "", pause},
	}
}

func init() {
	// A child's death signal is bound to the thread that started it: keep main on the thread that lives longest.
	runtime.LockOSThread()
}

func main() {
	name := "help"
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		if err := c.run(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "weir-cluster %s: %v\n", name, err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "Runs a real Kubernetes and a real PostgreSQL on this machine.\n\nUsage:")
	for _, c := range commands() {
		if c.help != "" {
			fmt.Fprintf(os.Stderr, "  weir-cluster %s %s\n        %s\n", c.name, c.arguments, c.help)
		}
	}
	fmt.Fprintln(os.Stderr, "\nweir-cluster COMMAND -h lists the flags of a command.")
	if name != "help" && name != "-h" && name != "--help" {
		os.Exit(2)
	}
}
