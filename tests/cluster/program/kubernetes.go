package main

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The longest time that a component may take to start on a machine that does other things too.
const startLimit = 90 * time.Second

// certificates makes every identity of the cluster, and the kubeconfig of each that is a client of the API server.
func (c *cluster) certificates() (err error) {
	if c.authority, err = newAuthority(filepath.Join(c.Dir, "certificates")); err != nil {
		return err
	}
	local := netip.MustParseAddr("127.0.0.1")
	apiNames := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	_, err = c.authority.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, apiNames, local, c.API, c.Node)
	_, kubeletErr := c.authority.issue("kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client"}, nil)
	_, proxyErr := c.authority.issue("front-proxy", pkix.Name{CommonName: "front-proxy"}, nil)
	_, postgresErr := c.authority.issue("postgresql", pkix.Name{CommonName: postgresHost}, postgresNames, local, c.Postgres, c.Node)
	if err := errors.Join(err, kubeletErr, proxyErr, postgresErr, c.authority.signingKey()); err != nil {
		return err
	}
	for _, client := range []struct{ file, user, group string }{
		{"kube-controller-manager", "system:kube-controller-manager", ""},
		{"kube-scheduler", "system:kube-scheduler", ""},
		{"kube-proxy", "system:kube-proxy", ""},
		{"coredns", "coredns", ""},
		{"admin", "admin", "system:masters"},
		{"node", "system:node:node", "system:nodes"},
	} {
		subject := pkix.Name{CommonName: client.user}
		if client.group != "" {
			subject.Organization = []string{client.group}
		}
		// The node's identity is its server certificate too.
		id, err := c.authority.issue(client.file, subject, []string{client.file}, c.Node)
		if err != nil {
			return err
		}
		file := "config/" + client.file + ".kubeconfig"
		if client.file == "admin" {
			file, c.admin = "kubeconfig", id
		}
		if err := c.kubeconfig(file, client.user, id); err != nil {
			return err
		}
	}
	c.api, err = newAPI(c.Node, c.authority, c.admin)
	return err
}

func (c *cluster) program(name string) string { return filepath.Join(c.Programs, name) }
func (c *cluster) file(name string) string    { return filepath.Join(c.Dir, name) }

func (c *cluster) startContainerd(ctx context.Context) error {
	return c.start(ctx, &component{
		name:      "containerd",
		arguments: []string{"containerd", "--config", c.file("config/containerd.toml")},
		ready:     exits("ctr", "--address", c.file("containerd.sock"), "version"),
		limit:     startLimit,
	})
}

func (c *cluster) startEtcd(ctx context.Context) error {
	return c.start(ctx, &component{
		name: "etcd",
		arguments: []string{c.program("etcd"), "--data-dir", c.file("etcd"), "--unsafe-no-fsync",
			"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
			"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
			"--initial-cluster", "default=http://127.0.0.1:2380"},
		ready: answers("http://127.0.0.1:2379/readyz"),
		limit: startLimit,
	})
}

func (c *cluster) startAPIServer(ctx context.Context) error {
	return c.start(ctx, &component{
		name:  "kube-apiserver",
		ready: func(ctx context.Context) error { return c.api.get(ctx, "/readyz", nil) },
		limit: startLimit,
		arguments: slices.Concat([]string{c.program("kube-apiserver"),
			"--etcd-servers", "http://127.0.0.1:2379",
			"--bind-address", "0.0.0.0", "--secure-port", "6443", "--advertise-address", c.Node.String(),
			"--service-cluster-ip-range", c.Services.String(),
			"--cert-dir", c.file("certificates"),
			"--tls-cert-file", c.file("certificates/apiserver.crt"), "--tls-private-key-file", c.file("certificates/apiserver.key"),
			"--client-ca-file", c.file("certificates/ca.crt"),
			"--kubelet-client-certificate", c.file("certificates/kubelet-client.crt"), "--kubelet-client-key", c.file("certificates/kubelet-client.key"),
			"--kubelet-certificate-authority", c.file("certificates/ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
			"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file", c.file("certificates/tokens.pub"), "--service-account-signing-key-file", c.file("certificates/tokens.key"),
			"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--allow-privileged",
			"--audit-policy-file", c.AuditPolicy, "--audit-log-path", c.file("log/audit.log"), "--audit-log-maxsize", "1000",
			"--requestheader-client-ca-file", c.file("certificates/ca.crt"), "--requestheader-allowed-names", "front-proxy",
			"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
			"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
			"--proxy-client-cert-file", c.file("certificates/front-proxy.crt"), "--proxy-client-key-file", c.file("certificates/front-proxy.key"),
		}, c.emulation(), c.APIServerFlags),
	})
}

// emulation is for those whose features have to agree: the scheduler of today waits for resources that an older API lacks.
func (c *cluster) emulation() []string {
	if c.EmulatedVersion == "" {
		return nil
	}
	return []string{"--emulated-version", c.EmulatedVersion}
}

// createObjects creates what every cluster has from the start.
func (c *cluster) createObjects(ctx context.Context) error {
	return step("the Services of DNS and PostgreSQL", func() error {
		return exits(c.program("kubectl"), "--kubeconfig", c.file("kubeconfig"), "create", "--filename", c.file("config/objects.yaml"))(ctx)
	})
}

func (c *cluster) startControllerManager(ctx context.Context) error {
	// A namespace takes pods once the controllers have made its ServiceAccount: so they work when the first one has it.
	working := func(ctx context.Context) error {
		return c.api.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
	}
	return c.startController(ctx, "kube-controller-manager", 10257, working, "--service-account-private-key-file", c.file("certificates/tokens.key"),
		"--root-ca-file", c.file("certificates/ca.crt"), "--use-service-account-credentials")
}

func (c *cluster) startScheduler(ctx context.Context) error {
	return c.startController(ctx, "kube-scheduler", 10259, func(context.Context) error { return nil })
}

func (c *cluster) startController(ctx context.Context, name string, port int, working stage, flags ...string) error {
	kubeconfig := c.file("config/" + name + ".kubeconfig")
	return c.start(ctx, &component{
		name:  name,
		ready: inOrder(answers(fmt.Sprintf("https://127.0.0.1:%d/healthz", port)), working),
		limit: startLimit,
		arguments: slices.Concat([]string{c.program(name), "--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig,
			"--authorization-kubeconfig", kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1",
			"--kube-api-qps", "200", "--kube-api-burst", "400"}, c.emulation(), flags),
	})
}

// startKubeProxy waits for the node first: kube-proxy would wait for its address too, and then end itself once it has come.
func (c *cluster) startKubeProxy(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := poll(limited, c.api.nodeAddressed); err != nil {
		return err
	}
	return c.start(ctx, &component{
		name:      "kube-proxy",
		arguments: []string{c.program("kube-proxy"), "--config", c.file("config/kube-proxy.yaml")},
		ready:     answers("http://127.0.0.1:10256/livez"),
		limit:     startLimit,
	})
}

func (c *cluster) startCoreDNS(ctx context.Context) error {
	return c.start(ctx, &component{
		name:      "coredns",
		arguments: []string{c.program("coredns"), "-conf", c.file("config/Corefile")},
		ready:     answers("http://127.0.0.1:8181/ready"),
		limit:     startLimit,
	})
}

// startKubelet starts the node. It is ready when pods would be scheduled to it.
func (c *cluster) startKubelet(ctx context.Context) error {
	return c.start(ctx, &component{
		name: "kubelet",
		arguments: []string{c.program("kubelet"), "--config", c.file("config/kubelet.yaml"), "--kubeconfig", c.file("config/node.kubeconfig"),
			"--root-dir", c.file("kubelet"), "--hostname-override", "node", "--node-ip", c.Node.String()},
		ready: c.api.nodeReady,
		limit: startLimit,
	})
}

// importPause gives the container runtime the image that holds a pod's namespaces: this very program.
func (c *cluster) importPause(ctx context.Context) error {
	archive := c.file("temporary/pause.tar")
	program, err := os.Executable()
	if err != nil {
		return err
	}
	image := image{Name: c.PauseImage, Entrypoint: []string{"/weir-cluster", "pause"}, User: "65535:65535"}
	if err := image.add(program, "/weir-cluster"); err != nil {
		return err
	}
	if err := image.write(archive); err != nil {
		return err
	}
	return exits("ctr", "--address", c.file("containerd.sock"), "--namespace", "k8s.io", "images", "import", archive)(ctx)
}
