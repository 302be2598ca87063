package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"gravity/internal/delivery"
)

// Container says in which container a command runs: the workspace is at the same path inside, the
// environment is the image's and Command.Variables, and nothing else of the worker is in reach.
type Container struct {
	// Image to run in.
	Image string
	// Engine is the program that starts containers, with docker's arguments. Default: docker.
	Engine string
}

// runContainer runs a command in a container and waits for its end.
func (c Command) runContainer(ctx context.Context, scratch string, output io.Writer) (ended, error) {
	if c.Container.Image == "" || strings.HasPrefix(c.Container.Image, "-") || strings.ContainsAny(c.Container.Image, " \t\n") {
		return ended{}, delivery.Errorf(delivery.InvalidInput, "%q is not the name of an image", c.Container.Image)
	}
	engine := c.Container.Engine
	if engine == "" {
		engine = "docker"
	}
	name := "gravity-" + strings.ToLower(rand.Text())
	variables, err := variableFile(c.Variables)
	if err != nil {
		return ended{}, err
	}
	command := exec.Command(engine, c.containerArguments(name, scratch)...)
	// The variables go through a pipe: arguments are seen by everyone on the machine, and in its
	// environment they would mean something to the engine's program itself.
	command.Stdin = strings.NewReader(variables)
	command.Env = engineEnvironment()
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = c.Grace
	if err := command.Start(); err != nil {
		return ended{}, delivery.Errorf(delivery.InvalidInput, "run in a container: %w: install %s on the worker", err, engine)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = command.Wait()
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		endContainer(engine, name, c.Grace)
		<-gone
	}
	// 125 is the engine's own failure: the command never ran.
	if command.ProcessState.ExitCode() == 125 {
		return ended{}, delivery.Errorf(delivery.Unavailable, "run in a container of %s: the engine could not start it; its output says why", c.Container.Image)
	}
	return ended{state: command.ProcessState}, nil
}

func (c Command) containerArguments(name, scratch string) []string {
	arguments := []string{
		"run", "--rm", "--init", "--name", name, "--label", "gravity=command",
		"--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pull", "missing",
		"--volume", c.Tree + ":" + c.Tree, "--workdir", c.Dir,
		"--volume", scratch + ":" + scratch, "--env", "HOME=" + scratch + "/home", "--env", "TMPDIR=" + scratch + "/tmp", "--env", "CI=true", "--env-file", "/dev/stdin",
	}
	if c.Caches != "" {
		arguments = append(arguments, "--volume", c.Caches+":"+c.Caches)
		variables := map[string]string{}
		caches(c.Caches, variables)
		for _, name := range slices.Sorted(maps.Keys(variables)) {
			arguments = append(arguments, "--env", name+"="+variables[name])
		}
	}
	if c.Limits.NoNetwork {
		arguments = append(arguments, "--network", "none")
	}
	if c.Limits.Memory > 0 {
		memory := strconv.FormatInt(c.Limits.Memory, 10)
		arguments = append(arguments, "--memory", memory, "--memory-swap", memory)
	}
	if c.Limits.Processes > 0 {
		arguments = append(arguments, "--pids-limit", strconv.Itoa(c.Limits.Processes))
	}
	if c.Limits.FileSize > 0 {
		arguments = append(arguments, "--ulimit", "fsize="+strconv.FormatInt(c.Limits.FileSize, 10))
	}
	account := Account{UID: os.Getuid(), GID: os.Getgid()} // who must be able to remove what it writes
	if c.Account != nil {
		account = *c.Account
	}
	arguments = append(arguments, "--user", fmt.Sprintf("%d:%d", account.UID, account.GID))
	return append(arguments, "--entrypoint", "/bin/sh", c.Container.Image, "-c", c.Line)
}

// variableFile is how the engine reads variables: one a line.
func variableFile(variables map[string]string) (string, error) {
	var file strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if strings.ContainsAny(name, "=\n#") || strings.ContainsAny(variables[name], "\n\r\x00") {
			return "", delivery.Errorf(delivery.InvalidInput, "the variable %q has a line break, which cannot reach a container", name)
		}
		file.WriteString(name + "=" + variables[name] + "\n")
	}
	return file.String(), nil
}

// engineVariables are the worker's variables that the engine's program needs.
var engineVariables = []string{"PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}

func engineEnvironment() []string {
	var variables []string
	for _, name := range engineVariables {
		if value, ok := os.LookupEnv(name); ok {
			variables = append(variables, name+"="+value)
		}
	}
	return variables
}

// endContainer ends a container: the engine's program, if killed, would leave it running.
func endContainer(engine, name string, grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace+30*time.Second)
	defer cancel()
	stop := exec.CommandContext(ctx, engine, "stop", "--time", strconv.Itoa(int(grace.Seconds())), name)
	stop.Env = engineEnvironment()
	if output, err := stop.CombinedOutput(); err != nil && !bytes.Contains(output, []byte("No such container")) {
		kill := exec.CommandContext(ctx, engine, "rm", "--force", name)
		kill.Env = engineEnvironment()
		_ = kill.Run()
	}
}
