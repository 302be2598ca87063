package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gravity/internal/local/child"
)

const (
	// role is whom Temporal is to the database, which is nobody else's.
	role = "temporal"
	// histories and visibility are the two databases, by the names that Temporal's documentation gives them.
	histories, visibility = "temporal", "temporal_visibility"
	// maxConnections is above what the server opens for both of them.
	maxConnections = 200
	// startPatience is the moment that a database takes to end when its parent was killed, in which the next one would
	// still find it there.
	startPatience = 5 * time.Second
)

// database is PostgreSQL with a data folder of its own.
type database struct {
	options  Options
	binaries Binaries
	port     int
	password string
	account  *syscall.Credential
	process  *child.Process
}

// newDatabase makes the data folder, unless a whole one is there.
func newDatabase(ctx context.Context, options Options, binaries Binaries) (*database, error) {
	d := &database{options: options, binaries: binaries}
	ports, err := child.FreePorts(1)
	if err != nil {
		return nil, err
	}
	d.port = ports[0]
	if d.account, err = unprivileged(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.whole()); errors.Is(err, fs.ErrNotExist) {
		return d, d.create(ctx)
	}
	password, err := os.ReadFile(d.passwordFile())
	if err != nil {
		return nil, fmt.Errorf("read the database's password: %w", err)
	}
	d.password = string(password)
	return d, nil
}

// unprivileged is an account for PostgreSQL when this process is root, as whom it refuses to run; else nil.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	found, err := user.Lookup("postgres")
	if err != nil {
		if found, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("find an account for PostgreSQL, which does not run as root: %w", err)
		}
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", found.Username, err)
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", found.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (d *database) data() string         { return filepath.Join(d.options.Directory, "postgresql") }
func (d *database) passwordFile() string { return filepath.Join(d.options.Directory, "password") }

// whole is a file that exists once the data folder is complete, schema and all.
func (d *database) whole() string { return filepath.Join(d.options.Directory, "complete") }

// create starts with an empty folder: what is there was left by a start that did not get to the end.
func (d *database) create(ctx context.Context) error {
	d.options.Progress("making a PostgreSQL database")
	if err := os.RemoveAll(d.data()); err != nil {
		return fmt.Errorf("clear the database's folder: %w", err)
	}
	if err := os.Mkdir(d.data(), 0o700); err != nil {
		return fmt.Errorf("make the database's folder: %w", err)
	}
	d.password = rand.Text()
	if err := os.WriteFile(d.passwordFile(), []byte(d.password), 0o600); err != nil {
		return fmt.Errorf("write the database's password: %w", err)
	}
	if d.account != nil {
		for _, path := range []string{d.data(), d.passwordFile()} {
			if err := os.Chown(path, int(d.account.Uid), int(d.account.Gid)); err != nil {
				return fmt.Errorf("give the database's folder to its account: %w", err)
			}
		}
	}
	command := d.command("initdb", d.binaries.initdb, "--pgdata", d.data(), "--username", role, "--pwfile", d.passwordFile(),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C")
	if err := child.Run(ctx, command); err != nil {
		return fmt.Errorf("make a PostgreSQL database in %s: %w", d.data(), err)
	}
	return nil
}

func (d *database) command(name, path string, arguments ...string) child.Command {
	return child.Command{
		Name: name, Path: path, Arguments: arguments, Environment: child.Environment(), Account: d.account, Log: d.options.Log,
	}
}

// start tries again while it ends at once: a database whose parent was killed may be about to end.
func (d *database) start(ctx context.Context) error {
	d.options.Progress("starting PostgreSQL")
	retry := time.NewTicker(4 * askEvery)
	defer retry.Stop()
	for began := time.Now(); ; {
		err := d.startOnce(ctx)
		if !errors.Is(err, errEarly) || time.Since(began) > startPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-retry.C:
		}
	}
}

// startOnce leaves PostgreSQL's defaults alone, fsync among them: what it has confirmed is to be on the disk.
func (d *database) startOnce(ctx context.Context) error {
	process, err := child.Start(d.command("postgres", d.binaries.postgres,
		"-D", d.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(d.port), "-k", "", "-N", strconv.Itoa(maxConnections),
		"-c", "shared_buffers=256MB"))
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	d.process = process
	err = await(ctx, process, "PostgreSQL", d.options.Progress, func(ctx context.Context) error {
		return child.Run(ctx, d.command("pg_isready", d.binaries.isready, "-h", "127.0.0.1", "-p", strconv.Itoa(d.port)))
	})
	if err != nil {
		return errors.Join(err, d.kill())
	}
	return nil
}

// prepare brings both databases to the schema of this version of Temporal, and makes them first where they are missing.
func (d *database) prepare(ctx context.Context) error {
	d.options.Progress("preparing Temporal's schema")
	for name, schema := range map[string]string{histories: "postgresql/v12/temporal", visibility: "postgresql/v12/visibility"} {
		if _, err := os.Stat(d.whole()); errors.Is(err, fs.ErrNotExist) {
			if err := d.schema(ctx, name, "create-database", "--defaultdb", "postgres"); err != nil {
				return err
			}
			if err := d.schema(ctx, name, "setup-schema", "--version", "0.0"); err != nil {
				return err
			}
		}
		if err := d.schema(ctx, name, "update-schema", "--schema-name", schema); err != nil {
			return err
		}
	}
	if err := os.WriteFile(d.whole(), nil, 0o600); err != nil {
		return fmt.Errorf("note that the database is complete: %w", err)
	}
	return nil
}

// schema runs Temporal's own tool, which takes the password from its environment.
func (d *database) schema(ctx context.Context, name string, arguments ...string) error {
	err := child.Run(ctx, child.Command{
		Name: "temporal-sql-tool", Path: d.binaries.schema, Log: d.options.Log,
		Arguments: append([]string{
			"--plugin", plugin, "--endpoint", "127.0.0.1", "--port", strconv.Itoa(d.port), "--user", role, "--database", name,
		}, arguments...),
		Environment: append(child.Environment(), "SQL_PASSWORD="+d.password),
	})
	if err != nil {
		return fmt.Errorf("temporal-sql-tool %s for database %s: %w", strings.Join(arguments, " "), name, err)
	}
	return nil
}

// kill ends all of its processes.
func (d *database) kill() error {
	if d.process == nil {
		return nil
	}
	err := killFamily(d.process)
	d.process = nil
	return err
}

// stop lets PostgreSQL end in order, without waiting for whoever is connected.
func (d *database) stop() error {
	if d.process == nil {
		return nil
	}
	err := d.process.End(os.Interrupt, stopTimeout)
	d.process = nil
	return err
}
