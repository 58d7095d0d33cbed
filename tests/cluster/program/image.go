package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// An image is one layer of files and how to start it. Its archive depends on nothing but the files' content,
// modes and names: the same input gives the same bytes.
type image struct {
	Name       string // as in a pod, for example weir.local/psql:1
	Entrypoint []string
	User       string
	Env        []string
	WorkingDir string

	files map[string]entry // by absolute path in the image
}

type entry struct {
	source string // a file of this machine; its content is read when the archive is written
	link   string // or the target of a symbolic link
	text   string // or literal content
	mode   fs.FileMode
}

// add puts a file or a tree of this machine into the image, and what the programs among it need to run.
func (i *image) add(source, target string) error {
	if i.files == nil {
		i.files = map[string]entry{}
	}
	root, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(from string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, from)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		to := path.Join(target, relative)
		switch mode := info.Mode(); mode.Type() {
		case fs.ModeDir:
			i.files[to] = entry{mode: fs.ModeDir | 0o755}
		case fs.ModeSymlink:
			link, err := os.Readlink(from)
			i.files[to] = entry{link: link, mode: fs.ModeSymlink | 0o777}
			return err
		case 0:
			// Executable or not is all that an image needs to know; the rest depends on somebody's umask.
			i.files[to] = entry{source: from, mode: 0o644 | mode.Perm()&0o111}
			return i.addLibraries(from)
		}
		return nil
	})
}

// addLibraries adds the loader and the libraries of a dynamic program or library; other files have none.
func (i *image) addLibraries(file string) error {
	libraries, err := closure(file)
	if err != nil {
		return err
	}
	for to, from := range libraries {
		i.files[to] = entry{source: from, mode: 0o755}
	}
	if len(libraries) > 0 {
		// Without it glibc asks DNS first, and does not know the name localhost.
		i.files["/etc/nsswitch.conf"] = entry{text: "hosts: files dns\n", mode: 0o644}
	}
	return nil
}

func (i *image) check() error {
	if len(i.Entrypoint) == 0 {
		return errors.New("an image needs an entrypoint")
	}
	program := i.Entrypoint[0]
	e, found := i.files[program]
	if !found || e.mode.Type() == 0 && e.mode&0o111 == 0 {
		return fmt.Errorf("the entrypoint %q is no program in the image", program)
	}
	if e.source == "" {
		return nil
	}
	head := make([]byte, 2)
	file, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.ReadFull(file, head); err == nil && string(head) == "#!" {
		return fmt.Errorf("%q is a script: pack its interpreter, and name that as the entrypoint", e.source)
	}
	return nil
}

// canonicalName completes a name as container runtimes do before they look an image up.
func canonicalName(name string) string {
	registry, _, hasPath := strings.Cut(name, "/")
	switch {
	case !hasPath:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(registry, ".:") && registry != "localhost":
		name = "docker.io/" + name
	}
	if strings.LastIndex(name, ":") < strings.LastIndex(name, "/") {
		name += ":latest"
	}
	return name
}
