package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
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

// write makes the OCI archive. It carries a Docker manifest too, which older programs want.
func (i *image) write(archive string) error {
	if err := i.check(); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(archive), ".archive-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if err := i.writeTo(out, filepath.Dir(archive)); err != nil {
		return fmt.Errorf("write %q: %w", archive, err)
	}
	// A rename into place, so that parallel packers of one image never meet half a file.
	return errors.Join(out.Chmod(0o644), out.Close(), os.Rename(out.Name(), archive))
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

func (i *image) writeTo(out io.Writer, scratch string) error {
	layer, err := os.CreateTemp(scratch, ".layer-")
	if err != nil {
		return err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	digest := sha256.New()
	if err := i.writeLayer(io.MultiWriter(layer, digest)); err != nil {
		return err
	}
	size, err := layer.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	layerDigest := hex.EncodeToString(digest.Sum(nil))

	config := encode(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.Entrypoint, "User": i.User, "Env": i.Env, "WorkingDir": i.WorkingDir},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layerDigest}},
	})
	const oci = "application/vnd.oci.image."
	manifest := encode(map[string]any{
		"schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
		"config": descriptor(oci+"config.v1+json", config),
		"layers": []any{map[string]any{"mediaType": oci + "layer.v1.tar", "digest": "sha256:" + layerDigest, "size": size}},
	})
	name := canonicalName(i.Name)
	described := descriptor(oci+"manifest.v1+json", manifest)
	described["annotations"] = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name[strings.LastIndex(name, ":")+1:]}
	index := encode(map[string]any{"schemaVersion": 2, "mediaType": oci + "index.v1+json", "manifests": []any{described}})
	docker := encode([]any{map[string]any{"Config": "blobs/sha256/" + digestOf(config), "RepoTags": []string{name}, "Layers": []string{"blobs/sha256/" + layerDigest}}})

	archive := tar.NewWriter(out)
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
		{"manifest.json", docker},
		{"blobs/sha256/" + digestOf(manifest), manifest},
		{"blobs/sha256/" + digestOf(config), config},
	} {
		if err := writeFile(archive, file.name, 0o644, int64(len(file.content)), strings.NewReader(string(file.content))); err != nil {
			return err
		}
	}
	if err := writeFile(archive, "blobs/sha256/"+layerDigest, 0o644, size, layer); err != nil {
		return err
	}
	return archive.Close()
}

// writeLayer writes the files in the order of their names, with every directory above them.
func (i *image) writeLayer(out io.Writer) error {
	all := map[string]entry{"/tmp": {mode: fs.ModeDir | 0o1777}}
	for name, e := range i.files {
		all[name] = e
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			if _, found := i.files[dir]; !found {
				if _, found := all[dir]; !found {
					all[dir] = entry{mode: fs.ModeDir | 0o755}
				}
			}
		}
	}
	delete(all, "/")
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	layer := tar.NewWriter(out)
	for _, name := range names {
		if err := all[name].write(layer, strings.TrimPrefix(name, "/")); err != nil {
			return fmt.Errorf("pack %q: %w", name, err)
		}
	}
	return layer.Close()
}

func (e entry) write(layer *tar.Writer, name string) error {
	switch {
	case e.mode.IsDir():
		return layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(e.mode & 0o1777)})
	case e.link != "":
		return layer.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: e.link, Mode: 0o777})
	case e.source == "":
		return writeFile(layer, name, int64(e.mode), int64(len(e.text)), strings.NewReader(e.text))
	}
	file, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return writeFile(layer, name, int64(e.mode), info.Size(), file)
}

func writeFile(archive *tar.Writer, name string, mode, size int64, content io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}

func descriptor(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": "sha256:" + digestOf(content), "size": len(content)}
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, slices, strings and numbers are always encoded
	}
	return text
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
