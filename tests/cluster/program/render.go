package main

import (
	"embed"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed config
var configuration embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(configuration, "config/*"))

// render writes the template config/NAME to a file of the cluster's directory, which only root may read: some hold keys.
func (c *cluster) render(name, file string, data any) error {
	out, err := os.OpenFile(filepath.Join(c.Dir, file), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	return templates.ExecuteTemplate(out, name, data)
}
