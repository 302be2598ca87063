package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"time"

	"go.temporal.io/sdk/client"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/worker/connection"
	"gravity/worker/tracing"
)

// globals is what all commands share: the global flags, and what follows from them.
type globals struct {
	output     string
	configPath string
	profile    string
	address    string
	namespace  string
	// encryptionKeys is the file of keys where payloads are encrypted; see connection.LoadEncryption.
	encryptionKeys string

	stdout, stderr io.Writer
	// pace is how often something that is watched is asked.
	pace time.Duration
	// temporal is connected by the first command that needs it.
	temporal client.Client
	// service is what traces call this process, and traces are those of it, once connected. A service has a log.
	service string
	traces  *tracing.Traces
	log     *slog.Logger
	// where is the address that was dialled, for messages.
	where string
}

func newGlobals(stdout, stderr io.Writer) *globals {
	return &globals{stdout: stdout, stderr: stderr, service: "gravity-starter", traces: tracing.Off}
}

// check looks at the global flags before any command runs.
func (g *globals) check() error {
	if g.output != "text" && g.output != "json" {
		return wrongUse("--output is %q: it is text or json", g.output)
	}
	if g.configPath == "" {
		g.configPath = os.Getenv("GRAVITY_CONFIG")
	}
	if g.configPath == "" {
		g.configPath = config.DefaultPath
	}
	if g.encryptionKeys == "" {
		g.encryptionKeys = os.Getenv("GRAVITY_ENCRYPTION_KEYS_FILE")
	}
	return nil
}

func (g *globals) json() bool { return g.output == "json" }

// connect reaches Temporal, once.
func (g *globals) connect(ctx context.Context) (client.Client, error) {
	if g.temporal != nil {
		return g.temporal, nil
	}
	traces, err := tracing.Start(ctx, g.service, g.log)
	if err != nil {
		return nil, err
	}
	g.traces = traces
	options, err := connection.Settings{
		Profile: g.profile, Address: g.address, Namespace: g.namespace, Identity: identity(), EncryptionKeysFile: g.encryptionKeys, Traces: traces,
	}.Options()
	if err != nil {
		return nil, err
	}
	temporal, err := connection.Dial(ctx, options)
	if err != nil {
		return nil, err
	}
	g.temporal, g.where, g.namespace = temporal, options.HostPort, options.Namespace
	if options.DataConverter != nil {
		g.temporal = connection.Decoding{Client: temporal, Data: options.DataConverter}
	}
	return g.temporal, nil
}

func (g *globals) close() {
	if g.temporal != nil {
		g.temporal.Close()
	}
	if err := g.traces.Stop(); err != nil && g.log != nil {
		g.log.Warn("traces are lost", "error", err)
	}
}

// load reads the pipelines' file, which has to be there.
func (g *globals) load() (config.File, error) { return config.Load(g.configPath) }

// loadIfThere reads the pipelines' file where it only helps. One that is there has to be right.
func (g *globals) loadIfThere() (config.File, error) {
	if _, err := os.Stat(g.configPath); errors.Is(err, fs.ErrNotExist) {
		return config.File{}, nil
	}
	return g.load()
}

// show prints a command's result: one JSON document, or text for people.
func (g *globals) show(document any, text func(w io.Writer)) error {
	if !g.json() {
		text(g.stdout)
		return nil
	}
	encoder := json.NewEncoder(g.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

// person is the name under which this user's answers go on record.
func person() string {
	if current, err := user.Current(); err == nil && current.Username != "" {
		return current.Username
	}
	return os.Getenv("USER")
}

// identity is what Temporal's histories call this client. It is set by the machine, not by --by.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return person() + "@" + host
}

// wrongUse makes an error that only another command line can mend.
func wrongUse(format string, arguments ...any) error {
	return delivery.Errorf(delivery.InvalidInput, format, arguments...)
}
