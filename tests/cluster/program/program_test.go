package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachSlotHasItsOwnAddressesInOneRange(t *testing.T) {
	all := netip.MustParsePrefix("198.18.0.0/15")
	var before []netip.Prefix
	for n := range slots {
		a := (&slot{number: n}).addresses()
		for _, other := range before {
			if a.All.Overlaps(other) {
				t.Fatalf("slot %d: %v overlaps %v", n, a.All, other)
			}
		}
		before = append(before, a.All)
		if !all.Contains(a.All.Addr()) || a.All.Masked() != a.All || a.Pods.Masked() != a.Pods || a.Services.Masked() != a.Services {
			t.Errorf("slot %d: %+v", n, a)
		}
		for _, service := range []netip.Addr{a.API, a.DNS, a.Postgres} {
			if !a.Services.Contains(service) || a.Pods.Contains(service) {
				t.Errorf("slot %d: %v is no address of a Service", n, service)
			}
		}
		for _, end := range []netip.Addr{a.Machine, a.Node} {
			if !a.All.Contains(end) || a.Pods.Contains(end) || a.Services.Contains(end) {
				t.Errorf("slot %d: %v is no end of the link", n, end)
			}
		}
	}
}

func TestNamesOfImagesAreCompletedAsRuntimesDo(t *testing.T) {
	for name, canonical := range map[string]string{
		"weir":                    "docker.io/library/weir:latest",
		"weir:1":                  "docker.io/library/weir:1",
		"team/weir:1":             "docker.io/team/weir:1",
		"weir.local/weir:1":       "weir.local/weir:1",
		"weir.local/weir":         "weir.local/weir:latest",
		"localhost/weir:1":        "localhost/weir:1",
		"localhost:5000/weir":     "localhost:5000/weir:latest",
		"host.example/a/b/weir:1": "host.example/a/b/weir:1",
	} {
		if got := canonicalName(name); got != canonical {
			t.Errorf("%s: %s, not %s", name, got, canonical)
		}
	}
}

func TestTheSameFilesGiveTheSameArchive(t *testing.T) {
	dir := t.TempDir()
	write := func(archive string) []byte {
		i := image{Name: "weir.local/sh:1", Entrypoint: []string{"/bin/sh"}, User: "65532:65532"}
		if err := i.add("/bin/sh", "/bin/sh"); err != nil {
			t.Fatal(err)
		}
		if err := i.write(filepath.Join(dir, archive)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, archive))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	if one, other := write("one"), write("other"); !bytes.Equal(one, other) {
		t.Error("two archives of the same files differ")
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("something else is left: %v", left)
	}
}

func TestADynamicProgramBringsItsLoaderAndLibraries(t *testing.T) {
	libraries, err := closure("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for path := range libraries {
		names = append(names, filepath.Base(path))
	}
	all := strings.Join(names, " ")
	if !strings.Contains(all, "ld-linux") || !strings.Contains(all, "libc.so.6") {
		t.Errorf("found only %s", all)
	}
}

func TestEntrypointsThatCannotRunAreRefused(t *testing.T) {
	dir := t.TempDir()
	script, text := filepath.Join(dir, "script"), filepath.Join(dir, "text")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for entrypoint, reason := range map[string]string{"/script": "is a script", "/text": "is no program", "/absent": "is no program"} {
		i := image{Name: "x", Entrypoint: []string{entrypoint}}
		for _, source := range []string{script, text} {
			if err := i.add(source, "/"+filepath.Base(source)); err != nil {
				t.Fatal(err)
			}
		}
		if err := i.write(filepath.Join(dir, "archive")); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", entrypoint, err)
		}
	}
}

func TestADirectoryOfSomebodyElseIsNeverTouched(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "weir-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := prepareDirectory(dir); err == nil || !strings.Contains(err.Error(), "no cluster's directory") {
		t.Errorf("taken: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if err := os.Remove(precious); err != nil {
		t.Fatal(err)
	}
	d, err := prepareDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.unlock()
	if _, err := prepareDirectory(dir); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("taken twice: %v", err)
	}
}
