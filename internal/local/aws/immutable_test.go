package aws_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func requestID(t require.TestingT, metadata middleware.Metadata) string {
	id, found := awsmiddleware.GetRequestIDMetadata(metadata)
	require.True(t, found)
	return id
}

func asAPIError(err error, target *smithy.APIError) bool { return errors.As(err, target) }

var variable = regexp.MustCompile(`i-[0-9a-f]{17}(, i-[0-9a-f]{17})*|awseb-e-[a-z0-9]+-(immutable-)?stack-AWSEBAutoScalingGroup-[A-Z0-9]+`)

// shaped replaces what differs from run to run.
func shaped(messages []string) []string {
	var out []string
	for _, m := range messages {
		out = append(out, variable.ReplaceAllStringFunc(m, func(found string) string {
			if strings.HasPrefix(found, "awseb") {
				return "GROUP"
			}
			return strings.Repeat("i ", strings.Count(found, ",")+1)
		}))
	}
	return out
}

func TestImmutableUpdateReplacesEveryInstanceAndUsersNoticeNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "good")
	before := s.create("staging", "v1", "Immutable", 2)
	old := s.instances("staging")
	require.Len(t, old, 2)
	assert.Equal(t, types.EnvironmentHealthGreen, before.Health)
	_, body := s.get(before, "/")
	assert.Equal(t, "v1", body)

	users := s.users(before, 3)
	request := s.update("staging", "v2")
	during := s.describe("staging")
	assert.Equal(t, "v1", *during.VersionLabel, "the old label stays until the update is done")
	assert.True(t, *during.AbortableOperationInProgress)
	after := s.ready("staging")
	users.leave()

	assert.Equal(t, "v2", *after.VersionLabel)
	assert.Equal(t, types.EnvironmentHealthStatusOk, after.HealthStatus)
	assert.Equal(t, *before.CNAME, *after.CNAME)
	assert.Empty(t, users.problems)
	assert.NotZero(t, users.seen["v1"])
	assert.NotZero(t, users.seen["v2"])
	assert.Equal(t, []string{"v2 Deployed Ok", "v2 Deployed Ok"}, s.fleet("staging"))
	for _, id := range s.instances("staging") {
		assert.NotContains(t, old, id)
	}
	assert.Equal(t, []string{
		"INFO Environment update is starting.",
		"INFO Immutable deployment policy enabled. Launching one instance with the new settings to verify health.",
		"INFO Created temporary auto scaling group GROUP.",
		"INFO Instance deployment completed successfully.",
		"INFO Adding new instance(s) (i ) to the load balancer.",
		"INFO Waiting for instance(s) (i ) to pass health checks.",
		"INFO Added instance [i ] to your environment.",
		"INFO Test instance passed health checks. Launching remaining new instances.",
		"INFO Instance deployment completed successfully.",
		"INFO Added instance [i ] to your environment.",
		"INFO Successfully launched all instances.",
		"INFO Adding new instance(s) (i ) to the load balancer.",
		"INFO Waiting for instance(s) (i ) to pass health checks.",
		"INFO Detached new instance(s) from temporary auto scaling group GROUP.",
		"INFO Attached new instance(s) to the permanent auto scaling group GROUP.",
		"INFO Starting post-deployment configuration on new instances.",
		"INFO Instance deployment completed successfully.",
		"INFO Waiting for post-deployment configuration to complete.",
		"INFO Deployment succeeded. Terminating old instances and temporary Auto Scaling group.",
		"INFO Removed instance [i ] from your environment.",
		"INFO Removed instance [i ] from your environment.",
		"INFO New application version was deployed to running EC2 instances.",
		"INFO Environment update completed successfully.",
	}, shaped(s.messages("staging", request)))
}

func TestImmutableUpdateThatFailsIsTakenBackAndOldInstancesAreNeverTouched(t *testing.T) {
	t.Parallel()
	for behaviour, reason := range map[string]string{
		"unhealthy": "ERROR Instance id(s) 'i ' did not pass health check after command execution. Aborting the operation.",
		"deaf":      "ERROR Instance id(s) 'i ' did not pass health check after command execution. Aborting the operation.",
		"exits":     "ERROR Instance deployment failed. For details, see 'eb-engine.log'.",
	} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			s := start(t, impatient)
			s.application()
			s.version("v1", "good")
			s.version("v2", behaviour)
			before := s.create("staging", "v1", "Immutable", 2)
			old := s.instances("staging")

			users := s.users(before, 2)
			request := s.update("staging", "v2")
			during := s.until("staging", func(e types.EnvironmentDescription) bool {
				return e.HealthStatus == types.EnvironmentHealthStatusInfo || e.Status == types.EnvironmentStatusReady
			})
			assert.Equal(t, types.EnvironmentHealthGreen, during.Health, "a failing version hides behind Green until the timeout")
			after := s.ready("staging")
			users.leave()

			assert.Equal(t, "v1", *after.VersionLabel)
			assert.Equal(t, types.EnvironmentHealthGreen, after.Health)
			assert.Equal(t, old, s.instances("staging"))
			assert.Equal(t, []string{"v1 Deployed Ok", "v1 Deployed Ok"}, s.fleet("staging"))
			assert.Empty(t, users.problems)
			assert.Equal(t, len(users.seen), 1)
			messages := shaped(s.messages("staging", request))
			assert.Contains(t, messages, reason)
			assert.Equal(t, "ERROR Failed to deploy application.", messages[len(messages)-1])
		})
	}
}

func TestAbortedImmutableUpdateLeavesTheOldVersion(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "deaf")
	s.create("staging", "v1", "Immutable", 2)
	old := s.instances("staging")
	s.update("staging", "v2")

	_, err := s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{
		EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v1")})
	assert.Equal(t, "InvalidParameterValue: Environment named staging is in an invalid state for this operation. Must be Ready.", code(err))
	_, err = s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)

	after := s.ready("staging")
	assert.Equal(t, "v1", *after.VersionLabel)
	assert.Equal(t, old, s.instances("staging"))
	_, err = s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
	assert.Equal(t, "InvalidParameterValue: Environment named staging is in an invalid state for this operation. Must be pending deployment.", code(err))
}
