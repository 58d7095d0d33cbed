package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// pack writes an image archive from the command line.
func pack(arguments []string) error {
	flags := flag.NewFlagSet("pack", flag.ExitOnError)
	name := flags.String("name", "", "name of the image, as pods write it (required)")
	output := flags.String("output", "", "archive to write (required)")
	user := flags.String("user", "65532:65532", "numeric user and group, so that runAsNonRoot can be checked")
	dir := flags.String("directory", "/", "working directory")
	var add, env list
	flags.Var(&add, "add", "file or tree, with the libraries that it needs, as SOURCE or SOURCE=PATH (repeatable, required)")
	flags.Var(&env, "env", "environment variable, as NAME=VALUE (repeatable)")
	_ = flags.Parse(arguments)
	if *name == "" || *output == "" || len(add) == 0 || flags.NArg() == 0 {
		return errors.New("usage: weir-cluster pack --name NAME --output FILE --add SOURCE[=PATH].. [flags] -- ENTRYPOINT.. (weir-cluster pack -h lists the flags)")
	}
	i := image{Name: *name, Entrypoint: flags.Args(), User: *user, Env: env, WorkingDir: *dir}
	if !strings.Contains(strings.Join(env, "\n"), "PATH=") {
		i.Env = append(i.Env, "PATH=/usr/local/bin:/usr/bin:/bin")
	}
	for _, a := range add {
		source, target, named := strings.Cut(a, "=")
		if !named {
			absolute, err := filepath.Abs(source)
			if err != nil {
				return err
			}
			target = absolute
		}
		if !path.IsAbs(target) {
			return fmt.Errorf("the path in the image %q has to be absolute", target)
		}
		if err := i.add(source, path.Clean(target)); err != nil {
			return fmt.Errorf("add %q: %w", source, err)
		}
	}
	if err := i.write(*output); err != nil {
		return err
	}
	info, err := os.Stat(*output)
	if err == nil {
		say("packed %s: %d files, %.1f MB", i.Name, len(i.files), float64(info.Size())/1e6)
	}
	return err
}
