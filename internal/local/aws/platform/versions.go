package platform

import (
	"fmt"
	"sort"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// CreateApplicationVersion registers a source bundle that is in S3 as a version.
func (p *Platform) CreateApplicationVersion(call Call, in *eb.CreateApplicationVersionInput) (*eb.CreateApplicationVersionOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, label := p.applications[*in.ApplicationName], *in.VersionLabel
	switch {
	case a == nil && !aws.ToBool(in.AutoCreateApplication):
		return nil, invalid("No Application named '%s' found.", *in.ApplicationName)
	case a != nil && a.version(label) != nil:
		return nil, invalid("Application Version %s already exists.", label)
	case in.SourceBuildInformation != nil || in.BuildConfiguration != nil:
		return nil, fault("CodeBuildNotInServiceRegionException", "AWS CodeBuild is not available in this region.")
	}
	if err := p.checkQuota(); err != nil {
		return nil, err
	}
	if err := p.checkBundle(in.SourceBundle); err != nil {
		return nil, err
	}
	if a == nil {
		var err error
		if a, err = p.createApplication(Application{Name: *in.ApplicationName}); err != nil {
			return nil, err
		}
	}
	now := p.now()
	v := &Version{Label: label, Description: aws.ToString(in.Description), Created: now, Updated: now,
		Bucket: p.StorageBucket(), Status: unprocessed, Tags: tagMap(in.Tags)}
	if in.SourceBundle != nil {
		v.Bucket, v.Key = *in.SourceBundle.S3Bucket, *in.SourceBundle.S3Key
	}
	if aws.ToBool(in.Process) {
		v.Status = processing
		p.processLater(a, v)
	}
	p.applyLifecycle(a)
	a.Versions = append(a.Versions, v)
	if err := p.saveApplication(a); err != nil {
		a.Versions = a.Versions[:len(a.Versions)-1]
		return nil, err
	}
	p.append(Event{Severity: msgVersionCreated.severity, Message: fmt.Sprintf(msgVersionCreated.text, label),
		Application: a.Name, Version: label, RequestID: call.RequestID})
	return &eb.CreateApplicationVersionOutput{ApplicationVersion: p.describeVersion(a, v)}, nil
}

// checkQuota refuses a version that would be one too many for the account in the region.
func (p *Platform) checkQuota() error {
	count := 0
	for _, a := range p.applications {
		count += len(a.Versions)
	}
	if count >= maxVersions {
		return fault("TooManyApplicationVersionsException", "You have reached the limit of %d application versions.", maxVersions)
	}
	return nil
}

func (p *Platform) checkBundle(bundle *types.S3Location) error {
	if bundle == nil {
		return nil // AWS takes its sample application then
	}
	if bundle.S3Bucket == nil || bundle.S3Key == nil {
		return missingRequired("SourceBundle.S3Bucket and SourceBundle.S3Key")
	}
	size, err := p.options.Objects.Size(*bundle.S3Bucket, *bundle.S3Key)
	if err != nil {
		return invalid("Unable to download from S3 location (Bucket: %s  Key: %s). Reason: Not Found", *bundle.S3Bucket, *bundle.S3Key)
	}
	if size == 0 || size > maxBundle {
		return invalid("Source bundle is empty or exceeds maximum allowed size: %d.", maxBundle)
	}
	return nil
}

func (p *Platform) processLater(a *Application, v *Version) {
	p.later(p.options.Pace.Step, func() { p.process(a, v) })
}

// process checks a version's .ebextensions, as AWS does when Process is asked for.
func (p *Platform) process(a *Application, v *Version) {
	v.Status, v.Updated = processed, p.now()
	if _, err := p.extensions(v); err != nil {
		v.Status = processingFailed
		p.append(Event{Severity: types.EventSeverityError, Message: err.Error(), Application: a.Name, Version: v.Label})
	}
	if err := p.saveApplication(a); err != nil {
		p.options.Log.Error("a version could not be written to disk", "error", err)
	}
}

// DescribeApplicationVersions lists versions, newest first.
func (p *Platform) DescribeApplicationVersions(_ Call, in *eb.DescribeApplicationVersionsInput) (*eb.DescribeApplicationVersionsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := []types.ApplicationVersionDescription{}
	for name, a := range p.applications {
		if in.ApplicationName != nil && *in.ApplicationName != name {
			continue
		}
		for _, v := range a.Versions {
			if in.VersionLabels == nil || contains(in.VersionLabels, v.Label) {
				found = append(found, *p.describeVersion(a, v))
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].DateCreated.After(*found[j].DateCreated) })
	page, token, err := paged(found, in.MaxRecords, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eb.DescribeApplicationVersionsOutput{ApplicationVersions: page, NextToken: token}, nil
}

func (p *Platform) describeVersion(a *Application, v *Version) *types.ApplicationVersionDescription {
	out := &types.ApplicationVersionDescription{
		ApplicationName: aws.String(a.Name), VersionLabel: aws.String(v.Label), Description: optional(v.Description),
		ApplicationVersionArn: aws.String(p.arn("applicationversion/" + a.Name + "/" + v.Label)),
		DateCreated:           aws.Time(v.Created), DateUpdated: aws.Time(v.Updated),
		Status: types.ApplicationVersionStatus(v.Status),
	}
	if v.Key != "" {
		out.SourceBundle = &types.S3Location{S3Bucket: aws.String(v.Bucket), S3Key: aws.String(v.Key)}
	}
	return out
}

// DeleteApplicationVersion removes a version that no environment runs.
func (p *Platform) DeleteApplicationVersion(_ Call, in *eb.DeleteApplicationVersionInput) (*eb.DeleteApplicationVersionOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.application(*in.ApplicationName)
	if err != nil {
		return nil, err
	}
	for n, v := range a.Versions {
		if v.Label != *in.VersionLabel {
			continue
		}
		if e := p.runs(a.Name, v.Label); e != nil {
			return nil, fault("SourceBundleDeletionFailure",
				"Unable to delete application version %s because it is deployed to environment %s.", v.Label, e.Name)
		}
		if aws.ToBool(in.DeleteSourceBundle) {
			if err := p.options.Objects.Delete(v.Bucket, v.Key); err != nil {
				return nil, fault("SourceBundleDeletionFailure", "Unable to delete the source bundle of version %s: %v.", v.Label, err)
			}
		}
		a.Versions = append(a.Versions[:n:n], a.Versions[n+1:]...)
		return &eb.DeleteApplicationVersionOutput{}, p.saveApplication(a)
	}
	return nil, invalid("No Application Version named '%s' found.", *in.VersionLabel)
}

// runs is an environment that has the version, or is on its way to it.
func (p *Platform) runs(application, label string) *Environment {
	for _, e := range p.environments {
		if e.Application != application || e.Status == types.EnvironmentStatusTerminated {
			continue
		}
		if e.Version == label || e.Update != nil && e.Update.Version == label {
			return e
		}
	}
	return nil
}
