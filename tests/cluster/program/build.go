package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A tool is a Go module below the sources that is built into one static file.
type tool struct {
	module, label string
	source        string   // the module whose version in go.mod is the tool's
	links         []string // the names under which the file is found in the directory of programs
	expect        string   // how long a build takes where nothing is cached, on 2 cores
	stamp         string   // linker flags; VERSION, MAJOR and MINOR are replaced
	arguments     []string // of go build
}

// A server that is not stamped says that it is v0.0.0-master, which breaks a chart's kubeVersion.
const kubernetesStamp = " -X k8s.io/component-base/version.gitVersion=VERSION -X k8s.io/component-base/version.gitMajor=MAJOR" +
	" -X k8s.io/component-base/version.gitMinor=MINOR -X k8s.io/client-go/pkg/version.gitVersion=VERSION"

var tools = []tool{
	{"kubernetes", "Kubernetes", "k8s.io/kubernetes",
		[]string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"},
		"10 minutes", kubernetesStamp, []string{"-tags", "grpcnotrace", "."}},
	{"coredns", "CoreDNS", "github.com/coredns/coredns", []string{"coredns"}, "1 minute", "", []string{"."}},
	{"helm", "Helm", "helm.sh/helm/v4", []string{"helm"}, "2 minutes",
		" -X helm.sh/helm/v4/internal/version.version=VERSION", []string{"helm.sh/helm/v4/cmd/helm"}},
}

func buildTools([]string) error {
	programs, err := programs(context.Background())
	if err == nil {
		fmt.Println(programs)
	}
	return err
}

// programs builds what is not in the cache and returns a directory with a link for every program.
func programs(ctx context.Context) (string, error) {
	var files []string
	for _, t := range tools {
		file, err := t.build(ctx)
		if err != nil {
			return "", fmt.Errorf("build %s: %w", t.label, err)
		}
		files = append(files, file)
	}
	return linkPrograms(files)
}

// linkPrograms names its directory by the files that it links to, so a newer version never changes it under a running cluster.
func linkPrograms(files []string) (string, error) {
	sum := sha256.Sum256([]byte(strings.Join(files, "\n")))
	dir := filepath.Join(cacheDirectory(), "programs", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for i, t := range tools {
		for _, name := range t.links {
			if err := os.Symlink(files[i], filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
				return "", err
			}
		}
	}
	return dir, nil
}

// cacheDirectory is outside the source tree, so a fresh clone of the project builds nothing twice. The script
// weir-cluster has chosen it, because it is there itself.
func cacheDirectory() string { return os.Getenv("WEIR_CACHE") }

// build returns the tool's file, which it builds unless the cache has one of the same sources, compiler and arguments.
func (t tool) build(ctx context.Context) (string, error) {
	sources := filepath.Join(os.Getenv("WEIR_CLUSTER_SOURCES"), t.module)
	version, err := t.version(sources)
	if err != nil {
		return "", err
	}
	part := strings.Split(strings.TrimPrefix(version, "v"), ".")
	stamp := strings.NewReplacer("VERSION", version, "MAJOR", part[0], "MINOR", part[1]).Replace(t.stamp)
	arguments := append([]string{"-trimpath", "-ldflags", "-s -w" + stamp}, t.arguments...)
	key, err := buildKey(sources, arguments)
	if err != nil {
		return "", err
	}
	target := filepath.Join(cacheDirectory(), "tools", t.module+"-"+version+"-"+key)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	unlock, err := t.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	started := time.Now()
	say("building %s %s (about %s on 2 cores where Go's cache is empty)", t.label, version, t.expect)
	partial := target + ".partial"
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-C", sources, "-o", partial}, arguments...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	output, err := t.watch(cmd, started)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, tail(output))
	}
	if err := os.Rename(partial, target); err != nil {
		return "", err
	}
	say("built %s in %s", t.label, since(started))
	return target, nil
}

// version reads which version of its source the tool's module requires.
func (t tool) version(sources string) (string, error) {
	mod, err := os.ReadFile(filepath.Join(sources, "go.mod"))
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^(?:require|)\s*` + regexp.QuoteMeta(t.source) + ` (v\d+\.\d+\.\d+\S*)`).FindSubmatch(mod)
	if found == nil {
		return "", fmt.Errorf("%s/go.mod requires no %s", sources, t.source)
	}
	return string(found[1]), nil
}

// watch runs the build and says every 30 s that it goes on; of the output only an error's is of interest.
func (t tool) watch(cmd *exec.Cmd, started time.Time) ([]byte, error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the Go compiler (it has to be in PATH, 1.26 or newer): %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	progress := time.NewTicker(30 * time.Second)
	defer progress.Stop()
	for {
		select {
		case err := <-done:
			return output.Bytes(), err
		case <-progress.C:
			say("building %s: %s so far", t.label, since(started))
		}
	}
}

// lock lets one process build a tool while the others wait for it.
func (t tool) lock() (unlock func(), err error) {
	path := filepath.Join(cacheDirectory(), "tools", t.module+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		say("waiting for another process that builds %s", t.label)
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			return nil, err
		}
	}
	return func() { file.Close() }, nil
}

// buildKey is a digest of everything that determines the file.
func buildKey(sources string, arguments []string) (string, error) {
	compiler, err := exec.Command("go", "version").Output()
	if err != nil {
		return "", fmt.Errorf("run the Go compiler (it has to be in PATH, 1.26 or newer): %w", err)
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "%s%q\n", compiler, arguments)
	entries, err := os.ReadDir(sources)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !slices.Contains([]string{".go", ".mod", ".sum"}, filepath.Ext(e.Name())) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(sources, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(digest, "%s %d\n%s", e.Name(), len(content), content)
	}
	return hex.EncodeToString(digest.Sum(nil)[:6]), nil
}
