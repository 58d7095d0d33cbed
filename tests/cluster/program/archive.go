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
