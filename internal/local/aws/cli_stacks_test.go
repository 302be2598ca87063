package aws_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a team would do that deploys the templates without Gravity.
func TestAnUnmodifiedAWSCommandLineDeploysTheShippedTemplates(t *testing.T) {
	if testing.Short() {
		t.Skip("the command line looks every half a minute")
	}
	t.Parallel()
	c := cli{program: commandLine(t), home: t.TempDir(), stand: start(t)}
	template := func(name string) string { return filepath.Join("..", "..", "..", "cloudformation", name+".yaml") }
	deploy := func(stack, name string, parameters ...string) {
		t.Helper()
		arguments := append([]string{"cloudformation", "deploy", "--stack-name", stack, "--template-file", template(name),
			"--capabilities", "CAPABILITY_IAM", "--parameter-overrides"}, parameters...)
		out, err := c.try(arguments...)
		require.NoError(t, err, out)
		assert.Contains(t, out, "Successfully created/updated stack - "+stack)
	}
	deploy("gravity-shop", "pipeline", "ApplicationName=shop")
	described := c.run("cloudformation", "describe-stacks", "--stack-name", "gravity-shop")
	bucket := ""
	for _, output := range described["Stacks"].([]any)[0].(map[string]any)["Outputs"].([]any) {
		if told := output.(map[string]any); told["OutputKey"] == "Bucket" {
			bucket = told["OutputValue"].(string)
		}
	}
	require.NotEmpty(t, bucket)
	deploy("gravity-shop-staging", "environment", "ApplicationName=shop", "EnvironmentName=shop-staging",
		"SolutionStackName="+stack, "VpcId=vpc-0123456789abcdef0", "LoadBalancerSubnets=subnet-00000001,subnet-00000002",
		"InstanceSubnets=subnet-00000003,subnet-00000004", "ArtifactBucket="+bucket, "HealthCheckPath=/")
	assert.Equal(t, "Ready", string(c.describe("shop-staging").Status))

	again, err := c.try("cloudformation", "deploy", "--stack-name", "gravity-shop", "--template-file", template("pipeline"), "--capabilities", "CAPABILITY_IAM")
	require.NoError(t, err, again)
	assert.Contains(t, again, "No changes to deploy")

	c.run("cloudformation", "delete-stack", "--stack-name", "gravity-shop-staging")
	c.run("cloudformation", "wait", "stack-delete-complete", "--stack-name", "gravity-shop-staging")
	out, err := c.try("cloudformation", "describe-stacks", "--stack-name", "gravity-shop-staging")
	assert.Error(t, err)
	assert.Contains(t, out, "Stack with id gravity-shop-staging does not exist")
}
