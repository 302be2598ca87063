package cluster

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/goccy/go-yaml"

	"gravity/internal/local/child"
)

// plugin is Temporal's name of the driver pgx, the one for PostgreSQL that is still developed.
const plugin = "postgres12_pgx"

// services are those of a Temporal server. Where clients are asked who they are, the services have a frontend of their
// own, which asks nobody: the one for clients would refuse them
// (https://docs.temporal.io/self-hosted-guide/security).
func (o Options) services() []string {
	services := []string{"frontend", "history", "matching", "worker"}
	if o.Authorization {
		services = append(services, "internal-frontend")
	}
	return services
}

// ports of each service: where it answers, and where it tells the others that it lives.
type ports map[string]servicePorts

type servicePorts struct{ GRPC, Membership int }

// choosePorts takes those of the last start, which are in the file, while they are free. The services of a start look
// for those of the last one, whom the database still lists, and lose most of a minute where they are elsewhere.
func choosePorts(file string, services []string) (ports, error) {
	chosen := ports{}
	if content, err := os.ReadFile(file); err == nil && json.Unmarshal(content, &chosen) == nil && chosen.free(services) {
		return chosen, nil
	}
	free, err := child.FreePorts(2 * len(services))
	if err != nil {
		return nil, err
	}
	for i, service := range services {
		chosen[service] = servicePorts{free[2*i], free[2*i+1]}
	}
	content, err := json.Marshal(chosen)
	if err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("note the ports of Temporal's server: %w", err)
	}
	return chosen, nil
}

func (p ports) free(services []string) bool {
	for _, service := range services {
		if !child.Free(p[service].GRPC) || !child.Free(p[service].Membership) {
			return false
		}
	}
	return true
}

// renewPorts chooses others where somebody took one while the server was down, as a second cluster on this machine
// may. That of the frontend stays: clients know it.
func (s *server) renewPorts() error {
	services := s.options.services()
	if s.ports.free(services) {
		return nil
	}
	renewed, err := choosePorts(s.portsFile(), services)
	if err != nil {
		return err
	}
	renewed["frontend"] = servicePorts{s.ports["frontend"].GRPC, renewed["frontend"].Membership}
	s.ports = renewed
	return s.writeSettings()
}

func (s *server) settingsFile() string { return filepath.Join(s.options.Directory, "server.yaml") }
func (s *server) portsFile() string    { return filepath.Join(s.options.Directory, "ports.json") }
func (s *server) dynamicFile() string  { return filepath.Join(s.options.Directory, "dynamic.yaml") }

// writeSettings writes both files that the server reads. The first holds the database's password.
func (s *server) writeSettings() error {
	dynamic := map[string]any{}
	for name, value := range dynamicSettings {
		dynamic[name] = []any{map[string]any{"value": value}}
	}
	for file, content := range map[string]map[string]any{s.settingsFile(): s.settings(), s.dynamicFile(): dynamic} {
		text, err := yaml.Marshal(content)
		if err != nil {
			return fmt.Errorf("write the settings of Temporal's server: %w", err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return fmt.Errorf("write the settings of Temporal's server: %w", err)
		}
	}
	return nil
}

// settings of the server (https://docs.temporal.io/references/configuration).
func (s *server) settings() map[string]any {
	global := map[string]any{"membership": map[string]any{"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}}
	if s.certificates != nil {
		global["tls"] = s.certificates.settings()
	}
	if s.authority != nil {
		global["authorization"] = s.authority.settings()
	}
	listeners := map[string]any{}
	for _, name := range s.options.services() {
		listeners[name] = map[string]any{"rpc": map[string]any{
			"grpcPort": s.ports[name].GRPC, "membershipPort": s.ports[name].Membership, "bindOnLocalHost": true,
		}}
	}
	return map[string]any{
		"log":    map[string]any{"stdout": true, "level": "warn"},
		"global": global,
		"persistence": map[string]any{
			"numHistoryShards": s.options.Shards,
			"defaultStore":     histories,
			"visibilityStore":  visibility,
			"datastores": map[string]any{
				histories:  store(s.database, histories, maxConnections/2),
				visibility: store(s.database, visibility, maxConnections/10),
			},
		},
		"services": listeners,
		"clusterMetadata": map[string]any{
			"enableGlobalNamespace":    false,
			"failoverVersionIncrement": 10,
			"masterClusterName":        "active",
			"currentClusterName":       "active",
			"clusterInformation": map[string]any{"active": map[string]any{
				"enabled": true, "initialFailoverVersion": 1, "rpcName": "frontend", "rpcAddress": s.address(),
			}},
		},
		"dcRedirectionPolicy": map[string]any{"policy": "noop"},
		"dynamicConfigClient": map[string]any{"filepath": s.dynamicFile(), "pollInterval": "10s"},
	}
}

func store(d *database, name string, connections int) map[string]any {
	return map[string]any{"sql": map[string]any{
		"pluginName": plugin, "databaseName": name, "user": role, "password": d.password,
		"connectAddr": net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)), "connectProtocol": "tcp",
		"maxConns": connections, "maxIdleConns": connections, "maxConnLifetime": "1h",
	}}
}

// dynamicSettings are Temporal's own, where its defaults are made for a cluster that many teams share. Worker
// deployments and updates are on by default in this release.
var dynamicSettings = map[string]any{
	// As temporal/dynamicconfig.yaml has them, which says why.
	"matching.useNewMatcher":               true,
	"matching.enableFairness":              true,
	"matching.numTaskqueueReadPartitions":  1,
	"matching.numTaskqueueWritePartitions": 1,
	// Limits for one client among many. Here there is one.
	"frontend.rps":                     24000,
	"frontend.namespaceRPS":            24000,
	"frontend.namespaceRPS.visibility": 1000,
	"frontend.namespaceCount":          12000,
	"matching.rps":                     24000,
	"history.rps":                      30000,
	// Those of what a service may ask of the database.
	"frontend.persistenceMaxQPS": 30000,
	"matching.persistenceMaxQPS": 30000,
	"history.persistenceMaxQPS":  30000,
	// Search attributes count from the moment that they are added.
	"system.forceSearchAttributesCacheRefreshOnRead": true,
	// The server would ask its makers for news; nothing here calls out.
	"frontend.enableServerVersionCheck": false,
}
