package aws_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
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

// cli runs the AWS command line against the stand-in, the way that a person would.
type cli struct {
	*stand
	program string
	home    string
}

func (c cli) run(arguments ...string) map[string]any {
	c.Helper()
	out, err := c.try(arguments...)
	require.NoError(c, err, "aws %s\n%s", strings.Join(arguments, " "), out)
	if strings.TrimSpace(out) == "" {
		return nil
	}
	var answer map[string]any
	require.NoError(c, json.Unmarshal([]byte(out), &answer), out)
	return answer
}

func (c cli) try(arguments ...string) (string, error) {
	command := exec.CommandContext(c.Context(), c.program, append([]string{"--endpoint-url", c.server.URL(), "--output", "json"}, arguments...)...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "AWS_ACCESS_KEY_ID=LOCALSTANDIN",
		"AWS_SECRET_ACCESS_KEY=local-stand-in", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER="}
	out, err := command.CombinedOutput()
	return string(out), err
}

func (c cli) eb(arguments ...string) map[string]any {
	c.Helper()
	return c.run(append([]string{"elasticbeanstalk"}, arguments...)...)
}

func TestAnUnmodifiedAWSCommandLineTakesTheStandInForAWS(t *testing.T) {
	t.Parallel()
	program := commandLine(t)
	c := cli{program: program, home: t.TempDir(), stand: start(t, func(o *aws.Options) {
		o.Pace.MinimumTimeout = time.Minute // the command line takes its time, and v3 is to be aborted before it fails
	})}

	c.eb("create-application", "--application-name", "site")
	bucket := c.eb("create-storage-location")["S3Bucket"].(string)
	for label, behaviour := range map[string]string{"v1": "good", "v2": "good", "v3": "deaf"} {
		path := filepath.Join(c.home, label+".zip")
		require.NoError(t, os.WriteFile(path, zipped(t, map[string]string{
			"Procfile": procfile(behaviour, label), ".ebextensions/options.config": healthExtension}), 0o600))
		c.run("s3", "cp", "--only-show-errors", path, "s3://"+bucket+"/"+label+".zip")
		c.eb("create-application-version", "--application-name", "site", "--version-label", label,
			"--source-bundle", "S3Bucket="+bucket+",S3Key="+label+".zip")
	}
	c.eb("create-environment", "--application-name", "site", "--environment-name", "staging", "--version-label", "v1",
		"--solution-stack-name", stack, "--option-settings",
		"Namespace=aws:elasticbeanstalk:healthreporting:system,OptionName=SystemType,Value=enhanced",
		"Namespace=aws:elasticbeanstalk:command,OptionName=DeploymentPolicy,Value=Immutable",
		"Namespace=aws:autoscaling:asg,OptionName=MinSize,Value=2")
	c.ready("staging")

	c.eb("update-environment", "--environment-name", "staging", "--version-label", "v2")
	assert.Equal(t, "v2", *c.ready("staging").VersionLabel)

	c.eb("update-environment", "--environment-name", "staging", "--version-label", "v3")
	out, err := c.try("elasticbeanstalk", "update-environment", "--environment-name", "staging", "--version-label", "v1")
	require.Error(t, err)
	assert.Contains(t, out, "An error occurred (InvalidParameterValue) when calling the UpdateEnvironment operation: "+
		"Environment named staging is in an invalid state for this operation. Must be Ready.")
	c.eb("abort-environment-update", "--environment-name", "staging")
	assert.Equal(t, "v2", *c.ready("staging").VersionLabel)

	events := c.eb("describe-events", "--environment-name", "staging")["Events"].([]any)
	assert.Contains(t, events[0].(map[string]any)["Message"], "Environment")
	health := c.eb("describe-environment-health", "--environment-name", "staging", "--attribute-names", "All")
	assert.Equal(t, "Ok", health["HealthStatus"])
	instances := c.eb("describe-instances-health", "--environment-name", "staging", "--attribute-names", "All")["InstanceHealthList"].([]any)
	require.Len(t, instances, 2)
	assert.Equal(t, "v2", instances[0].(map[string]any)["Deployment"].(map[string]any)["VersionLabel"])

	c.eb("request-environment-info", "--environment-name", "staging", "--info-type", "tail")
	require.Eventually(t, func() bool {
		logs := c.eb("retrieve-environment-info", "--environment-name", "staging", "--info-type", "tail")["EnvironmentInfo"].([]any)
		return len(logs) == 2 && strings.HasPrefix(logs[0].(map[string]any)["Message"].(string), c.server.URL())
	}, eventually, tick)

	c.eb("terminate-environment", "--environment-name", "staging")
	require.Eventually(t, func() bool {
		return len(c.eb("describe-environments", "--environment-names", "staging")["Environments"].([]any)) == 0
	}, eventually, tick)
}
