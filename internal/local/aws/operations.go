package aws

import (
	"gravity/internal/local/aws/platform"
	"gravity/internal/local/aws/query"
)

// beanstalk is Elastic Beanstalk as a service of the endpoint: the platform's operations, and the
// protocol that they are called by.
type beanstalk struct {
	*query.API
	*platform.Platform
}

func newBeanstalk(p *platform.Platform) beanstalk {
	return beanstalk{Platform: p, API: &query.API{
		Service: "AWSElasticBeanstalk", Namespace: "http://elasticbeanstalk.amazonaws.com/docs/2010-12-01/", Version: "2010-12-01",
		Operations: operations(p), Limits: limits(),
	}}
}

// operations is the table of the API.
func operations(p *platform.Platform) map[string]query.Operation {
	return map[string]query.Operation{
		"AbortEnvironmentUpdate":                  query.Silent(query.Of(p.AbortEnvironmentUpdate)),
		"AssociateEnvironmentOperationsRole":      query.Silent(query.Of(p.AssociateEnvironmentOperationsRole, "EnvironmentName", "OperationsRole")),
		"CheckDNSAvailability":                    query.Of(p.CheckDNSAvailability, "CNAMEPrefix"),
		"CreateApplication":                       query.Of(p.CreateApplication, "ApplicationName"),
		"CreateApplicationVersion":                query.Of(p.CreateApplicationVersion, "ApplicationName", "VersionLabel", "SourceBuildInformation.SourceType", "SourceBuildInformation.SourceRepository", "SourceBuildInformation.SourceLocation"),
		"CreateConfigurationTemplate":             query.Of(p.CreateConfigurationTemplate, "ApplicationName", "TemplateName"),
		"CreateEnvironment":                       query.Of(p.CreateEnvironment, "ApplicationName"),
		"CreateStorageLocation":                   query.Of(p.CreateStorageLocation),
		"DeleteApplication":                       query.Silent(query.Of(p.DeleteApplication, "ApplicationName")),
		"DeleteApplicationVersion":                query.Silent(query.Of(p.DeleteApplicationVersion, "ApplicationName", "VersionLabel")),
		"DeleteConfigurationTemplate":             query.Silent(query.Of(p.DeleteConfigurationTemplate, "ApplicationName", "TemplateName")),
		"DeleteEnvironmentConfiguration":          query.Silent(query.Of(p.DeleteEnvironmentConfiguration, "ApplicationName", "EnvironmentName")),
		"DescribeAccountAttributes":               query.Of(p.DescribeAccountAttributes),
		"DescribeApplicationVersions":             query.Of(p.DescribeApplicationVersions),
		"DescribeApplications":                    query.Of(p.DescribeApplications),
		"DescribeConfigurationOptions":            query.Of(p.DescribeConfigurationOptions),
		"DescribeConfigurationSettings":           query.Of(p.DescribeConfigurationSettings, "ApplicationName"),
		"DescribeEnvironmentHealth":               query.Of(p.DescribeEnvironmentHealth),
		"DescribeEnvironmentManagedActionHistory": query.Of(p.DescribeEnvironmentManagedActionHistory),
		"DescribeEnvironmentManagedActions":       query.Of(p.DescribeEnvironmentManagedActions),
		"DescribeEnvironmentResources":            query.Of(p.DescribeEnvironmentResources),
		"DescribeEnvironments":                    query.Of(p.DescribeEnvironments),
		"DescribeEvents":                          query.Of(p.DescribeEvents),
		"DescribeInstancesHealth":                 query.Of(p.DescribeInstancesHealth),
		"DescribePlatformVersion":                 query.Of(p.DescribePlatformVersion),
		"DisassociateEnvironmentOperationsRole":   query.Silent(query.Of(p.DisassociateEnvironmentOperationsRole, "EnvironmentName")),
		"ListAvailableSolutionStacks":             query.Of(p.ListAvailableSolutionStacks),
		"ListPlatformBranches":                    query.Of(p.ListPlatformBranches),
		"ListPlatformVersions":                    query.Of(p.ListPlatformVersions),
		"ListTagsForResource":                     query.Of(p.ListTagsForResource, "ResourceArn"),
		"RebuildEnvironment":                      query.Silent(query.Of(p.RebuildEnvironment)),
		"RequestEnvironmentInfo":                  query.Silent(query.Of(p.RequestEnvironmentInfo, "InfoType")),
		"RestartAppServer":                        query.Silent(query.Of(p.RestartAppServer)),
		"RetrieveEnvironmentInfo":                 query.Of(p.RetrieveEnvironmentInfo, "InfoType"),
		"SwapEnvironmentCNAMEs":                   query.Silent(query.Of(p.SwapEnvironmentCNAMEs)),
		"TerminateEnvironment":                    query.Of(p.TerminateEnvironment),
		"UpdateApplication":                       query.Of(p.UpdateApplication, "ApplicationName"),
		"UpdateApplicationResourceLifecycle":      query.Of(p.UpdateApplicationResourceLifecycle, "ApplicationName", "ResourceLifecycleConfig"),
		"UpdateApplicationVersion":                query.Of(p.UpdateApplicationVersion, "ApplicationName", "VersionLabel"),
		"UpdateConfigurationTemplate":             query.Of(p.UpdateConfigurationTemplate, "ApplicationName", "TemplateName"),
		"UpdateEnvironment":                       query.Of(p.UpdateEnvironment),
		"UpdateTagsForResource":                   query.Silent(query.Of(p.UpdateTagsForResource, "ResourceArn")),
		"ValidateConfigurationSettings":           query.Of(p.ValidateConfigurationSettings, "ApplicationName", "OptionSettings"),
	}
}
