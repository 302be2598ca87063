package aws_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commandLine finds the AWS command line, or skips the test. A version manager's shim of that name
// is not it: it has to answer.
func commandLine(t *testing.T) string {
	for _, candidate := range []string{"/usr/bin/aws", "/usr/local/bin/aws", "/opt/homebrew/bin/aws"} {
		if out, err := exec.Command(candidate, "--version").CombinedOutput(); err == nil && strings.HasPrefix(string(out), "aws-cli/") {
			return candidate
		}
	}
	t.Skip("the AWS command line is not installed (Debian: apt-get install awscli)")
	return ""
}

func TestAnUnmodifiedAWSCommandLineUnderstandsErrors(t *testing.T) {
	t.Parallel()
	program, s := commandLine(t), start(t)
	update := func(secret string) string {
		command := exec.CommandContext(t.Context(), program, "--endpoint-url", s.server.URL(), "elasticbeanstalk", "update-environment",
			"--environment-name", "staging", "--version-label", "v1")
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ACCESS_KEY_ID=LOCALSTANDIN",
			"AWS_SECRET_ACCESS_KEY=" + secret, "AWS_DEFAULT_REGION=us-east-1"}
		out, err := command.CombinedOutput()
		require.Error(t, err)
		return string(out)
	}
	assert.Contains(t, update("local-stand-in"), "An error occurred (InvalidParameterValue) when calling the UpdateEnvironment operation: "+
		"No Environment found for EnvironmentName = 'staging'.")
	assert.Contains(t, update("another"), "An error occurred (SignatureDoesNotMatch) when calling the UpdateEnvironment operation: "+
		"The request signature we calculated does not match the signature you provided.")
}

// readmeCommands are the commands that the README shows for the stand-in, made to speak to this one.
func readmeCommands(t *testing.T, address string) string {
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "## The local Beanstalk")
	require.True(t, found)
	parts := strings.SplitN(section, "```\n", 3)
	require.Len(t, parts, 3)
	require.Contains(t, parts[1], "http://127.0.0.1:8234")
	return strings.ReplaceAll(parts[1], "http://127.0.0.1:8234", address)
}

func TestAnUnmodifiedAWSCommandLineDoesWhatTheREADMEShows(t *testing.T) {
	if testing.Short() {
		t.Skip("calls of the command line take a second each")
	}
	t.Parallel()
	program := commandLine(t)
	s := start(t)
	folder := t.TempDir()
	for label, behaviour := range map[string]string{"one": "good", "two": "good", "three": "deaf"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, label+".zip"), zipped(t, map[string]string{"Procfile": procfile(behaviour, label)}), 0o600))
	}
	require.NoError(t, os.Symlink(program, filepath.Join(folder, "aws")))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // the command line's waits ask every 20 seconds
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", readmeCommands(t, s.server.URL()))
	command.Dir = folder
	command.Env = []string{"PATH=" + folder + ":" + os.Getenv("PATH"), "HOME=" + folder}
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, shown := range []string{
		`"VersionLabel": "two"`, `"HealthStatus": "Ok"`, `"Color": "Green"`, `"Ec2InstanceId": "i-`, s.server.URL() + "/elasticbeanstalk-us-east-1-000000000000/resources/",
		`"Status": "Terminating"`,
	} {
		assert.Contains(t, string(out), shown)
	}
	messages := strings.Join(s.messages("shop-test", ""), "\n")
	for _, happened := range []string{
		"INFO Successfully launched environment: shop-test", "INFO Environment update completed successfully.",
		"INFO Environment update has been aborted. The environment runs its previous application version.", "INFO terminateEnvironment completed successfully.",
	} {
		assert.Contains(t, messages, happened)
	}
}
