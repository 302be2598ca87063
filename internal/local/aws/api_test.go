package aws_test

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSDKsWaitersAndPaginatorsWork(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	for _, label := range []string{"v1", "v2", "v3", "v4", "v5"} {
		s.version(label, "good")
	}
	s.create("staging", "v1", "Immutable", 1)
	s.update("staging", "v2")
	waiter := eb.NewEnvironmentUpdatedWaiter(s.beanstalk, func(o *eb.EnvironmentUpdatedWaiterOptions) {
		o.MinDelay, o.MaxDelay = tick, tick
	})
	require.NoError(t, waiter.Wait(t.Context(), &eb.DescribeEnvironmentsInput{EnvironmentNames: []string{"staging"}}, eventually))
	assert.Equal(t, "v2", *s.describe("staging").VersionLabel)

	var labels []string
	in := &eb.DescribeApplicationVersionsInput{ApplicationName: sdk.String(applicationName), MaxRecords: sdk.Int32(2)}
	for {
		page, err := s.beanstalk.DescribeApplicationVersions(t.Context(), in)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(page.ApplicationVersions), 2)
		for _, v := range page.ApplicationVersions {
			labels = append(labels, *v.VersionLabel)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			break
		}
	}
	assert.ElementsMatch(t, []string{"v1", "v2", "v3", "v4", "v5"}, labels)

	whole := s.messages("staging", "")
	var paged []string
	events := eb.NewDescribeEventsPaginator(s.beanstalk, &eb.DescribeEventsInput{EnvironmentName: sdk.String("staging"), MaxRecords: sdk.Int32(3)})
	for events.HasMorePages() {
		page, err := events.NextPage(t.Context())
		require.NoError(t, err)
		for _, event := range page.Events {
			paged = append([]string{string(event.Severity) + " " + *event.Message}, paged...)
		}
	}
	assert.Equal(t, whole, paged)

	_, err := s.beanstalk.TerminateEnvironment(t.Context(), &eb.TerminateEnvironmentInput{EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)
	gone := eb.NewEnvironmentTerminatedWaiter(s.beanstalk, func(o *eb.EnvironmentTerminatedWaiterOptions) {
		o.MinDelay, o.MaxDelay = tick, tick
	})
	named := &eb.DescribeEnvironmentsInput{EnvironmentNames: []string{"staging"}}
	require.NoError(t, gone.Wait(t.Context(), named, eventually))
	out, err := s.beanstalk.DescribeEnvironments(t.Context(), named)
	require.NoError(t, err)
	assert.Len(t, out.Environments, 1, "what was terminated is still described for a while")
	named.IncludeDeleted = sdk.Bool(false)
	out, err = s.beanstalk.DescribeEnvironments(t.Context(), named)
	require.NoError(t, err)
	assert.Empty(t, out.Environments)

	_, err = s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName),
		EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v3"), SolutionStackName: sdk.String(stack)})
	require.NoError(t, err, "and its name is free")
	exists := eb.NewEnvironmentExistsWaiter(s.beanstalk, func(o *eb.EnvironmentExistsWaiterOptions) { o.MinDelay, o.MaxDelay = tick, tick })
	require.NoError(t, exists.Wait(t.Context(), named, eventually))

	var platforms, branches int
	versions := eb.NewListPlatformVersionsPaginator(s.beanstalk, &eb.ListPlatformVersionsInput{MaxRecords: sdk.Int32(2)})
	for versions.HasMorePages() {
		page, err := versions.NextPage(t.Context())
		require.NoError(t, err)
		platforms += len(page.PlatformSummaryList)
	}
	lines := eb.NewListPlatformBranchesPaginator(s.beanstalk, &eb.ListPlatformBranchesInput{MaxRecords: sdk.Int32(2)})
	for lines.HasMorePages() {
		page, err := lines.NextPage(t.Context())
		require.NoError(t, err)
		branches += len(page.PlatformBranchSummaryList)
	}
	assert.Equal(t, 6, platforms)
	assert.Equal(t, 6, branches)
}

func TestEventsAreFilteredBySeverityTimeAndVersion(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "exits")
	s.create("staging", "v1", "Immutable", 1)
	between := *s.describe("staging").DateUpdated
	request := s.update("staging", "v2")
	s.ready("staging")
	ask := func(in eb.DescribeEventsInput) []types.EventDescription {
		out, err := s.beanstalk.DescribeEvents(t.Context(), &in)
		require.NoError(t, err)
		return out.Events
	}
	failures := ask(eb.DescribeEventsInput{Severity: types.EventSeverityError, RequestId: &request})
	assert.Equal(t, "Failed to deploy application.", *failures[0].Message, "newest first")
	assert.Len(t, failures, 4)
	for _, event := range ask(eb.DescribeEventsInput{EnvironmentName: sdk.String("staging"), StartTime: sdk.Time(between.Add(time.Millisecond))}) {
		assert.NotContains(t, *event.Message, "createEnvironment")
	}
	earlier := ask(eb.DescribeEventsInput{EnvironmentName: sdk.String("staging"), EndTime: &between})
	assert.Equal(t, "createEnvironment is starting.", *earlier[len(earlier)-1].Message)
	for _, event := range ask(eb.DescribeEventsInput{VersionLabel: sdk.String("v2")}) {
		assert.Equal(t, "v2", *event.VersionLabel)
	}
}

func TestSwappingCNAMEsExchangesWhatUsersReach(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "good")
	blue, green := s.create("blue", "v1", "Immutable", 1), s.create("green", "v2", "Immutable", 1)
	users := s.users(blue, 2)
	_, err := s.beanstalk.SwapEnvironmentCNAMEs(t.Context(), &eb.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentName: sdk.String("blue"), DestinationEnvironmentName: sdk.String("green")})
	require.NoError(t, err)
	assert.Equal(t, *green.CNAME, *s.ready("blue").CNAME)
	assert.Equal(t, *blue.CNAME, *s.ready("green").CNAME)
	_, body := s.get(blue, "/")
	assert.Equal(t, "v2", body, "who asks the old address of blue gets green's version")
	users.leave()
	assert.Empty(t, users.problems)
}

func TestAPrefixStandsForTheAddressOfWhoeverHasIt(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	for name, prefix := range map[string]string{"blue": "shop", "green": "shop-other"} {
		_, err := s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{
			ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String(name), CNAMEPrefix: sdk.String(prefix), SolutionStackName: sdk.String(stack)})
		require.NoError(t, err)
		s.ready(name)
	}
	address := func() string {
		out, err := s.beanstalk.CheckDNSAvailability(t.Context(), &eb.CheckDNSAvailabilityInput{CNAMEPrefix: sdk.String("shop")})
		require.NoError(t, err)
		require.False(t, *out.Available)
		return *out.FullyQualifiedCNAME
	}
	before := address()
	assert.Equal(t, *s.describe("blue").CNAME, before)
	_, err := s.beanstalk.SwapEnvironmentCNAMEs(t.Context(), &eb.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentName: sdk.String("blue"), DestinationEnvironmentName: sdk.String("green")})
	require.NoError(t, err)
	assert.Equal(t, *s.ready("green").CNAME, address())
	assert.Equal(t, before, address(), "users keep their address")
}

func TestLogsAreCollectedIntoS3AndReadByURL(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.create("staging", "v1", "Immutable", 1)
	for _, kind := range []types.EnvironmentInfoType{types.EnvironmentInfoTypeTail, types.EnvironmentInfoTypeBundle} {
		_, err := s.beanstalk.RequestEnvironmentInfo(t.Context(), &eb.RequestEnvironmentInfoInput{EnvironmentName: sdk.String("staging"), InfoType: kind})
		require.NoError(t, err)
		var out *eb.RetrieveEnvironmentInfoOutput
		require.Eventually(t, func() bool {
			out, err = s.beanstalk.RetrieveEnvironmentInfo(t.Context(), &eb.RetrieveEnvironmentInfoInput{EnvironmentName: sdk.String("staging"), InfoType: kind})
			return err == nil && len(out.EnvironmentInfo) == 1
		}, eventually, tick)
		response, err := http.Get(*out.EnvironmentInfo[0].Message)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, string(body))
		if kind == types.EnvironmentInfoTypeTail {
			assert.Contains(t, string(body), "running web: ")
			continue
		}
		archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
		require.NoError(t, err)
		assert.Equal(t, "var/log/eb-engine.log", archive.File[0].Name)
	}
}

func TestRestartAndRebuildBringTheSameVersionBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 2)
	before := s.instances("staging")
	_, err := s.beanstalk.RestartAppServer(t.Context(), &eb.RestartAppServerInput{EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)
	s.ready("staging")
	assert.Equal(t, before, s.instances("staging"))
	_, err = s.beanstalk.RebuildEnvironment(t.Context(), &eb.RebuildEnvironmentInput{EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)
	after := s.ready("staging")
	assert.Equal(t, *e.CNAME, *after.CNAME)
	assert.NotEqual(t, before, s.instances("staging"))
	assert.Equal(t, []string{"v1 Deployed Ok", "v1 Deployed Ok"}, s.fleet("staging"))
}

func TestALifecycleRemovesTheOldestVersionsButNoneThatIsDeployed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.create("staging", "v1", "Immutable", 1)
	_, err := s.beanstalk.UpdateApplicationResourceLifecycle(t.Context(), &eb.UpdateApplicationResourceLifecycleInput{
		ApplicationName: sdk.String(applicationName), ResourceLifecycleConfig: &types.ApplicationResourceLifecycleConfig{
			ServiceRole: sdk.String("role"), VersionLifecycleConfig: &types.ApplicationVersionLifecycleConfig{
				MaxCountRule: &types.MaxCountRule{Enabled: sdk.Bool(true), MaxCount: sdk.Int32(2), DeleteSourceFromS3: sdk.Bool(true)}}}})
	require.NoError(t, err)
	for _, label := range []string{"v2", "v3", "v4", "v5"} {
		s.version(label, "good")
	}
	out, err := s.beanstalk.DescribeApplications(t.Context(), &eb.DescribeApplicationsInput{ApplicationNames: []string{applicationName}})
	require.NoError(t, err)
	assert.Equal(t, []string{"v5", "v4", "v1"}, out.Applications[0].Versions)
	_, err = s.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("v2.zip")})
	assert.ErrorContains(t, err, "NotFound")
}

func TestSavedConfigurationsMakeEnvironments(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	made, err := s.beanstalk.CreateConfigurationTemplate(t.Context(), &eb.CreateConfigurationTemplateInput{
		ApplicationName: sdk.String(applicationName), TemplateName: sdk.String("usual"), SolutionStackName: sdk.String(stack),
		OptionSettings: []types.ConfigurationOptionSetting{
			setting("aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"),
			setting("aws:elasticbeanstalk:application:environment", "COLOUR", "blue"),
		}})
	require.NoError(t, err)
	assert.Len(t, made.OptionSettings, 2)
	_, err = s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName),
		EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v1"), TemplateName: sdk.String("usual")})
	require.NoError(t, err)
	e := s.ready("staging")
	_, body := s.get(e, "/property?name=COLOUR")
	assert.Equal(t, "blue", body)

	// A property that changes is brought to the instances like a version.
	updated, err := s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String("staging"),
		OptionSettings: []types.ConfigurationOptionSetting{setting("aws:elasticbeanstalk:application:environment", "COLOUR", "red")}})
	require.NoError(t, err)
	assert.Equal(t, types.EnvironmentStatusUpdating, updated.Status)
	// All at once is ready as soon as the processes were started; they serve a little later.
	s.until("staging", func(now types.EnvironmentDescription) bool {
		_, body = s.get(e, "/property?name=COLOUR")
		return now.Status == types.EnvironmentStatusReady && body == "red"
	})
	settings, err := s.beanstalk.DescribeConfigurationSettings(t.Context(), &eb.DescribeConfigurationSettingsInput{
		ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)
	assert.Contains(t, settings.ConfigurationSettings[0].OptionSettings, setting("aws:elasticbeanstalk:application:environment", "COLOUR", "red"))
}

func TestSettingsAreValidated(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	out, err := s.beanstalk.ValidateConfigurationSettings(t.Context(), &eb.ValidateConfigurationSettingsInput{
		ApplicationName: sdk.String(applicationName), OptionSettings: []types.ConfigurationOptionSetting{
			setting("aws:elasticbeanstalk:command", "DeploymentPolicy", "Immutable"),
			setting("aws:elasticbeanstalk:command", "DeploymentPolicy", "Careful"),
			setting("aws:elasticbeanstalk:command", "Timeout", "3601"),
			setting("aws:nowhere", "Option", "x"),
		}})
	require.NoError(t, err)
	require.Len(t, out.Messages, 3)
	assert.Contains(t, *out.Messages[2].Message, "Unknown configuration setting")
	options, err := s.beanstalk.DescribeConfigurationOptions(t.Context(), &eb.DescribeConfigurationOptionsInput{
		Options: []types.OptionSpecification{{Namespace: sdk.String("aws:elasticbeanstalk:command"), OptionName: sdk.String("Timeout")}}})
	require.NoError(t, err)
	require.Len(t, options.Options, 1)
	assert.Equal(t, int32(3600), *options.Options[0].MaxValue)
}

func TestResourcesAreTagged(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 1)
	_, err := s.beanstalk.UpdateTagsForResource(t.Context(), &eb.UpdateTagsForResourceInput{ResourceArn: e.EnvironmentArn,
		TagsToAdd: []types.Tag{{Key: sdk.String("team"), Value: sdk.String("web")}, {Key: sdk.String("old"), Value: sdk.String("x")}}})
	require.NoError(t, err)
	_, err = s.beanstalk.UpdateTagsForResource(t.Context(), &eb.UpdateTagsForResourceInput{ResourceArn: e.EnvironmentArn, TagsToRemove: []string{"old"}})
	require.NoError(t, err)
	out, err := s.beanstalk.ListTagsForResource(t.Context(), &eb.ListTagsForResourceInput{ResourceArn: e.EnvironmentArn})
	require.NoError(t, err)
	assert.Equal(t, []types.Tag{{Key: sdk.String("team"), Value: sdk.String("web")}}, out.ResourceTags)
	s.update("staging", "v1")
	_, err = s.beanstalk.UpdateTagsForResource(t.Context(), &eb.UpdateTagsForResourceInput{ResourceArn: e.EnvironmentArn, TagsToRemove: []string{"team"}})
	assert.True(t, strings.HasPrefix(code(err), "OperationInProgressFailure"), code(err))
	out, err = s.beanstalk.ListTagsForResource(t.Context(), &eb.ListTagsForResourceInput{ResourceArn: e.EnvironmentArn})
	require.NoError(t, err, "tags can be read during an operation")
	assert.Len(t, out.ResourceTags, 1, "what was refused changed nothing")
	_, err = s.beanstalk.ListTagsForResource(t.Context(), &eb.ListTagsForResourceInput{ResourceArn: sdk.String(*e.EnvironmentArn + "x")})
	assert.True(t, strings.HasPrefix(code(err), "ResourceNotFoundException"))
}

func TestPlatformsAreListedByFilter(t *testing.T) {
	t.Parallel()
	s := start(t)
	out, err := s.beanstalk.ListPlatformVersions(t.Context(), &eb.ListPlatformVersionsInput{Filters: []types.PlatformFilter{
		{Type: sdk.String("PlatformName"), Operator: sdk.String("contains"), Values: []string{"Go", "Docker"}}}})
	require.NoError(t, err)
	require.Len(t, out.PlatformSummaryList, 2)
	described, err := s.beanstalk.DescribePlatformVersion(t.Context(), &eb.DescribePlatformVersionInput{PlatformArn: out.PlatformSummaryList[0].PlatformArn})
	require.NoError(t, err)
	stacks, err := s.beanstalk.ListAvailableSolutionStacks(t.Context(), &eb.ListAvailableSolutionStacksInput{})
	require.NoError(t, err)
	assert.Contains(t, stacks.SolutionStacks, *described.PlatformDescription.SolutionStackName)
}

func TestAVersionIsProcessedWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	status := func(label, extension string) string {
		_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String(bucket), Key: sdk.String(label),
			Body: bytes.NewReader(zipped(t, map[string]string{"Procfile": "web: true", ".ebextensions/a.config": extension}))})
		require.NoError(t, err)
		_, err = s.beanstalk.CreateApplicationVersion(t.Context(), &eb.CreateApplicationVersionInput{ApplicationName: sdk.String(applicationName),
			VersionLabel: sdk.String(label), Process: sdk.Bool(true), SourceBundle: &types.S3Location{S3Bucket: sdk.String(bucket), S3Key: sdk.String(label)}})
		require.NoError(t, err)
		var last string
		require.Eventually(t, func() bool {
			out, err := s.beanstalk.DescribeApplicationVersions(t.Context(), &eb.DescribeApplicationVersionsInput{VersionLabels: []string{label}})
			require.NoError(t, err)
			last = string(out.ApplicationVersions[0].Status)
			return last != "PROCESSING"
		}, eventually, tick)
		return last
	}
	assert.Equal(t, "PROCESSED", status("v1", healthExtension))
	assert.Equal(t, "FAILED", status("v2", "option_settings: ["))
}

func TestALaunchThatFailsLeavesTheEnvironmentReadyAndInTrouble(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "exits")
	_, err := s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName),
		EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v1"), SolutionStackName: sdk.String(stack),
		OptionSettings: []types.ConfigurationOptionSetting{setting("aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced")}})
	require.NoError(t, err)
	s.until("staging", func(e types.EnvironmentDescription) bool { return e.Status == types.EnvironmentStatusReady })
	assert.Contains(t, s.messages("staging", ""),
		"ERROR Create environment operation is complete, but with errors. For more information, see troubleshooting documentation.")
	s.version("v2", "good")
	s.update("staging", "v2")
	s.until("staging", func(e types.EnvironmentDescription) bool {
		return e.Status == types.EnvironmentStatusReady && *e.VersionLabel == "v2" && e.HealthStatus == types.EnvironmentHealthStatusOk
	})
}

func TestApplicationsAreDescribedChangedAndDeletedWithTheirEnvironments(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.create("staging", "v1", "Immutable", 1)
	updated, err := s.beanstalk.UpdateApplication(t.Context(), &eb.UpdateApplicationInput{ApplicationName: sdk.String(applicationName), Description: sdk.String("the site")})
	require.NoError(t, err)
	assert.Equal(t, "the site", *updated.Application.Description)
	version, err := s.beanstalk.UpdateApplicationVersion(t.Context(), &eb.UpdateApplicationVersionInput{
		ApplicationName: sdk.String(applicationName), VersionLabel: sdk.String("v1"), Description: sdk.String("the first")})
	require.NoError(t, err)
	assert.Equal(t, "the first", *version.ApplicationVersion.Description)
	_, err = s.beanstalk.AssociateEnvironmentOperationsRole(t.Context(), &eb.AssociateEnvironmentOperationsRoleInput{
		EnvironmentName: sdk.String("staging"), OperationsRole: sdk.String("arn:role")})
	require.NoError(t, err)
	assert.Equal(t, "arn:role", *s.describe("staging").OperationsRole)
	free, err := s.beanstalk.CheckDNSAvailability(t.Context(), &eb.CheckDNSAvailabilityInput{CNAMEPrefix: sdk.String("my-site")})
	require.NoError(t, err)
	assert.True(t, *free.Available)
	account, err := s.beanstalk.DescribeAccountAttributes(t.Context(), &eb.DescribeAccountAttributesInput{})
	require.NoError(t, err)
	assert.Equal(t, int32(1000), *account.ResourceQuotas.ApplicationVersionQuota.Maximum)

	_, err = s.beanstalk.DeleteApplication(t.Context(), &eb.DeleteApplicationInput{ApplicationName: sdk.String(applicationName)})
	assert.True(t, strings.HasPrefix(code(err), "OperationInProgressFailure: Unable to delete application site"), code(err))
	_, err = s.beanstalk.DeleteApplication(t.Context(), &eb.DeleteApplicationInput{ApplicationName: sdk.String(applicationName), TerminateEnvByForce: sdk.Bool(true)})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		out, err := s.beanstalk.DescribeEnvironments(t.Context(), &eb.DescribeEnvironmentsInput{IncludeDeleted: sdk.Bool(false)})
		return err == nil && len(out.Environments) == 0
	}, eventually, tick)
	_, err = s.beanstalk.CreateApplicationVersion(t.Context(), &eb.CreateApplicationVersionInput{ApplicationName: sdk.String(applicationName),
		VersionLabel: sdk.String("v1"), AutoCreateApplication: sdk.Bool(true), SourceBundle: &types.S3Location{S3Bucket: sdk.String(bucket), S3Key: sdk.String("v1.zip")}})
	require.NoError(t, err)
}

func TestADeletedVersionLeavesItsBundleUnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	for label, removed := range map[string]bool{"v1": false, "v2": true} {
		s.version(label, "good")
		_, err := s.beanstalk.DeleteApplicationVersion(t.Context(), &eb.DeleteApplicationVersionInput{
			ApplicationName: sdk.String(applicationName), VersionLabel: sdk.String(label), DeleteSourceBundle: sdk.Bool(removed)})
		require.NoError(t, err)
		_, err = s.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: sdk.String(bucket), Key: sdk.String(label + ".zip")})
		assert.Equal(t, removed, err != nil, label)
	}
	out, err := s.beanstalk.DescribeApplicationVersions(t.Context(), &eb.DescribeApplicationVersionsInput{ApplicationName: sdk.String(applicationName)})
	require.NoError(t, err)
	assert.Empty(t, out.ApplicationVersions)
}

func TestALifecycleByAgeBelongsToAnApplicationFromItsBeginning(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	rules := &types.ApplicationResourceLifecycleConfig{ServiceRole: sdk.String("role"), VersionLifecycleConfig: &types.ApplicationVersionLifecycleConfig{
		MaxAgeRule: &types.MaxAgeRule{Enabled: sdk.Bool(true), MaxAgeInDays: sdk.Int32(7)}}}
	made, err := s.beanstalk.CreateApplication(t.Context(), &eb.CreateApplicationInput{ApplicationName: sdk.String(applicationName), ResourceLifecycleConfig: rules})
	require.NoError(t, err)
	assert.Equal(t, int32(7), *made.Application.ResourceLifecycleConfig.VersionLifecycleConfig.MaxAgeRule.MaxAgeInDays)
	_, err = s.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: sdk.String(bucket)})
	require.NoError(t, err)
	s.version("v1", "good")
	s.clock.Advance(4 * 24 * time.Hour)
	s.version("v2", "good")
	s.clock.Advance(4 * 24 * time.Hour)
	s.version("v3", "good")
	out, err := s.beanstalk.DescribeApplications(t.Context(), &eb.DescribeApplicationsInput{})
	require.NoError(t, err)
	assert.Equal(t, []string{"v3", "v2"}, out.Applications[0].Versions)
	rules.VersionLifecycleConfig.MaxCountRule = &types.MaxCountRule{Enabled: sdk.Bool(true), MaxCount: sdk.Int32(1)}
	_, err = s.beanstalk.CreateApplication(t.Context(), &eb.CreateApplicationInput{ApplicationName: sdk.String("other"), ResourceLifecycleConfig: rules})
	assert.Equal(t, "InvalidParameterValue: Only one of MaxCountRule and MaxAgeRule can be enabled.", code(err))
}
