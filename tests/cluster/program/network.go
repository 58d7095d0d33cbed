package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// The cluster's end of the cable that joins it to the machine.
const uplink = "uplink"

// join lays a cable between the machine and the cluster and routes the cluster's addresses through it, so that a
// process on the machine reaches the API server, PostgreSQL, every pod and every Service.
func join(s *slot, pid int) error {
	a := s.addresses()
	for _, arguments := range [][]string{
		{"link", "add", s.link(), "type", "veth", "peer", "name", uplink, "netns", fmt.Sprint(pid)},
		{"address", "add", a.Machine.String() + "/30", "dev", s.link()},
		{"link", "set", s.link(), "up"},
		{"route", "add", a.All.String(), "via", a.Node.String(), "dev", s.link()},
	} {
		if err := quiet("ip", arguments...); err != nil {
			return fmt.Errorf("join the cluster's network (needs CAP_NET_ADMIN and CONFIG_VETH): %w", err)
		}
	}
	return nil
}

// network completes the cluster's side of the cable.
func (c *cluster) network() error {
	return errors.Join(
		quiet("ip", "link", "set", "lo", "up"),
		quiet("ip", "address", "add", c.Node.String()+"/30", "dev", uplink),
		quiet("ip", "link", "set", uplink, "up"),
		// The way out ends at the machine, which forwards nothing; a route must exist all the same,
		// or a packet for a Service is refused before kube-proxy's rules see it.
		quiet("ip", "route", "add", "default", "via", c.Machine.String()),
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644),
	)
}

// servicesWork is nil once a name resolves through the Service of DNS, and PostgreSQL is reached through its own.
func (c *cluster) servicesWork(ctx context.Context) error {
	// A packet that comes before the Service's rules is lost: ask again soon.
	limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(c.DNS, 53).String())
	}}
	addresses, err := resolver.LookupHost(limited, postgresHost+".")
	if err != nil {
		return err
	}
	connection, err := (&net.Dialer{}).DialContext(limited, "tcp", net.JoinHostPort(addresses[0], "5432"))
	if err != nil {
		return err
	}
	return connection.Close()
}
