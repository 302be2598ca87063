package platform

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// terminatedVisible is for about how long a terminated environment can still be described.
const terminatedVisible = time.Hour

// DescribeEnvironments lists environments by name.
func (p *Platform) DescribeEnvironments(_ Call, in *eb.DescribeEnvironmentsInput) (*eb.DescribeEnvironmentsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Clock.Now()
	found := []types.EnvironmentDescription{}
	for _, e := range p.environments {
		if p.asked(e, in, now) {
			found = append(found, p.read(e, now))
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if *found[i].EnvironmentName != *found[j].EnvironmentName {
			return *found[i].EnvironmentName < *found[j].EnvironmentName
		}
		return *found[i].EnvironmentId < *found[j].EnvironmentId
	})
	page, token, err := paged(found, in.MaxRecords, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eb.DescribeEnvironmentsOutput{Environments: page, NextToken: token}, nil
}

func (p *Platform) asked(e *Environment, in *eb.DescribeEnvironmentsInput, now time.Time) bool {
	if in.ApplicationName != nil && *in.ApplicationName != e.Application ||
		in.EnvironmentNames != nil && !contains(in.EnvironmentNames, e.Name) ||
		in.EnvironmentIds != nil && !contains(in.EnvironmentIds, e.ID) ||
		in.VersionLabel != nil && *in.VersionLabel != p.shownVersion(e) {
		return false
	}
	if e.Status != types.EnvironmentStatusTerminated {
		return true
	}
	since := now.Add(-terminatedVisible)
	if in.IncludedDeletedBackTo != nil {
		since = *in.IncludedDeletedBackTo
	}
	// Without the parameter those are there: the SDKs' waiters for the end of an environment rely on it.
	return (in.IncludeDeleted == nil || *in.IncludeDeleted) && e.Terminated.After(since)
}

// shownVersion is the version label that callers see.
func (p *Platform) shownVersion(e *Environment) string {
	if p.options.NewLabelWhileUpdating && e.Update != nil && e.Update.Deploys && !e.Update.Failed && !e.Update.Aborted {
		return e.Update.Version
	}
	return e.Version
}

// remember keeps an environment's description as it is before a change, for reads to go on showing
// it for a while, when that is asked for.
func (p *Platform) remember(e *Environment) {
	if lag := time.Duration(p.options.Faults.Get().StaleReads); lag > 0 {
		before := p.describe(e)
		e.stale, e.staleUntil = &before, p.options.Clock.Now().Add(lag)
	}
}

// read is the description that a read shows now.
func (p *Platform) read(e *Environment, now time.Time) types.EnvironmentDescription {
	if e.stale != nil && now.Before(e.staleUntil) {
		return *e.stale
	}
	return p.describe(e)
}

func (p *Platform) describe(e *Environment) types.EnvironmentDescription {
	seen := e.health.seen
	description := types.EnvironmentDescription{
		ApplicationName: aws.String(e.Application), EnvironmentName: aws.String(e.Name), EnvironmentId: aws.String(e.ID),
		EnvironmentArn: aws.String(p.arn("environment/" + e.Application + "/" + e.Name)),
		Description:    optional(e.Description), TemplateName: optional(e.Template),
		VersionLabel: optional(p.shownVersion(e)), SolutionStackName: optional(e.SolutionStack), PlatformArn: optional(e.PlatformArn),
		CNAME: aws.String(e.CNAME()), EndpointURL: aws.String(e.CNAME()),
		Status: e.Status, Tier: &e.Tier,
		DateCreated: aws.Time(e.Created), DateUpdated: aws.Time(e.Updated),
		Health:                       color(seen.status),
		AbortableOperationInProgress: aws.Bool(e.Update != nil && abortable(e.Update)),
		EnvironmentLinks:             []types.EnvironmentLink{}, OperationsRole: optional(e.OperationsRole),
	}
	if seen.status == "" || e.Status == types.EnvironmentStatusTerminated {
		description.Health = types.EnvironmentHealthGrey
	}
	if p.enhanced(e) {
		description.HealthStatus = seen.status
		if seen.status == "" {
			description.HealthStatus = pending
		}
	}
	return description
}

// CNAME is the environment's public address. AWS has a domain name there; ours is this machine's
// address with the load balancer's port, which works the same way: http://CNAME.
func (e *Environment) CNAME() string { return fmt.Sprintf("127.0.0.1:%d", e.Port) }

func (e *Environment) balancerArn(p *Platform) string {
	return fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:loadbalancer/app/awseb--AWSEB-%s/%s",
		p.options.Region, p.options.Account, strings.TrimPrefix(e.ID, "e-"), strings.TrimPrefix(e.ID, "e-"))
}

// arn is the name of one of the account's resources.
func (p *Platform) arn(resource string) string {
	return fmt.Sprintf("arn:aws:elasticbeanstalk:%s:%s:%s", p.options.Region, p.options.Account, resource)
}

// DescribeEnvironmentResources lists what an environment is made of.
func (p *Platform) DescribeEnvironmentResources(_ Call, in *eb.DescribeEnvironmentResourcesInput) (*eb.DescribeEnvironmentResourcesOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	resources := &types.EnvironmentResourceDescription{
		EnvironmentName: aws.String(e.Name), AutoScalingGroups: []types.AutoScalingGroup{}, Instances: []types.Instance{},
		LaunchConfigurations: []types.LaunchConfiguration{}, LaunchTemplates: []types.LaunchTemplate{},
		LoadBalancers: []types.LoadBalancer{{Name: aws.String(e.balancerArn(p))}},
		Queues:        []types.Queue{}, Triggers: []types.Trigger{},
	}
	if p.singleInstance(e) {
		resources.LoadBalancers = []types.LoadBalancer{} // ours is what AWS has an elastic address for
	}
	for _, group := range e.groups() {
		resources.AutoScalingGroups = append(resources.AutoScalingGroups, types.AutoScalingGroup{Name: aws.String(group)})
	}
	for _, i := range e.staying() {
		resources.Instances = append(resources.Instances, types.Instance{Id: aws.String(i.ID)})
	}
	return &eb.DescribeEnvironmentResourcesOutput{EnvironmentResources: resources}, nil
}

// groups are the environment's auto scaling groups, the permanent one first.
func (e *Environment) groups() []string {
	var groups []string
	if e.Group != "" {
		groups = append(groups, e.Group)
	}
	if e.Update != nil && e.Update.TemporaryGroup != "" {
		groups = append(groups, e.Update.TemporaryGroup)
	}
	return groups
}

// DescribeEnvironmentHealth answers from the environment's latest health report that callers may
// see already.
func (p *Platform) DescribeEnvironmentHealth(_ Call, in *eb.DescribeEnvironmentHealthInput) (*eb.DescribeEnvironmentHealthOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	if !p.enhanced(e) {
		return nil, fault("InvalidRequestException", "DescribeEnvironmentHealth is not supported.")
	}
	seen := e.health.seen
	asked := attributes(in.AttributeNames)
	out := &eb.DescribeEnvironmentHealthOutput{EnvironmentName: aws.String(e.Name)}
	if asked("Status") {
		out.Status = types.EnvironmentHealth(e.Status)
	}
	if asked("Color") {
		out.Color = aws.String(string(color(seen.status)))
	}
	if asked("HealthStatus") {
		out.HealthStatus = aws.String(string(seen.status))
	}
	if asked("Causes") {
		out.Causes = append([]string{}, seen.causes...)
	}
	if asked("ApplicationMetrics") {
		out.ApplicationMetrics = p.describeMetrics(seen.metrics)
	}
	if asked("InstancesHealth") {
		out.InstancesHealth = summary(seen.counts)
	}
	if asked("RefreshedAt") {
		out.RefreshedAt = aws.Time(seen.at)
	}
	return out, nil
}

// attributes tells which attributes a health call asked for.
func attributes[A ~string](names []A) func(A) bool {
	return func(name A) bool {
		for _, asked := range names {
			if asked == name || asked == "All" {
				return true
			}
		}
		return false
	}
}

func summary(counts map[types.EnvironmentHealthStatus]int) *types.InstanceHealthSummary {
	count := func(status types.EnvironmentHealthStatus) *int32 { return aws.Int32(int32(counts[status])) }
	return &types.InstanceHealthSummary{
		NoData: count(noData), Unknown: count(unknown), Pending: count(pending), Ok: count(ok), Info: count(informed),
		Warning: count(warned), Degraded: count(degraded), Severe: count(severe),
	}
}

// DescribeInstancesHealth answers with the latest report of every instance.
func (p *Platform) DescribeInstancesHealth(_ Call, in *eb.DescribeInstancesHealthInput) (*eb.DescribeInstancesHealthOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	if !p.enhanced(e) {
		return nil, fault("InvalidRequestException", "DescribeInstancesHealth is not supported.")
	}
	asked := attributes(in.AttributeNames)
	list := []types.SingleInstanceHealth{}
	for _, i := range e.Instances {
		if !i.gone {
			list = append(list, p.describeInstance(i, asked))
		}
	}
	sort.Slice(list, func(a, b int) bool { return *list[a].InstanceId < *list[b].InstanceId })
	page, token, err := paged(list, nil, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &eb.DescribeInstancesHealthOutput{InstanceHealthList: page, NextToken: token}
	if asked(types.InstancesHealthAttributeRefreshedAt) {
		out.RefreshedAt = aws.Time(e.health.now.at)
	}
	return out, nil
}

func (p *Platform) describeInstance(i *Instance, asked func(types.InstancesHealthAttribute) bool) types.SingleInstanceHealth {
	out := types.SingleInstanceHealth{InstanceId: aws.String(i.ID)}
	status := i.report.status
	if status == "" {
		status = noData
	}
	if asked(types.InstancesHealthAttributeHealthStatus) {
		out.HealthStatus = aws.String(string(status))
	}
	if asked(types.InstancesHealthAttributeColor) {
		out.Color = aws.String(string(color(status)))
	}
	if asked(types.InstancesHealthAttributeCauses) {
		out.Causes = append([]string{}, i.report.causes...)
	}
	if asked(types.InstancesHealthAttributeApplicationMetrics) {
		out.ApplicationMetrics = p.describeMetrics(i.report.metrics)
	}
	if asked(types.InstancesHealthAttributeLaunchedAt) {
		out.LaunchedAt = aws.Time(i.Launched)
	}
	if asked(types.InstancesHealthAttributeAvailabilityZone) {
		out.AvailabilityZone = aws.String(i.Zone)
	}
	if asked(types.InstancesHealthAttributeInstanceType) {
		out.InstanceType = aws.String(i.Type)
	}
	if asked(types.InstancesHealthAttributeDeployment) {
		out.Deployment = i.deployment()
	}
	if asked(types.InstancesHealthAttributeSystem) {
		out.System = &types.SystemStatus{LoadAverage: loadAverage(), CPUUtilization: i.report.usage}
	}
	return out
}

// deployment is how the instance's latest deployment stands. It ends before the instance is judged
// healthy.
func (i *Instance) deployment() *types.Deployment {
	status := "In Progress"
	if failed, _ := i.failed(); failed {
		status = "Failed"
	} else if i.running() {
		status = "Deployed"
	}
	deployment := &types.Deployment{VersionLabel: aws.String(i.Version), DeploymentId: aws.Int64(int64(i.DeploymentID)), Status: aws.String(status)}
	if !i.deployAt.IsZero() {
		deployment.DeploymentTime = aws.Time(i.deployAt)
	}
	return deployment
}

// paged cuts a list into pages; a token is the place of the next element.
func paged[T any](all []T, limit *int32, token *string) (page []T, next *string, err error) {
	from := 0
	if token != nil {
		if from, err = strconv.Atoi(*token); err != nil || from < 0 || from > len(all) {
			return nil, nil, invalid("Invalid NextToken: %.100s", *token)
		}
	}
	to := len(all)
	if limit != nil && from+int(*limit) < to {
		to = from + int(*limit)
		next = aws.String(strconv.Itoa(to))
	}
	return all[from:to], next, nil
}

func contains(list []string, wanted string) bool {
	for _, element := range list {
		if element == wanted {
			return true
		}
	}
	return false
}

func tagMap(tags []types.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	named := map[string]string{}
	for _, tag := range tags {
		named[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return named
}
