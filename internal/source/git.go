package source

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings hold for every git command. They reach git through its environment, which wins over
// every configuration file, and which neither the process list nor the disk shows.
var settings = [][2]string{
	// Nothing of the repository's choosing runs.
	{"core.hooksPath", "/dev/null"},
	{"core.fsmonitor", "false"},
	{"core.untrackedCache", "false"},
	{"protocol.allow", "never"},
	{"credential.helper", ""},
	{"core.askPass", ""},
	{"gc.auto", "0"},
	{"maintenance.auto", "false"},
	{"submodule.recurse", "false"},
	{"fetch.recurseSubmodules", "false"},
	// A checkout is the same on every machine, and stays in its folder on every file system.
	{"core.autocrlf", "false"},
	{"core.eol", "lf"},
	{"core.symlinks", "true"},
	{"core.fileMode", "true"},
	{"core.protectHFS", "true"},
	{"core.protectNTFS", "true"},
	{"core.attributesFile", "/dev/null"},
	{"core.excludesFile", "/dev/null"},
	{"advice.detachedHead", "false"},
	// What arrives is checked for the tricks that git knows; old repositories with harmless
	// blemishes are let in.
	{"transfer.fsckObjects", "true"},
	{"fetch.fsck.zeroPaddedFilemode", "ignore"},
	{"fetch.fsck.badTimezone", "ignore"},
	{"fetch.fsck.missingSpaceBeforeDate", "ignore"},
	{"fetch.fsck.missingSpaceBeforeEmail", "ignore"},
	{"fetch.fsck.badEmail", "ignore"},
	{"fetch.fsck.badName", "ignore"},
	{"fetch.fsck.missingEmail", "ignore"},
	{"fetch.fsck.nullSha1", "ignore"},
	// Keep what was fetched as one pack, and memory small however large a file is.
	{"fetch.unpackLimit", "1"},
	// Whether a branch holds a commit is then known without walking through its history.
	{"fetch.writeCommitGraph", "true"},
	{"core.bigFileThreshold", "32m"},
	{"checkout.workers", "0"},
	// A connection that stalls is given up: under 1000 bytes a second for 60 seconds.
	{"http.lowSpeedLimit", "1000"},
	{"http.lowSpeedTime", "60"},
}

// sshCommand asks nobody anything and never learns a new host key.
const sshCommand = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no"

// inherited are the worker's variables that git may see: where programs are, and the network.
var inherited = []string{
	"PATH", "HOME", "USER", "TMPDIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSH_AUTH_SOCK",
}

// fetchMark marks the processes of a fetch, by the mirror that they write to.
const fetchMark = "GRAVITY_FETCH"

// maxGitOutput bounds what is kept of one command's answer, in bytes.
const maxGitOutput = 64 << 20

// git is one call of the git program.
type git struct {
	dir       string // GIT_DIR
	worktree  string
	index     string
	arguments []string
	settings  [][2]string
	output    io.Writer // takes the answer, instead of run's result
	input     io.Reader
	timeout   time.Duration
	ssh       string // the ssh command, when it is not sshCommand
	maxFile   int64  // the largest file that git may write, in bytes
}

// gitError is a git command that failed. Its text goes into messages: it holds no credentials.
type gitError struct {
	command string
	code    int
	stderr  string
}

func (e *gitError) Error() string {
	return fmt.Sprintf("git %s: %s (exit code %d)", e.command, withoutCredentials(e.stderr), e.code)
}

// run calls git and answers with what it printed.
func (g git) run(ctx context.Context) (string, error) {
	if g.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.timeout)
		defer cancel()
	}
	command := exec.CommandContext(ctx, "git", g.arguments...)
	if g.maxFile > 0 {
		// The shell sets the limit on itself, and then becomes git, which says so when it meets the
		// limit, because the signal for it is ignored.
		script := fmt.Sprintf(`trap '' XFSZ; ulimit -f %d && exec git "$@"`, (g.maxFile+511)/512)
		command = exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, "git"}, g.arguments...)...)
	}
	command.Env = g.environment()
	command.Dir = "/"
	command.Stdin = g.input
	var output, problems limitedBuffer
	output.limit, problems.limit = maxGitOutput, 16<<10
	command.Stdout, command.Stderr = &output, &problems
	if g.output != nil {
		command.Stdout = g.output
	}
	// Git starts helpers of its own, for https and ssh; they end with it.
	command.SysProcAttr = processAttributes()
	runtime.LockOSThread() // see processAttributes
	defer runtime.UnlockOSThread()
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	err := command.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", &gitError{command: g.arguments[0], code: exit.ExitCode(), stderr: lastLines(problems.String())}
	}
	if err != nil {
		return "", fmt.Errorf("run git: %w", err)
	}
	if output.exceeded {
		return "", fmt.Errorf("git %s answered with more than %d bytes", g.arguments[0], maxGitOutput)
	}
	return output.String(), nil
}

func (g git) environment() []string {
	environment := []string{
		"LC_ALL=C", // its messages are read
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false", "GCM_INTERACTIVE=never",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_PROTOCOL_FROM_USER=0",
		"GIT_SSH_COMMAND=" + cmp.Or(g.ssh, sshCommand), "GIT_SSH_VARIANT=ssh",
	}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	for name, value := range map[string]string{"GIT_DIR": g.dir, "GIT_WORK_TREE": g.worktree, "GIT_INDEX_FILE": g.index} {
		if value != "" {
			environment = append(environment, name+"="+value)
		}
	}
	if g.maxFile > 0 {
		environment = append(environment, fetchMark+"="+g.dir)
	}
	all := append(settings[:len(settings):len(settings)], g.settings...)
	environment = append(environment, "GIT_CONFIG_COUNT="+strconv.Itoa(len(all)))
	for i, setting := range all {
		n := strconv.Itoa(i)
		environment = append(environment, "GIT_CONFIG_KEY_"+n+"="+setting[0], "GIT_CONFIG_VALUE_"+n+"="+setting[1])
	}
	return environment
}

// ssh is how the cache's ssh keys are used.
func (c *Cache) ssh() string {
	command := sshCommand
	if c.KnownHosts != "" {
		command += " -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o " + shellQuote(`UserKnownHostsFile="`+c.KnownHosts+`"`)
	}
	if c.Identity != "" {
		command += " -o IdentitiesOnly=yes -o IdentityAgent=none -i " + shellQuote(c.Identity)
	}
	return command
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// remoteSettings open the one transport that a repository needs, and hold its credentials.
func (c *Cache) remoteSettings(ctx context.Context, r repository) ([][2]string, error) {
	allowed := [][2]string{{"protocol." + r.scheme + ".allow", "always"}}
	if c.Credentials == nil || r.scheme != "https" && r.scheme != "http" {
		return allowed, nil
	}
	username, token, err := c.Credentials(ctx, r.address)
	if err != nil {
		return nil, accessDenied(r, err)
	}
	if token == "" {
		return allowed, nil
	}
	basic := base64.StdEncoding.EncodeToString([]byte(username + ":" + token))
	return append(allowed,
		[2]string{"http." + r.address + ".extraHeader", "Authorization: Basic " + basic},
		// Git would show the header to wherever the host redirects.
		[2]string{"http.followRedirects", "false"},
	), nil
}

// lastLines keeps the end of git's complaint, on one line and short.
func lastLines(problems string) string {
	var kept []string
	for line := range strings.Lines(problems) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(line, "\uFFFD")))
		if line != "" && !strings.HasPrefix(line, "hint:") {
			kept = append(kept, line)
		}
	}
	if len(kept) > 6 {
		kept = kept[len(kept)-6:]
	}
	text := strings.Join(kept, "; ")
	if len(text) > 1000 {
		text = "…" + strings.ToValidUTF8(text[len(text)-1000:], "")
	}
	return text
}

// limitedBuffer keeps the beginning of what is written, and takes the rest without keeping it.
type limitedBuffer struct {
	bytes.Buffer
	limit    int
	exceeded bool
}

func (b *limitedBuffer) Write(content []byte) (int, error) {
	kept := content[:min(len(content), b.limit-b.Len())]
	b.Buffer.Write(kept)
	b.exceeded = b.exceeded || len(kept) < len(content)
	return len(content), nil
}
