package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cluster is what `serve` knows; its exported fields are what the templates in config/ name.
type cluster struct {
	settings
	PauseImage, CNIPrograms, Snapshotter string

	authority *authority
	admin     identity
	api       *api
	*supervisor
}

// place is the line of JSON that `up` prints once everything is ready.
type place struct {
	Dir        string `json:"dir"`
	Kubeconfig string `json:"kubeconfig"`
	// Programs is a directory with kubectl and helm, of the cluster's versions.
	Programs string `json:"programs"`
	// CA is the certificate that has signed the API server's and PostgreSQL's.
	CA string `json:"ca"`
	// Containerd is the socket of the container runtime, whose namespace is k8s.io.
	Containerd string          `json:"containerd"`
	Addresses  placeAddresses  `json:"addresses"`
	PostgreSQL placePostgreSQL `json:"postgresql"`
	AuditLog   string          `json:"auditLog"`
	Cgroup     string          `json:"cgroup"`
	// Interface is the machine's end of the cable.
	Interface string `json:"interface"`
}

type placeAddresses struct {
	Node     string `json:"node"`
	Machine  string `json:"machine"`
	Pods     string `json:"pods"`
	Services string `json:"services"`
}

type placePostgreSQL struct {
	// Socket is a directory: its only user is the superuser postgres, without a password, for root.
	Socket string `json:"socket"`
	// Address is reached from the machine, Host from pods; the port of both is 5432.
	Address  string `json:"address"`
	Host     string `json:"host"`
	Programs string `json:"programs"`
}

func parseSettings(arguments []string) (s settings, err error) {
	if len(arguments) != 1 {
		return s, errors.New("only `weir-cluster up` starts this")
	}
	return s, json.Unmarshal([]byte(arguments[0]), &s)
}

// serve starts every component, says where they are, and then watches them until one fails.
func serve(arguments []string) error {
	s, err := parseSettings(arguments)
	if err != nil {
		return err
	}
	started := time.Now()
	// Debian's soft limit of 1024 open files is none for a node; what is set here is inherited by all.
	if err := raiseFileLimit(); err != nil {
		return err
	}
	ctx, failed := context.WithCancelCause(context.Background())
	c := &cluster{settings: s, PauseImage: "weir.local/pause:1", CNIPrograms: cniPrograms}
	c.supervisor = &supervisor{dir: s.Dir, failed: failed, components: map[string]*component{}, env: append(os.Environ(), "PATH="+s.Programs+":"+os.Getenv("PATH"))}
	if err := errors.Join(c.network(), c.prepare()); err != nil {
		return err
	}
	err = together(
		c.startPostgreSQL,
		inOrder(
			together(inOrder(c.startContainerd, c.importPause), inOrder(c.startEtcd, c.startAPIServer)),
			together(c.startControllerManager, c.startScheduler, c.startKubelet, c.startKubeProxy, inOrder(c.createObjects, c.startCoreDNS)),
		),
	)(ctx)
	if err == nil {
		err = step("names resolve, and Services lead somewhere", func() error {
			limited, cancel := context.WithTimeout(ctx, startLimit)
			defer cancel()
			return poll(limited, c.servicesWork)
		})
	}
	if err == nil {
		err = c.serveControl(ctx)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(c.place())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, description), text, 0o644); err != nil {
		return err
	}
	say("%-46s %s", "the cluster of "+c.Dir+" is ready", since(started))
	fmt.Println(string(text))
	<-ctx.Done()
	return context.Cause(ctx)
}

func (c *cluster) place() place {
	return place{
		Dir:        c.Dir,
		Kubeconfig: filepath.Join(c.Dir, "kubeconfig"),
		Programs:   c.Programs,
		CA:         filepath.Join(c.Dir, "certificates/ca.crt"),
		Containerd: filepath.Join(c.Dir, "containerd.sock"),
		Addresses:  placeAddresses{c.Node.String(), c.Machine.String(), c.Pods.String(), c.Services.String()},
		PostgreSQL: placePostgreSQL{filepath.Join(c.Dir, "postgresql/socket"), c.Node.String(), postgresHost, c.PostgresPrograms},
		AuditLog:   filepath.Join(c.Dir, "log/audit.log"),
		Cgroup:     c.Cgroup,
		Interface:  c.Interface,
	}
}

// prepare writes certificates and configuration.
func (c *cluster) prepare() error {
	for _, dir := range []string{"log/pods", "config/cni", "etcd", "temporary"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	c.env = append(c.env, "TMPDIR="+filepath.Join(c.Dir, "temporary"))
	c.Snapshotter = snapshotter(filepath.Join(c.Dir, "temporary"))
	if err := c.certificates(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	for _, name := range []string{"containerd.toml", "kubelet.yaml", "kube-proxy.yaml", "Corefile", "objects.yaml"} {
		if err := c.render(name, "config/"+name, c); err != nil {
			return err
		}
	}
	audit := error(nil)
	if c.AuditPolicy == "" {
		c.AuditPolicy = filepath.Join(c.Dir, "config/audit-policy.yaml")
		audit = c.render("audit-policy.yaml", "config/audit-policy.yaml", c)
	}
	return errors.Join(audit, c.render("cni.conflist", "config/cni/10-pods.conflist", c))
}

// kubeconfig writes the file by which a user reaches the API server, from inside and from the machine alike.
func (c *cluster) kubeconfig(file, user string, id identity) error {
	encode := base64.StdEncoding.EncodeToString
	return c.render("kubeconfig", file, map[string]string{
		"Node": c.Node.String(), "User": user, "CA": encode(c.authority.pem), "Certificate": encode(id.certificate), "Key": encode(id.key),
	})
}

// snapshotter is overlayfs, unless the directory's file system cannot carry it (as inside some containers).
func snapshotter(scratch string) string {
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		_ = os.Mkdir(filepath.Join(scratch, name), 0o755)
	}
	in := func(name string) string { return filepath.Join(scratch, name) }
	err := syscall.Mount("overlay", in("merged"), "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", in("lower"), in("upper"), in("work")))
	if err != nil {
		say("no overlayfs here (%v): images are copied, which is slower", err)
		return "native"
	}
	_ = syscall.Unmount(in("merged"), 0)
	return "overlayfs"
}

func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
