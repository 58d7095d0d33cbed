package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A tool is a Go module below the sources that is built into one static file.
type tool struct {
	module, label, version string
	links                  []string // the names under which the file is found in the directory of programs
	expect                 string   // how long a build takes where nothing is cached
	arguments              []string // of go build
}

// version is what an unstamped server cannot know: it would say v0.0.0-master, which breaks a chart's kubeVersion.
const kubernetesVersion = "v1.37.2"

func tools() []tool {
	k8s := "k8s.io/component-base/version."
	return []tool{
		{"kubernetes", "Kubernetes", kubernetesVersion,
			[]string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"},
			"10 minutes on 2 cores",
			[]string{"-tags", "grpcnotrace", "-ldflags", "-s -w -X " + k8s + "gitVersion=" + kubernetesVersion + " -X " + k8s + "gitMajor=1 -X " +
				k8s + "gitMinor=37 -X " + k8s + "gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion, "."}},
		{"coredns", "CoreDNS", "v1.14.7", []string{"coredns"}, "2 minutes", []string{"-ldflags", "-s -w", "."}},
		{"helm", "Helm", "v4.3.1", []string{"helm"}, "2 minutes",
			[]string{"-ldflags", "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1", "helm.sh/helm/v4/cmd/helm"}},
	}
}

func buildTools([]string) error {
	programs, err := programs()
	if err == nil {
		fmt.Println(programs)
	}
	return err
}

// programs builds what is not in the cache and returns a directory with a link for every program.
func programs() (string, error) {
	var files []string
	for _, t := range tools() {
		file, err := t.build()
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
	for i, t := range tools() {
		for _, name := range t.links {
			if err := os.Symlink(files[i], filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
				return "", err
			}
		}
	}
	return dir, nil
}

// cacheDirectory is outside the source tree, so a fresh clone of the project builds nothing twice.
func cacheDirectory() string {
	if dir := os.Getenv("WEIR_CACHE"); dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "weir")
	}
	return "/var/cache/weir"
}

// build returns the tool's file, which it builds unless the cache has one of the same sources, compiler and arguments.
func (t tool) build() (string, error) {
	sources := filepath.Join(os.Getenv("WEIR_CLUSTER_SOURCES"), t.module)
	key, err := t.key(sources)
	if err != nil {
		return "", err
	}
	target := filepath.Join(cacheDirectory(), "tools", t.module+"-"+t.version+"-"+key)
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
	say("building %s %s (about %s where Go's cache is empty)", t.label, t.version, t.expect)
	partial := target + ".partial"
	cmd := exec.Command("go", append([]string{"build", "-C", sources, "-trimpath", "-o", partial}, t.arguments...)...)
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

// key is a digest of everything that determines the file.
func (t tool) key(sources string) (string, error) {
	compiler, err := exec.Command("go", "version").Output()
	if err != nil {
		return "", fmt.Errorf("run the Go compiler (it has to be in PATH, 1.26 or newer): %w", err)
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "%s%q\n", compiler, t.arguments)
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
