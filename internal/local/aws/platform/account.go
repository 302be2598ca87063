package platform

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// StorageBucket is the bucket that Beanstalk keeps for the account in its region.
func (p *Platform) StorageBucket() string {
	return "elasticbeanstalk-" + p.options.Region + "-" + p.options.Account
}

// CreateStorageLocation makes the account's bucket, or finds it.
func (p *Platform) CreateStorageLocation(Call, *eb.CreateStorageLocationInput) (*eb.CreateStorageLocationOutput, error) {
	if err := p.options.Objects.EnsureBucket(p.StorageBucket()); err != nil {
		return nil, internal(err)
	}
	return &eb.CreateStorageLocationOutput{S3Bucket: aws.String(p.StorageBucket())}, nil
}

// CheckDNSAvailability tells whether a CNAME prefix is free, and which address it stands for.
func (p *Platform) CheckDNSAvailability(_ Call, in *eb.CheckDNSAvailabilityInput) (*eb.CheckDNSAvailabilityOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.holder(*in.CNAMEPrefix); e != nil {
		return &eb.CheckDNSAvailabilityOutput{Available: aws.Bool(false), FullyQualifiedCNAME: aws.String(e.CNAME())}, nil
	}
	return &eb.CheckDNSAvailabilityOutput{
		Available:           aws.Bool(true),
		FullyQualifiedCNAME: aws.String(*in.CNAMEPrefix + "." + p.options.Region + ".elasticbeanstalk.com"),
	}, nil
}

// DescribeAccountAttributes answers with the account's quotas.
func (p *Platform) DescribeAccountAttributes(Call, *eb.DescribeAccountAttributesInput) (*eb.DescribeAccountAttributesOutput, error) {
	quota := func(n int32) *types.ResourceQuota { return &types.ResourceQuota{Maximum: aws.Int32(n)} }
	return &eb.DescribeAccountAttributesOutput{ResourceQuotas: &types.ResourceQuotas{
		ApplicationQuota: quota(maxApplications), ApplicationVersionQuota: quota(maxVersions),
		EnvironmentQuota: quota(maxEnvironments), ConfigurationTemplateQuota: quota(maxTemplates), CustomPlatformQuota: quota(maxPlatforms),
	}}, nil
}

// The quotas that are commonly quoted for a new account. The number of environments is ours: a
// machine full of them is what the stand-in is for.
const (
	maxApplications = 75
	maxVersions     = 1000
	maxEnvironments = 2000
	maxTemplates    = 2000
	maxPlatforms    = 50
)

// DescribeEnvironmentManagedActions lists the managed platform updates that are due. There are
// never any: the platform versions here do not change.
func (p *Platform) DescribeEnvironmentManagedActions(_ Call, in *eb.DescribeEnvironmentManagedActionsInput) (*eb.DescribeEnvironmentManagedActionsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.environment(in.EnvironmentName, in.EnvironmentId); err != nil {
		return nil, err
	}
	return &eb.DescribeEnvironmentManagedActionsOutput{ManagedActions: []types.ManagedAction{}}, nil
}

// DescribeEnvironmentManagedActionHistory lists the managed platform updates that there were: none.
func (p *Platform) DescribeEnvironmentManagedActionHistory(_ Call, in *eb.DescribeEnvironmentManagedActionHistoryInput) (*eb.DescribeEnvironmentManagedActionHistoryOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.environment(in.EnvironmentName, in.EnvironmentId); err != nil {
		return nil, err
	}
	return &eb.DescribeEnvironmentManagedActionHistoryOutput{ManagedActionHistoryItems: []types.ManagedActionHistoryItem{}}, nil
}

// AssociateEnvironmentOperationsRole notes the role that operations on an environment use.
func (p *Platform) AssociateEnvironmentOperationsRole(_ Call, in *eb.AssociateEnvironmentOperationsRoleInput) (*eb.AssociateEnvironmentOperationsRoleOutput, error) {
	return &eb.AssociateEnvironmentOperationsRoleOutput{}, p.setOperationsRole(in.EnvironmentName, *in.OperationsRole)
}

// DisassociateEnvironmentOperationsRole forgets that role.
func (p *Platform) DisassociateEnvironmentOperationsRole(_ Call, in *eb.DisassociateEnvironmentOperationsRoleInput) (*eb.DisassociateEnvironmentOperationsRoleOutput, error) {
	return &eb.DisassociateEnvironmentOperationsRoleOutput{}, p.setOperationsRole(in.EnvironmentName, "")
}

func (p *Platform) setOperationsRole(name *string, role string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(name, nil)
	if err != nil {
		return err
	}
	e.OperationsRole = role
	p.save(e)
	return nil
}
