package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// How pods reach PostgreSQL, and every name by which its certificate is valid.
const postgresHost = "postgres.database.svc.cluster.local"

var postgresNames = []string{postgresHost, "postgres.database.svc", "postgres.database", "postgres", "localhost"}

// postgresGroups are roles whose members log in another way than by SCRAM: config/pg_hba.conf says how.
const postgresGroups = "create role login_trust; create role login_password; create role login_md5; create role tls_only;"

// startPostgreSQL makes a new database cluster, of its own user, and serves it.
func (c *cluster) startPostgreSQL(ctx context.Context) error {
	uid, gid, err := account("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL refuses to run as root, and its package has not made the user postgres: %w", err)
	}
	user := &syscall.Credential{Uid: uid, Gid: gid}
	dir := c.file("postgresql")
	for _, path := range []string{dir, dir + "/socket", dir + "/data"} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
	}
	if err := step("initdb", func() error { return c.initdb(ctx, user, dir) }); err != nil {
		return err
	}
	postgres := &component{
		name:      "postgresql",
		arguments: []string{filepath.Join(c.PostgresPrograms, "postgres"), "-D", dir + "/data", "-c", "config_file=" + c.file("config/postgresql.conf")},
		user:      user,
		ready:     func(ctx context.Context) error { return c.psql(ctx, "select 1") },
		limit:     startLimit,
	}
	if err := c.start(ctx, postgres); err != nil {
		return err
	}
	return c.psql(ctx, postgresGroups)
}

// initdb makes the data directory; the files that PostgreSQL reads belong to its user.
func (c *cluster) initdb(ctx context.Context, user *syscall.Credential, dir string) error {
	for from, to := range map[string]string{"postgresql.crt": "server.crt", "postgresql.key": "server.key"} {
		content, err := os.ReadFile(c.file("certificates/" + from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, to), content, 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"postgresql.conf", "pg_hba.conf"} {
		if err := c.render(name, "config/"+name, c); err != nil {
			return err
		}
		if err := os.Chmod(c.file("config/"+name), 0o644); err != nil {
			return err
		}
	}
	if err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(user.Uid), int(user.Gid))
	}); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.PostgresPrograms, "initdb"), "--pgdata", dir+"/data", "--username", "postgres",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "scram-sha-256", "--auth-local", "trust", "--no-sync", "--no-instructions")
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: user}, "/"
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

// psql runs SQL as the superuser.
func (c *cluster) psql(ctx context.Context, sql string) error {
	return exits(filepath.Join(c.PostgresPrograms, "psql"), "--no-psqlrc", "--quiet", "--host", c.file("postgresql/socket"),
		"--username", "postgres", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null", "--command", sql, "postgres")(ctx)
}
