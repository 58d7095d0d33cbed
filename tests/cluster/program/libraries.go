package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// closure finds what a dynamic program or library needs at run time: path in the image -> file of this machine, the
// loader included. It reads the ELF headers as ld.so(8) does and never runs the file. What is opened by name at run
// time (dlopen) cannot be found this way: add it like a program.
func closure(file string) (map[string]string, error) {
	found := map[string]string{}
	return found, resolve(file, nil, found)
}

// inherited is the DT_RPATH of those that need this file; DT_RUNPATH is not inherited.
func resolve(file string, inherited []string, found map[string]string) error {
	head, err := readHead(file)
	if err != nil || head == nil {
		return err
	}
	defer head.Close()
	if loader := interpreter(head); loader != "" {
		if found[loader], err = filepath.EvalSymlinks(loader); err != nil {
			return fmt.Errorf("the loader of %q: %w", file, err)
		}
	}
	needed, err := head.ImportedLibraries()
	if err != nil {
		return nil // no dynamic section: a static program
	}
	rpath, runpath := searchPath(head, elf.DT_RPATH, file), searchPath(head, elf.DT_RUNPATH, file)
	if len(runpath) > 0 {
		rpath = nil
	}
	inherited = append(rpath, inherited...)
	for _, name := range needed {
		at, target, err := find(name, append(inherited[:len(inherited):len(inherited)], runpath...))
		if err != nil {
			return fmt.Errorf("%q needs %q: %w", file, name, err)
		}
		if _, done := found[target]; done {
			continue
		}
		found[target] = at
		if err := resolve(at, inherited, found); err != nil {
			return err
		}
	}
	return nil
}

// readHead opens an ELF file of this machine's kind; nil is anything else.
func readHead(file string) (*elf.File, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	magic := make([]byte, len(elf.ELFMAG))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != elf.ELFMAG {
		return nil, nil
	}
	head, err := elf.Open(file)
	if err != nil || head.Type != elf.ET_EXEC && head.Type != elf.ET_DYN {
		return nil, nil // an object file, or one for another machine that happens to lie in a tree
	}
	return head, nil
}

func interpreter(head *elf.File) string {
	for _, p := range head.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err == nil {
				return string(bytes.TrimRight(text, "\x00"))
			}
		}
	}
	return ""
}

func searchPath(head *elf.File, tag elf.DynTag, file string) []string {
	values, err := head.DynString(tag)
	if err != nil {
		return nil
	}
	origin := filepath.Dir(file)
	var dirs []string
	for _, value := range values {
		for _, dir := range strings.Split(value, ":") {
			dirs = append(dirs, strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(dir))
		}
	}
	return dirs
}

// find looks in the directories that the file names, then in the loader's cache. A library of the cache may lie in a
// directory that only the cache knows, so in the image it goes to where libc is: that is searched without a cache.
func find(name string, dirs []string) (at, target string, err error) {
	if filepath.IsAbs(name) {
		at, err := filepath.EvalSymlinks(name)
		return at, name, err
	}
	for _, dir := range dirs {
		if at, err := filepath.EvalSymlinks(filepath.Join(dir, name)); err == nil {
			return at, filepath.Join(dir, name), nil
		}
	}
	known, err := loaderCache()
	if err != nil {
		return "", "", err
	}
	if known[name] == "" {
		return "", "", errors.New("not found: install the package that it is in")
	}
	at, err = filepath.EvalSymlinks(known[name])
	return at, filepath.Join(filepath.Dir(known["libc.so.6"]), name), err
}

// loaderCache is the list of ldconfig: name -> file, the first of each name, which is this machine's own kind.
var loaderCache = sync.OnceValues(func() (map[string]string, error) {
	ldconfig, err := exec.LookPath("ldconfig")
	if err != nil {
		ldconfig = "/sbin/ldconfig"
	}
	output, err := exec.Command(ldconfig, "-p").Output()
	if err != nil {
		return nil, fmt.Errorf("ldconfig -p: %w", err)
	}
	known := map[string]string{}
	for _, line := range strings.Split(string(output), "\n") {
		entry, file, ok := strings.Cut(strings.TrimSpace(line), " => ")
		name, _, _ := strings.Cut(entry, " ")
		if ok && known[name] == "" {
			known[name] = file
		}
	}
	return known, nil
})
