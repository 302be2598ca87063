package main

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/workflows"
)

const sourceTree = ".."

// composed is docker-compose.yml with all its profiles, as Compose's own library reads it.
func composed(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(sourceTree, "docker-compose.yml")}, cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// jobs are the services that others wait for the end of.
func jobs(project *types.Project) map[string]bool {
	found := map[string]bool{}
	for _, service := range project.Services {
		for name, dependency := range service.DependsOn {
			if dependency.Condition == types.ServiceConditionCompletedSuccessfully {
				found[name] = true
			}
		}
	}
	return found
}

// commandLine is the service that people run commands with; it serves nobody.
const commandLine = "starter"

// eachService checks every service of docker-compose.yml, those of profiles included.
func eachService(t *testing.T, check func(t *testing.T, project *types.Project, service types.ServiceConfig)) {
	t.Helper()
	project := composed(t)
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		t.Run(name, func(t *testing.T) { check(t, project, project.Services[name]) })
	}
}

var (
	exactVersion = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$`)
	ownImage     = regexp.MustCompile(`^gravity/(worker|starter|stand-in):[\w.-]+$`)
)

func TestTheSecurityPageSaysOfEveryServiceWhatItMayDo(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(sourceTree, "docs", "security.md"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "## What each process may do")
	require.True(t, found)
	for name := range composed(t).Services {
		assert.True(t, strings.Contains(text, "`"+name+"`"), "%s is missing", name)
	}
}

func TestComposePinsEveryImage(t *testing.T) {
	eachService(t, func(t *testing.T, _ *types.Project, service types.ServiceConfig) {
		if service.Build == nil {
			assert.Regexp(t, exactVersion, service.Image)
			return
		}
		assert.Regexp(t, ownImage, service.Image)
		assert.NotContains(t, service.Image, "latest")
	})
}

func TestTheDockerfilePinsItsBasesAndHasTheTargetsOfCompose(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sourceTree, "Dockerfile"))
	require.NoError(t, err)
	stages := map[string]bool{"scratch": true}
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if !stages[from[1]] {
			assert.Regexp(t, exactVersion, from[1])
		}
		stages[from[2]] = true
	}
	assert.Len(t, stages, 1+strings.Count(string(text), "\nFROM "), "every stage has a name")
	for _, service := range composed(t).Services {
		if service.Build != nil {
			assert.True(t, stages[service.Build.Target], "%s has no stage %s", service.Name, service.Build.Target)
		}
	}
}

func TestComposeConfinesEveryService(t *testing.T) {
	eachService(t, func(t *testing.T, _ *types.Project, service types.ServiceConfig) {
		assert.True(t, service.ReadOnly, "its root file system is read-only")
		assert.Equal(t, []string{"ALL"}, service.CapDrop)
		assert.Empty(t, service.CapAdd)
		assert.False(t, service.Privileged)
		assert.Equal(t, []string{"no-new-privileges:true"}, service.SecurityOpt)
		assert.Regexp(t, `^[1-9]\d*:\d+$`, service.User, "a user by number, who is not root")
		assert.Empty(t, service.Devices)
		assert.Empty(t, service.Pid)
		assert.Empty(t, service.Ipc)
		assert.NotEqual(t, "host", service.NetworkMode)
		require.NotNil(t, service.Logging)
		assert.NotEmpty(t, service.Logging.Options["max-size"])
		assert.NotEmpty(t, service.Logging.Options["max-file"])
		for _, volume := range service.Volumes {
			assert.NotContains(t, volume.Source, "docker.sock", "who has the engine has the machine")
		}
		for _, port := range service.Ports {
			assert.Equal(t, "127.0.0.1", port.HostIP, "port %s", port.Published)
		}
	})
}

func TestComposeBoundsWhatEveryServiceUses(t *testing.T) {
	eachService(t, func(t *testing.T, _ *types.Project, service types.ServiceConfig) {
		require.NotNil(t, service.Deploy)
		require.NotNil(t, service.Deploy.Resources.Limits)
		assert.Positive(t, float64(service.Deploy.Resources.Limits.NanoCPUs))
		assert.Positive(t, int64(service.Deploy.Resources.Limits.MemoryBytes))
		assert.Positive(t, service.Deploy.Resources.Limits.Pids)
	})
}

func TestComposeKeepsServicesAliveAndStartsThemInOrder(t *testing.T) {
	eachService(t, func(t *testing.T, project *types.Project, service types.ServiceConfig) {
		for name, dependency := range service.DependsOn {
			if !jobs(project)[name] {
				assert.Equal(t, types.ServiceConditionHealthy, dependency.Condition, name)
			}
		}
		switch {
		case service.Name == commandLine:
			assert.Equal(t, "no", service.Restart)
		case jobs(project)[service.Name]:
			assert.Regexp(t, `^on-failure:\d+$`, service.Restart)
		default:
			assert.Equal(t, types.RestartPolicyUnlessStopped, service.Restart)
			require.NotNil(t, service.HealthCheck)
			require.NotEmpty(t, service.HealthCheck.Test)
			assert.Equal(t, "CMD", service.HealthCheck.Test[0], "no shell between the check and its answer")
			assert.NotNil(t, service.HealthCheck.Interval)
			assert.NotNil(t, service.HealthCheck.Timeout)
			assert.NotNil(t, service.HealthCheck.Retries)
		}
	})
}

func TestComposeRunsAtLeastTwoWorkers(t *testing.T) {
	worker := composed(t).Services["worker"]
	require.NotNil(t, worker.Deploy.Replicas)
	assert.GreaterOrEqual(t, *worker.Deploy.Replicas, 2)
}

// secretName tells what a variable holds by its name.
var secretName = regexp.MustCompile(`(?i)(PASSWORD|PASSWD|PWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE)`)

func TestComposeHandsSecretsOutAsFilesAlone(t *testing.T) {
	eachService(t, func(t *testing.T, project *types.Project, service types.ServiceConfig) {
		paths := map[string]bool{"": true} // of what is left out
		for _, secret := range service.Secrets {
			assert.Contains(t, project.Secrets, secret.Source)
			paths["/run/secrets/"+secret.Source] = true
		}
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeVolume { // stand-ins make their own
				paths[volume.Target] = true
			}
		}
		known := func(path string) bool { return paths[path] || paths[filepath.Dir(path)] }
		for name, value := range service.Environment {
			if secretName.MatchString(name) {
				require.NotNil(t, value)
				assert.True(t, known(*value), "%s=%s is not the path of a secret that the service has", name, *value)
			}
		}
		for _, argument := range service.Command {
			flag, value, _ := strings.Cut(argument, "=")
			if secretName.MatchString(flag) {
				assert.True(t, known(value), argument)
			}
		}
	})
}

// Without a default nobody runs with a password that is written here.
func TestComposesSecretsAreFilesThatGitDoesNotKeepAndOneScriptMakes(t *testing.T) {
	project := composed(t)
	folder := t.TempDir()
	script, err := os.ReadFile(filepath.Join(sourceTree, "secrets", "make.sh"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "make.sh"), script, 0o600))
	run := func() string {
		command := exec.CommandContext(t.Context(), "sh", filepath.Join(folder, "make.sh"))
		command.Env = append(os.Environ(), "AWS_REGION=eu-central-1")
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
		return string(output)
	}
	run()
	content := map[string]string{}
	for name, secret := range project.Secrets {
		assert.Equal(t, filepath.Join("secrets", name), relative(t, project, secret.File))
		made, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		content[name] = string(made)
		ignored := exec.CommandContext(t.Context(), "git", "check-ignore", "--quiet", filepath.Join("secrets", name))
		ignored.Dir = sourceTree
		assert.NoError(t, ignored.Run(), "git keeps secrets/%s", name)
	}
	different := map[string]bool{}
	for _, name := range []string{"postgres-password", "database-password", "grafana-password", "webhook-secret"} {
		assert.Regexp(t, `^[0-9a-f]{64}$`, content[name], name)
		different[content[name]] = true
	}
	assert.Len(t, different, 4)
	assert.Equal(t, "[default]\nregion = eu-central-1\n", content["aws-config"])
	info, err := os.Stat(folder)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm(), "nobody else on the machine may enter")

	assert.Empty(t, run(), "what is there stays")
	for name, before := range content {
		after, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, before, string(after))
	}
}

func relative(t *testing.T, project *types.Project, path string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	name, err := filepath.Rel(project.WorkingDir, path)
	require.NoError(t, err)
	return name
}

func TestComposeMountsWhatThereIsAndNothingOfItCanBeWritten(t *testing.T) {
	eachService(t, func(t *testing.T, project *types.Project, service types.ServiceConfig) {
		for _, volume := range service.Volumes {
			switch volume.Type {
			case types.VolumeTypeVolume:
				assert.Contains(t, project.Volumes, volume.Source)
				assert.NotEmpty(t, volume.Source, "%s has a name, so that it is found again", volume.Target)
			case types.VolumeTypeBind:
				assert.True(t, volume.ReadOnly, volume.Source)
				_, err := os.Stat(filepath.Join(sourceTree, relative(t, project, volume.Source)))
				assert.NoError(t, err)
			default:
				t.Errorf("%s is mounted as %s", volume.Target, volume.Type)
			}
		}
	})
}

func TestNetworksKeepApartWhoHasNothingToSayToEachOther(t *testing.T) {
	project := composed(t)
	on := func(network string) []string {
		var names []string
		for name, service := range project.Services {
			if _, ok := service.Networks[network]; ok {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	assert.Equal(t, []string{"postgresql", "schema", "temporal"}, on("database"))
	assert.Equal(t, []string{"starter", "worker"}, on("outside"))
	assert.Equal(t, []string{"grafana", "receiver", "ui"}, on("published"))
	assert.NotContains(t, on("temporal"), "grafana")
	assert.Equal(t, []string{"prometheus", "receiver", "temporal", "worker"}, on("metrics"))
	assert.Equal(t, []string{"grafana", "prometheus"}, on("dashboards"))
	for _, option := range []string{"enable_ip_masquerade", "enable_icc"} {
		assert.Equal(t, "false", project.Networks["published"].DriverOpts["com.docker.network.bridge."+option])
	}
	for _, name := range []string{"database", "temporal", "metrics", "dashboards"} {
		assert.True(t, project.Networks[name].Internal, name)
	}
	for name, service := range project.Services {
		_, published := service.Networks["published"]
		assert.Equal(t, published, len(service.Ports) > 0, name)
		assert.NotContains(t, service.Networks, "default", name)
	}
}

// temporalVariables are those of Temporal's own tools that the file uses; go.temporal.io/sdk/contrib/envconfig has all.
var temporalVariables = []string{"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}

// variables are what programs that are not ours read of their environment, by image.
var variables = map[string][]string{
	// https://hub.docker.com/_/postgres
	"postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD_FILE"},
	// temporal-server start --help
	"temporalio/server": {"TEMPORAL_SERVER_CONFIG_FILE_PATH"},
	// the third is temporal/namespace.sh's own
	"temporalio/admin-tools": append([]string{"RETENTION"}, temporalVariables...),
	// config/docker.yaml of the image
	"temporalio/ui": {"TEMPORAL_ADDRESS", "TEMPORAL_UI_PORT", "TEMPORAL_CORS_ORIGINS", "TEMPORAL_DISABLE_WRITE_ACTIONS"},
	// GF_<section>_<key>, and __FILE for one that is read from a file
	"grafana/grafana": {
		"GF_SECURITY_ADMIN_PASSWORD__FILE", "GF_USERS_ALLOW_SIGN_UP", "GF_ANALYTICS_REPORTING_ENABLED",
		"GF_ANALYTICS_CHECK_FOR_UPDATES", "GF_PLUGINS_PREINSTALL_DISABLED",
	},
	"gravity/starter": append([]string{"GRAVITY_CONFIG", "HOME"}, temporalVariables...),
}

func TestComposeSetsNoVariableThatNobodyReads(t *testing.T) {
	eachService(t, func(t *testing.T, _ *types.Project, service types.ServiceConfig) {
		if programOf(service) == "worker" {
			return // its own test has the flags that the variables stand for
		}
		image, _, _ := strings.Cut(service.Image, ":")
		if programOf(service) == "starter" {
			image = "gravity/starter"
		}
		for name := range service.Environment {
			assert.Contains(t, variables[image], name)
		}
	})
}

// programOf is the program of ours that a service runs, or "".
func programOf(service types.ServiceConfig) string {
	if service.Build == nil {
		return ""
	}
	if len(service.Entrypoint) > 0 {
		return service.Entrypoint[0]
	}
	return service.Build.Target // whose entry point is the program of its name
}

func TestComposeGivesStarterCommandsAndFlagsThatItKnows(t *testing.T) {
	eachService(t, func(t *testing.T, _ *types.Project, service types.ServiceConfig) {
		var lines [][]string
		if programOf(service) == "starter" && len(service.Command) > 0 {
			lines = append(lines, service.Command)
		}
		if service.HealthCheck != nil && len(service.HealthCheck.Test) > 1 && service.HealthCheck.Test[1] == "starter" {
			lines = append(lines, service.HealthCheck.Test[2:])
		}
		for _, line := range lines {
			command, arguments, err := newRoot(newGlobals(io.Discard, io.Discard)).Find(line)
			require.NoError(t, err)
			require.NotNil(t, command.RunE, line)
			require.NoError(t, command.ParseFlags(arguments), line)
			require.NoError(t, command.Args(command, command.Flags().Args()), line)
		}
	})
}

func TestTheNamespaceGetsTheSearchAttributesOfTheWorkflows(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(sourceTree, "temporal", "namespace.sh"))
	require.NoError(t, err)
	listed := regexp.MustCompile(`(?m)^for name in (.*); do$`).FindStringSubmatch(string(script))
	require.NotNil(t, listed)
	assert.ElementsMatch(t, workflows.SearchAttributes(), strings.Fields(listed[1]))
}

func TestTheServersPasswordIsTheDatabasesSecret(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sourceTree, "temporal", "server.yaml"))
	require.NoError(t, err)
	var server struct {
		Persistence struct {
			Datastores map[string]struct {
				SQL map[string]any `yaml:"sql"`
			} `yaml:"datastores"`
		} `yaml:"persistence"`
	}
	require.NoError(t, yaml.Unmarshal(text, &server))
	require.Len(t, server.Persistence.Datastores, 2)
	for name, store := range server.Persistence.Datastores {
		assert.NotContains(t, store.SQL, "password", name)
		assert.Equal(t, map[string]any{"command": "cat", "args": []any{"/run/secrets/database-password"}}, store.SQL["passwordCommand"], name)
	}
}

func TestImagesAreBuiltFromTheSourcesAlone(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sourceTree, ".dockerignore"))
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	assert.Contains(t, lines, "*", "what is not named stays out: secrets, history")
	for _, line := range lines {
		assert.NotContains(t, line, "secrets")
		if name, kept := strings.CutPrefix(line, "!"); kept && !strings.Contains(name, "*") {
			_, err := os.Stat(filepath.Join(sourceTree, name))
			assert.NoError(t, err)
		}
	}
}
