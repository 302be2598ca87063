package git

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// git runs the command in a directory, with nothing of the user's own settings.
type git struct {
	directory string
	variables []string // more of the environment
}

// maxStderr is how much of what git complains about goes into an error.
const maxStderr = 2000

// cleanEnvironment keeps a developer's settings, hooks, signing keys and prompts away: what this
// host does must not depend on whose machine it runs on.
func cleanEnvironment() []string {
	kept := []string{
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_ATTR_NOSYSTEM=1", "LC_ALL=C", "TZ=UTC",
	}
	for _, name := range []string{"HOME", "PATH", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	settings := [][2]string{
		{"core.hooksPath", os.DevNull},
		// A data folder on a mounted volume may belong to somebody else.
		{"safe.directory", "*"},
		// Housekeeping goes on in the background after its command has ended, and would outlive the host.
		{"gc.auto", "0"}, {"maintenance.auto", "false"}, {"receive.autogc", "false"},
		{"http.receivepack", "true"}, {"http.getanyfile", "false"},
		// As GitHub: any commit can be fetched by its hash, without the rest of the history.
		{"uploadpack.allowAnySHA1InWant", "true"}, {"uploadpack.allowFilter", "true"},
		{"transfer.fsckObjects", "true"},
		{"advice.detachedHead", "false"}, {"init.defaultBranch", "main"},
		// Everything here is on this machine; a proxy of the user's has no part in it.
		{"http.proxy", ""},
	}
	kept = append(kept, "GIT_CONFIG_COUNT="+strconv.Itoa(len(settings)))
	for i, setting := range settings {
		kept = append(kept, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, setting[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, setting[1]))
	}
	return kept
}

func (g git) run(ctx context.Context, arguments ...string) (string, error) {
	output, err := g.feed(ctx, nil, arguments...)
	return strings.TrimSpace(string(output)), err
}

// feed runs git with input; the output is left as it is.
func (g git) feed(ctx context.Context, input []byte, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "git", arguments...)
	command.Dir = g.directory
	command.Env = append(cleanEnvironment(), g.variables...)
	command.Stdin = bytes.NewReader(input)
	command.WaitDelay = time.Second
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := command.Run(); err != nil {
		said := strings.TrimSpace(complaint.String())
		if said == "" {
			said = strings.TrimSpace(output.String()) // where "nothing to commit" stands
		}
		if len(said) > maxStderr {
			said = said[:maxStderr] + "…"
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("git %s: %w: %s", arguments[0], err, said)
	}
	return output.Bytes(), nil
}
