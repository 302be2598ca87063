package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"gravity/internal/local/pinned"
)

// ErrNoPostgreSQL says what to install.
var ErrNoPostgreSQL = errors.New("no PostgreSQL here: install it (Debian's package postgresql), " +
	"or put the folder of its programs initdb, postgres and pg_isready in PATH")

// temporalServer and schemaTool are of one version, since the server wants the schema that the tool makes.
var (
	temporalServer = pinned.Program{
		Folder:  "temporal-server",
		Name:    "temporal-server",
		Module:  "go.temporal.io/server",
		Package: "go.temporal.io/server/cmd/server",
		Title:   "Temporal's server",
		Takes:   "4 minutes",
	}
	schemaTool = pinned.Program{
		Folder:  "temporal-server",
		Name:    "temporal-sql-tool",
		Module:  "go.temporal.io/server",
		Package: "go.temporal.io/server/cmd/tools/sql",
		Title:   "Temporal's schema tool",
		Takes:   "a minute",
	}
)

// Binaries are the paths of the programs that a cluster is made of.
type Binaries struct {
	// Temporal is its server.
	Temporal                  string
	schema                    string
	initdb, postgres, isready string
}

// Programs finds PostgreSQL, and finds or builds Temporal's server and schema tool; building takes minutes, once a
// version, and is told through progress.
func Programs(ctx context.Context, progress func(string)) (b Binaries, err error) {
	for name, path := range map[string]*string{"initdb": &b.initdb, "postgres": &b.postgres, "pg_isready": &b.isready} {
		if *path = postgreSQL(name); *path == "" {
			return Binaries{}, ErrNoPostgreSQL
		}
	}
	if b.Temporal, err = temporalServer.Binary(ctx, progress); err != nil {
		return Binaries{}, err
	}
	if b.schema, err = schemaTool.Binary(ctx, progress); err != nil {
		return Binaries{}, err
	}
	return b, nil
}

// postgreSQL looks for one of its programs, in PATH and then where Debian keeps them, one folder a version.
func postgreSQL(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob(filepath.Join("/usr/lib/postgresql/*/bin", name)) // only a wrong pattern is an error
	found = slices.DeleteFunc(found, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.IsDir() || info.Mode()&0o111 == 0
	})
	if len(found) == 0 {
		return ""
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
}

func version(path string) int {
	number, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // what is no version comes first
	return number
}
