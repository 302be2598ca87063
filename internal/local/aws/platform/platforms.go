package platform

import (
	"fmt"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// branch is one line of platform versions. What runs on our instances is the same for all.
type branch struct {
	name     string
	version  string
	category string
}

// branches are those that were current in July 2025; AWS retires and adds some each month.
func branches() []branch {
	return []branch{
		{"Go 1", "4.4.0", "Go"},
		{"Docker", "4.6.0", "Docker"},
		{"ECS", "4.2.0", "Docker"},
		{"Node.js 22", "6.6.0", "Node.js"},
		{"Node.js 20", "6.6.0", "Node.js"},
		{"Node.js 18", "6.6.0", "Node.js"},
	}
}

const operatingSystem = "64bit Amazon Linux 2023"

func (b branch) stack() string { return operatingSystem + " v" + b.version + " running " + b.name }

func (b branch) fullName() string { return b.name + " running on " + operatingSystem }

func (b branch) arn(region string) string {
	return fmt.Sprintf("arn:aws:elasticbeanstalk:%s::platform/%s/%s", region, b.fullName(), b.version)
}

// checkPlatform makes sure that a platform exists. Either name may be empty.
func (p *Platform) checkPlatform(stack, arn string) error {
	for _, b := range branches() {
		if b.stack() == stack {
			stack = ""
		}
		if b.arn(p.options.Region) == arn {
			arn = ""
		}
	}
	if stack != "" {
		return invalid("No Solution Stack named '%s' found.", stack)
	}
	if arn != "" {
		return invalid("No Platform named '%s' found.", arn)
	}
	return nil
}

// ListAvailableSolutionStacks lists the platforms that environments can be made on.
func (p *Platform) ListAvailableSolutionStacks(Call, *eb.ListAvailableSolutionStacksInput) (*eb.ListAvailableSolutionStacksOutput, error) {
	out := &eb.ListAvailableSolutionStacksOutput{}
	for _, b := range branches() {
		out.SolutionStacks = append(out.SolutionStacks, b.stack())
		out.SolutionStackDetails = append(out.SolutionStackDetails,
			types.SolutionStackDescription{SolutionStackName: aws.String(b.stack()), PermittedFileTypes: []string{"zip"}})
	}
	return out, nil
}

// ListPlatformVersions lists platforms by filters: each one's values are alternatives.
func (p *Platform) ListPlatformVersions(_ Call, in *eb.ListPlatformVersionsInput) (*eb.ListPlatformVersionsOutput, error) {
	list := []types.PlatformSummary{}
	for _, b := range branches() {
		fields := map[string]string{"PlatformName": b.fullName(), "PlatformVersion": b.version, "PlatformStatus": "Ready",
			"PlatformBranchName": b.fullName(), "PlatformLifecycleState": "Recommended", "PlatformOwner": "AWSElasticBeanstalk",
			"OperatingSystemName": "Amazon Linux", "SupportedTier": "WebServer/Standard", "PlatformBranchLifecycleState": "Supported"}
		matching := true
		for _, filter := range in.Filters {
			matches, err := filtered(fields, aws.ToString(filter.Type), aws.ToString(filter.Operator), filter.Values)
			if err != nil {
				return nil, err
			}
			matching = matching && matches
		}
		if matching {
			list = append(list, p.summarize(b))
		}
	}
	page, token, err := paged(list, in.MaxRecords, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eb.ListPlatformVersionsOutput{PlatformSummaryList: page, NextToken: token}, nil
}

func (p *Platform) summarize(b branch) types.PlatformSummary {
	return types.PlatformSummary{
		PlatformArn: aws.String(b.arn(p.options.Region)), PlatformOwner: aws.String("AWSElasticBeanstalk"), PlatformStatus: types.PlatformStatusReady,
		PlatformCategory: aws.String(b.category), OperatingSystemName: aws.String("Amazon Linux"), OperatingSystemVersion: aws.String("2023"),
		SupportedTierList: []string{"WebServer/Standard"}, SupportedAddonList: []string{}, PlatformLifecycleState: aws.String("Recommended"),
		PlatformVersion: aws.String(b.version), PlatformBranchName: aws.String(b.fullName()), PlatformBranchLifecycleState: aws.String("Supported"),
	}
}

// filtered tells whether a field passes a filter.
func filtered(fields map[string]string, field, operator string, values []string) (bool, error) {
	actual, known := fields[field]
	if !known {
		return false, invalid("Invalid filter type: %s", field)
	}
	tests := map[string]func(a, b string) bool{
		"=": func(a, b string) bool { return a == b }, "in": func(a, b string) bool { return a == b },
		"begins_with": strings.HasPrefix, "ends_with": strings.HasSuffix, "contains": strings.Contains,
		"!=": func(a, b string) bool { return a != b }, "not_in": func(a, b string) bool { return a != b },
	}
	test := tests[operator]
	if test == nil {
		return false, invalid("Invalid filter operator: %s", operator)
	}
	all := operator == "!=" || operator == "not_in"
	for _, value := range values {
		if test(actual, value) != all {
			return !all, nil
		}
	}
	return all, nil
}

// ListPlatformBranches lists the lines of platforms.
func (p *Platform) ListPlatformBranches(_ Call, in *eb.ListPlatformBranchesInput) (*eb.ListPlatformBranchesOutput, error) {
	list := []types.PlatformBranchSummary{}
	for n, b := range branches() {
		fields := map[string]string{"BranchName": b.fullName(), "LifecycleState": "Supported", "PlatformName": b.category, "TierType": "WebServer/Standard"}
		matching := true
		for _, filter := range in.Filters {
			matches, err := filtered(fields, aws.ToString(filter.Attribute), aws.ToString(filter.Operator), filter.Values)
			if err != nil {
				return nil, err
			}
			matching = matching && matches
		}
		if matching {
			list = append(list, types.PlatformBranchSummary{BranchName: aws.String(b.fullName()), BranchOrder: int32(n), LifecycleState: aws.String("Supported"),
				PlatformName: aws.String(b.category), SupportedTierList: []string{"WebServer/Standard"}})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].BranchOrder < list[j].BranchOrder })
	page, token, err := paged(list, in.MaxRecords, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eb.ListPlatformBranchesOutput{PlatformBranchSummaryList: page, NextToken: token}, nil
}

// DescribePlatformVersion describes one platform.
func (p *Platform) DescribePlatformVersion(_ Call, in *eb.DescribePlatformVersionInput) (*eb.DescribePlatformVersionOutput, error) {
	for _, b := range branches() {
		if in.PlatformArn == nil || *in.PlatformArn != b.arn(p.options.Region) {
			continue
		}
		return &eb.DescribePlatformVersionOutput{PlatformDescription: &types.PlatformDescription{
			PlatformArn: in.PlatformArn, PlatformName: aws.String(b.fullName()), PlatformVersion: aws.String(b.version), SolutionStackName: aws.String(b.stack()),
			PlatformStatus: types.PlatformStatusReady, PlatformOwner: aws.String("AWSElasticBeanstalk"), PlatformCategory: aws.String(b.category),
			OperatingSystemName: aws.String("Amazon Linux"), OperatingSystemVersion: aws.String("2023"), SupportedTierList: []string{"WebServer/Standard"},
			PlatformBranchName: aws.String(b.fullName()), PlatformLifecycleState: aws.String("Recommended"), PlatformBranchLifecycleState: aws.String("Supported"),
		}}, nil
	}
	return nil, invalid("No Platform named '%s' found.", aws.ToString(in.PlatformArn))
}
