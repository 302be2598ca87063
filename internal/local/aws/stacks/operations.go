package stacks

import (
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cf "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"gravity/internal/local/aws/query"
	"gravity/internal/local/aws/service"
	"gravity/internal/stacks/template"
)

// operations is the table of the API.
func (s *Stacks) operations() map[string]query.Operation {
	return map[string]query.Operation{
		"ContinueUpdateRollback":            query.Of(s.continueUpdateRollback, "StackName"),
		"CreateChangeSet":                   query.Of(s.createChangeSet, "StackName", "ChangeSetName"),
		"DeleteChangeSet":                   query.Of(s.deleteChangeSet, "ChangeSetName"),
		"DeleteStack":                       query.Silent(query.Of(s.deleteStack, "StackName")),
		"DescribeChangeSet":                 query.Of(s.describeChangeSet, "ChangeSetName"),
		"DescribeStackDriftDetectionStatus": query.Of(s.describeDetection, "StackDriftDetectionId"),
		"DescribeStackEvents":               query.Of(s.describeEvents, "StackName"),
		"DescribeStackResourceDrifts":       query.Of(s.describeDrifts, "StackName"),
		"DescribeStackResources":            query.Of(s.describeResources),
		"DescribeStacks":                    query.Of(s.describeStacks),
		"DetectStackDrift":                  query.Of(s.detectDrift, "StackName"),
		"ExecuteChangeSet":                  query.Of(s.executeChangeSet, "ChangeSetName"),
		"GetTemplate":                       query.Of(s.getTemplate),
		"GetTemplateSummary":                query.Of(s.summarize),
	}
}

// limits are those of the API's model.
func limits() map[string]query.Limit {
	return map[string]query.Limit{
		"ChangeSetName": {Least: 1, Most: 1600},
		"ChangeSetType": {Values: []string{"CREATE", "UPDATE", "IMPORT"}},
		"Description":   {Least: 1, Most: 1024},
		"RoleARN":       {Least: 20, Most: 2048},
		"StackName":     {Least: 1, Most: 2048},
		"TemplateBody":  {Least: 1, Most: 51200},
		"TemplateURL":   {Least: 1, Most: 5120},
	}
}

func (s *Stacks) createChangeSet(_ service.Call, in *cf.CreateChangeSetInput) (*cf.CreateChangeSetOutput, error) {
	text, err := s.templateOf(in)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.recipient(in)
	if err != nil {
		return nil, err
	}
	if of.changeSet(*in.ChangeSetName) != nil {
		return nil, &service.Fault{Code: "AlreadyExistsException", Message: "ChangeSet " + *in.ChangeSetName + " already exists", Status: 400}
	}
	d := definition{Template: text, Parameters: map[string]string{}, Tags: map[string]string{}, Role: aws.ToString(in.RoleARN)}
	for _, parameter := range in.Parameters {
		name := aws.ToString(parameter.ParameterKey)
		d.Parameters[name] = aws.ToString(parameter.ParameterValue)
		if aws.ToBool(parameter.UsePreviousValue) {
			d.Parameters[name] = of.Current.Parameters[name]
		}
	}
	for _, tag := range in.Tags {
		d.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	if d.Role == "" {
		d.Role = of.Current.Role
	}
	p, err := s.read(of, d)
	if err == nil {
		err = s.capable(p, in.Capabilities)
	}
	if err != nil {
		return nil, s.withdraw(of, err)
	}
	for name, parameter := range p.template.Parameters { // a stack keeps the values that defaults had when it was made
		if _, given := d.Parameters[name]; !given && parameter.Default != nil {
			d.Parameters[name] = *parameter.Default
		}
	}
	c := &changeSet{ID: s.arn("changeSet/" + *in.ChangeSetName), Name: *in.ChangeSetName, Type: in.ChangeSetType, Description: aws.ToString(in.Description),
		Definition: d, Created: s.now(), Status: types.ChangeSetStatusCreatePending, Execution: types.ExecutionStatusUnavailable}
	of.ChangeSets = append(of.ChangeSets, c)
	if err := s.save(of); err != nil {
		return nil, err
	}
	s.ground.Clock.AfterFunc(s.ground.Step, func() { s.prepare(of, c) })
	return &cf.CreateChangeSetOutput{Id: aws.String(c.ID), StackId: aws.String(of.ID)}, nil
}

// withdraw forgets a stack that was made for a change set that is refused.
func (s *Stacks) withdraw(of *stack, because error) error {
	if of.Status == types.StackStatusReviewInProgress && len(of.ChangeSets) == 0 {
		if err := s.forget(of); err != nil {
			return err
		}
	}
	return because
}

// capable wants the caller to know that roles are made.
func (s *Stacks) capable(p *plan, capabilities []types.Capability) error {
	for _, name := range p.order {
		if !strings.HasPrefix(p.template.Resources[name].Type, "AWS::IAM::") {
			continue
		}
		if !slices.Contains(capabilities, types.CapabilityCapabilityIam) && !slices.Contains(capabilities, types.CapabilityCapabilityNamedIam) {
			return &service.Fault{Code: "InsufficientCapabilitiesException", Message: "Requires capabilities : [CAPABILITY_IAM]", Status: 400}
		}
	}
	return nil
}

// recipient is the stack that a change set is for: the one that is there, or a new one.
func (s *Stacks) recipient(in *cf.CreateChangeSetInput) (*stack, error) {
	of, err := s.find(in.StackName)
	if in.ChangeSetType != types.ChangeSetTypeCreate {
		if err != nil {
			return nil, err
		}
		if of.Work != nil || !updatable(of.Status) {
			return nil, refuse("Stack:%s is in %s state and can not be updated.", of.ID, of.Status)
		}
		return of, nil
	}
	if err == nil {
		if of.Status != types.StackStatusReviewInProgress {
			return nil, refuse("Stack [%s] already exists and cannot be created again with the changeSet [%s].", of.Name, *in.ChangeSetName)
		}
		return of, nil
	}
	of = &stack{ID: s.arn("stack/" + *in.StackName), Name: *in.StackName, Created: s.now()}
	s.stacks[of.ID] = of
	s.status(of, types.StackStatusReviewInProgress, "User Initiated")
	return of, nil
}

func updatable(status types.StackStatus) bool {
	switch status {
	case types.StackStatusCreateComplete, types.StackStatusUpdateComplete, types.StackStatusUpdateRollbackComplete:
		return true
	default:
		return false
	}
}

// templateOf is a change set's template: as it was sent, or from the bucket it is in.
func (s *Stacks) templateOf(in *cf.CreateChangeSetInput) (string, error) {
	switch {
	case aws.ToBool(in.UsePreviousTemplate):
		s.mu.Lock()
		defer s.mu.Unlock()
		of, err := s.find(in.StackName)
		if err != nil {
			return "", err
		}
		return of.Current.Template, nil
	case in.TemplateBody != nil:
		return *in.TemplateBody, nil
	case in.TemplateURL == nil:
		return "", refuse("Either Template URL or Template Body must be specified.")
	}
	bucket, key, err := s.location(*in.TemplateURL)
	if err != nil {
		return "", err
	}
	object, err := s.buckets.GetObject(s.ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return "", refuse("S3 error: %s", codeOf(err))
	}
	defer func() { _ = object.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(object.Body, template.MaxSize+1))
	if err != nil {
		return "", refuse("S3 error: %v", err)
	}
	return string(text), nil
}

// location takes an address of S3 apart: of this endpoint, or of AWS.
func (s *Stacks) location(address string) (bucket, key string, err error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", "", refuse("TemplateURL must be a supported URL.")
	}
	own, _ := url.Parse(aws.ToString(s.ground.Client.BaseEndpoint))
	path := strings.TrimPrefix(parsed.Path, "/")
	if own != nil && parsed.Host == own.Host {
		bucket, key, _ = strings.Cut(path, "/")
		return bucket, key, nil
	}
	name, isS3 := strings.CutSuffix(parsed.Host, ".s3."+s.ground.Region+".amazonaws.com")
	if !isS3 || parsed.Scheme != "https" {
		return "", "", refuse("TemplateURL must be a supported URL.")
	}
	return name, path, nil
}

// prepare works out what a change set would change.
func (s *Stacks) prepare(of *stack, c *changeSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	p, err := s.read(of, c.Definition)
	if err == nil {
		c.Changes, err = s.compare(of, p)
	}
	switch {
	case err != nil:
		c.Status, c.Reason = types.ChangeSetStatusFailed, strings.TrimPrefix(err.Error(), "ValidationError: ")
	case len(c.Changes) == 0:
		c.Status, c.Reason = types.ChangeSetStatusFailed, "The submitted information didn't contain changes. Submit different information to create a change set."
	default:
		c.Status, c.Execution = types.ChangeSetStatusCreateComplete, types.ExecutionStatusAvailable
	}
	s.keep(of)
}

func (s *Stacks) chosen(stackName, changeSetName *string) (*stack, *changeSet, error) {
	for _, of := range s.stacks {
		if c := of.changeSet(*changeSetName); c != nil && (stackName == nil || *stackName == of.Name || *stackName == of.ID) {
			return of, c, nil
		}
	}
	return nil, nil, &service.Fault{Code: "ChangeSetNotFound", Message: "ChangeSet [" + *changeSetName + "] does not exist", Status: 404}
}

func (s *Stacks) describeChangeSet(_ service.Call, in *cf.DescribeChangeSetInput) (*cf.DescribeChangeSetOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, c, err := s.chosen(in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	changes, next, err := paged(c.Changes, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &cf.DescribeChangeSetOutput{
		ChangeSetId: aws.String(c.ID), ChangeSetName: aws.String(c.Name), StackId: aws.String(of.ID), StackName: aws.String(of.Name),
		CreationTime: aws.Time(c.Created), Description: optionalText(c.Description), Status: c.Status, StatusReason: optionalText(c.Reason),
		ExecutionStatus: c.Execution, Changes: changes, NextToken: next, Parameters: parameters(c.Definition), Tags: tags(c.Definition),
	}, nil
}

func (s *Stacks) deleteChangeSet(_ service.Call, in *cf.DeleteChangeSetInput) (*cf.DeleteChangeSetOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, c, err := s.chosen(in.StackName, in.ChangeSetName)
	if err != nil {
		return &cf.DeleteChangeSetOutput{}, nil //nolint:nilerr // deleting what is gone is no error of CloudFormation's
	}
	of.ChangeSets = slices.DeleteFunc(of.ChangeSets, func(one *changeSet) bool { return one == c })
	return &cf.DeleteChangeSetOutput{}, s.save(of)
}

func (s *Stacks) executeChangeSet(_ service.Call, in *cf.ExecuteChangeSetInput) (*cf.ExecuteChangeSetOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, c, err := s.chosen(in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	if c.Execution != types.ExecutionStatusAvailable || of.Work != nil {
		return nil, &service.Fault{Code: "InvalidChangeSetStatus", Status: 400,
			Message: "ChangeSet [" + c.ID + "] cannot be executed in its current status of [" + string(c.Status) + "]"}
	}
	before := of.Current
	of.Current, of.ChangeSets, of.Executed = c.Definition, nil, c.ID
	p, err := s.read(of, of.Current)
	if err != nil {
		return nil, err
	}
	if c.Type == types.ChangeSetTypeCreate {
		return &cf.ExecuteChangeSetOutput{}, s.start(of, creating, tasksOf(p.order, actionCreate), types.StackStatusCreateInProgress, in.ClientRequestToken)
	}
	earlier := map[string]*resource{}
	for _, r := range of.Resources {
		copied := *r
		earlier[r.Logical] = &copied
	}
	if err := s.start(of, updating, tasksOf(p.order, actionUpdate), types.StackStatusUpdateInProgress, in.ClientRequestToken); err != nil {
		return nil, err
	}
	of.Work.Before, of.Work.Earlier = &before, earlier
	return &cf.ExecuteChangeSetOutput{}, s.save(of)
}

func tasksOf(names []string, action string) []task {
	tasks := make([]task, len(names))
	for i, name := range names {
		tasks[i] = task{Action: action, Logical: name}
	}
	return tasks
}

func (s *Stacks) deleteStack(_ service.Call, in *cf.DeleteStackInput) (*cf.DeleteStackOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil || of.gone() || of.Work != nil && of.Work.Phase == deletingAll {
		return &cf.DeleteStackOutput{}, nil //nolint:nilerr // deleting what is gone is no error of CloudFormation's
	}
	if of.Work != nil {
		return nil, refuse("Stack [%s] cannot be deleted while in status %s", of.Name, of.Status)
	}
	of.ChangeSets = nil
	return &cf.DeleteStackOutput{}, s.start(of, deletingAll, removals(of.Resources), types.StackStatusDeleteInProgress, in.ClientRequestToken)
}

func (s *Stacks) continueUpdateRollback(_ service.Call, in *cf.ContinueUpdateRollbackInput) (*cf.ContinueUpdateRollbackOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil {
		return nil, err
	}
	if of.Status != types.StackStatusUpdateRollbackFailed || of.Stuck == nil {
		return nil, refuse("Stack:%s is in %s state and can not continue its rollback.", of.ID, of.Status)
	}
	stuck := of.Stuck
	stuck.Tasks[0].Begun, stuck.Tasks[0].Since = false, time.Time{}
	if err := s.start(of, takingBack, stuck.Tasks, types.StackStatusUpdateRollbackInProgress, in.ClientRequestToken); err != nil {
		return nil, err
	}
	of.Work.Before, of.Work.Earlier = stuck.Before, stuck.Earlier
	return &cf.ContinueUpdateRollbackOutput{}, s.save(of)
}

func (s *Stacks) describeStacks(_ service.Call, in *cf.DescribeStacksInput) (*cf.DescribeStacksOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.StackName != nil {
		of, err := s.find(in.StackName)
		if err != nil {
			return nil, err
		}
		return &cf.DescribeStacksOutput{Stacks: []types.Stack{of.described()}}, nil
	}
	out := &cf.DescribeStacksOutput{Stacks: []types.Stack{}}
	for _, id := range template.Sorted(s.stacks) {
		if !s.stacks[id].gone() {
			out.Stacks = append(out.Stacks, s.stacks[id].described())
		}
	}
	return out, nil
}

func (s *stack) described() types.Stack {
	described := types.Stack{
		ChangeSetId: optionalText(s.Executed),
		StackId:     aws.String(s.ID), StackName: aws.String(s.Name), StackStatus: s.Status, StackStatusReason: optionalText(s.Reason),
		CreationTime: aws.Time(s.Created), LastUpdatedTime: aws.Time(s.Updated), RoleARN: optionalText(s.Current.Role),
		Parameters: parameters(s.Current), Tags: tags(s.Current), DisableRollback: aws.Bool(false),
		DriftInformation: &types.StackDriftInformation{StackDriftStatus: types.StackDriftStatusNotChecked},
	}
	if !s.Deleted.IsZero() {
		described.DeletionTime = aws.Time(s.Deleted)
	}
	if s.Detection != nil && s.Detection.Status != detecting {
		described.DriftInformation = &types.StackDriftInformation{StackDriftStatus: s.Detection.Drift, LastCheckTimestamp: aws.Time(s.Detection.At)}
	}
	for _, told := range s.Outputs {
		described.Outputs = append(described.Outputs, types.Output{OutputKey: aws.String(told.Name), OutputValue: aws.String(told.Value), Description: optionalText(told.Description)})
	}
	return described
}

func (s *Stacks) describeEvents(_ service.Call, in *cf.DescribeStackEventsInput) (*cf.DescribeStackEventsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil {
		return nil, err
	}
	var all []types.StackEvent
	for _, e := range slices.Backward(of.Events) {
		all = append(all, types.StackEvent{EventId: aws.String(e.ID), StackId: aws.String(of.ID), StackName: aws.String(of.Name), Timestamp: aws.Time(e.At),
			LogicalResourceId: aws.String(e.Logical), PhysicalResourceId: optionalText(e.Physical), ResourceType: aws.String(e.Type),
			ResourceStatus: e.Status, ResourceStatusReason: optionalText(e.Reason)})
	}
	page, next, err := paged(all, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &cf.DescribeStackEventsOutput{StackEvents: page, NextToken: next}, nil
}

func (s *Stacks) describeResources(_ service.Call, in *cf.DescribeStackResourcesInput) (*cf.DescribeStackResourcesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil {
		return nil, err
	}
	out := &cf.DescribeStackResourcesOutput{StackResources: []types.StackResource{}}
	for _, r := range of.Resources {
		if in.LogicalResourceId != nil && *in.LogicalResourceId != r.Logical {
			continue
		}
		out.StackResources = append(out.StackResources, types.StackResource{
			StackId: aws.String(of.ID), StackName: aws.String(of.Name), LogicalResourceId: aws.String(r.Logical), PhysicalResourceId: optionalText(r.Physical),
			ResourceType: aws.String(r.Type), ResourceStatus: r.Status, ResourceStatusReason: optionalText(r.Reason), Timestamp: aws.Time(r.Updated),
		})
	}
	return out, nil
}

func (s *Stacks) getTemplate(_ service.Call, in *cf.GetTemplateInput) (*cf.GetTemplateOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil {
		return nil, err
	}
	return &cf.GetTemplateOutput{TemplateBody: aws.String(of.Current.Template)}, nil
}

// summarize tells what a template asks for, before there is a stack of it.
func (s *Stacks) summarize(_ service.Call, in *cf.GetTemplateSummaryInput) (*cf.GetTemplateSummaryOutput, error) {
	text, err := s.templateOf(&cf.CreateChangeSetInput{StackName: in.StackName, TemplateBody: in.TemplateBody, TemplateURL: in.TemplateURL,
		UsePreviousTemplate: aws.Bool(in.TemplateBody == nil && in.TemplateURL == nil && in.StackName != nil)})
	if err != nil {
		return nil, err
	}
	parsed, err := template.Parse([]byte(text))
	if err != nil {
		return nil, refuse("Template format error: %v", err)
	}
	out := &cf.GetTemplateSummaryOutput{Description: optionalText(parsed.Description), Parameters: []types.ParameterDeclaration{}}
	for _, name := range template.Sorted(parsed.Parameters) {
		parameter := parsed.Parameters[name]
		out.Parameters = append(out.Parameters, types.ParameterDeclaration{ParameterKey: aws.String(name), ParameterType: aws.String(parameter.Type),
			Description: optionalText(parameter.Description), DefaultValue: parameter.Default, NoEcho: aws.Bool(parameter.NoEcho)})
	}
	kinds := map[string]bool{}
	for _, resource := range parsed.Resources {
		kinds[resource.Type] = true
		if strings.HasPrefix(resource.Type, "AWS::IAM::") {
			out.Capabilities = []types.Capability{types.CapabilityCapabilityIam}
		}
	}
	out.ResourceTypes = template.Sorted(kinds)
	return out, nil
}

func parameters(d definition) []types.Parameter {
	var list []types.Parameter
	for _, name := range template.Sorted(d.Parameters) {
		list = append(list, types.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(d.Parameters[name])})
	}
	return list
}

func tags(d definition) []types.Tag {
	var list []types.Tag
	for _, name := range template.Sorted(d.Tags) {
		list = append(list, types.Tag{Key: aws.String(name), Value: aws.String(d.Tags[name])})
	}
	return list
}

// pageSize is how much of a list one answer has.
const pageSize = 100

func paged[T any](all []T, token *string) (page []T, next *string, err error) {
	from := 0
	if token != nil {
		if from, err = strconv.Atoi(*token); err != nil || from < 0 || from > len(all) {
			return nil, nil, refuse("The NextToken is invalid.")
		}
	}
	to := min(from+pageSize, len(all))
	if to < len(all) {
		next = aws.String(strconv.Itoa(to))
	}
	return all[from:to], next, nil
}

func optionalText(text string) *string {
	if text == "" {
		return nil
	}
	return aws.String(text)
}
