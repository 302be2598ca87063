package aws

import (
	"fmt"
	"net/http"

	"gravity/internal/local/aws/platform"
	"gravity/internal/local/aws/query"
)

// operation is one entry of the API: what it requires, and what carries it out.
type operation struct {
	required []string // top-level parameters
	silent   bool     // its answer has no result element
	run      func(p *platform.Platform, call platform.Call, parameters *query.Parameters) (any, error)
}

// of makes an operation of a platform's method. The input and output types are those of the AWS
// SDK, so their fields need no list here.
func of[In, Out any](method func(*platform.Platform, platform.Call, *In) (*Out, error), required ...string) operation {
	return operation{required: required, run: func(p *platform.Platform, call platform.Call, parameters *query.Parameters) (any, error) {
		var in In
		if err := parameters.Decode(&in); err != nil {
			return nil, &platform.Fault{Code: "MalformedInput", Message: err.Error(), Status: http.StatusBadRequest}
		}
		out, err := method(p, call, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

// silent marks an operation whose answer has no result element.
func silent(o operation) operation {
	o.silent = true
	return o
}

// operations is the table of the API.
func operations() map[string]operation {
	return map[string]operation{
		"AbortEnvironmentUpdate":                  silent(of((*platform.Platform).AbortEnvironmentUpdate)),
		"AssociateEnvironmentOperationsRole":      silent(of((*platform.Platform).AssociateEnvironmentOperationsRole, "EnvironmentName", "OperationsRole")),
		"CheckDNSAvailability":                    of((*platform.Platform).CheckDNSAvailability, "CNAMEPrefix"),
		"CreateApplication":                       of((*platform.Platform).CreateApplication, "ApplicationName"),
		"CreateApplicationVersion":                of((*platform.Platform).CreateApplicationVersion, "ApplicationName", "VersionLabel", "SourceBuildInformation.SourceType", "SourceBuildInformation.SourceRepository", "SourceBuildInformation.SourceLocation"),
		"CreateConfigurationTemplate":             of((*platform.Platform).CreateConfigurationTemplate, "ApplicationName", "TemplateName"),
		"CreateEnvironment":                       of((*platform.Platform).CreateEnvironment, "ApplicationName"),
		"CreateStorageLocation":                   of((*platform.Platform).CreateStorageLocation),
		"DeleteApplication":                       silent(of((*platform.Platform).DeleteApplication, "ApplicationName")),
		"DeleteApplicationVersion":                silent(of((*platform.Platform).DeleteApplicationVersion, "ApplicationName", "VersionLabel")),
		"DeleteConfigurationTemplate":             silent(of((*platform.Platform).DeleteConfigurationTemplate, "ApplicationName", "TemplateName")),
		"DeleteEnvironmentConfiguration":          silent(of((*platform.Platform).DeleteEnvironmentConfiguration, "ApplicationName", "EnvironmentName")),
		"DescribeAccountAttributes":               of((*platform.Platform).DescribeAccountAttributes),
		"DescribeApplicationVersions":             of((*platform.Platform).DescribeApplicationVersions),
		"DescribeApplications":                    of((*platform.Platform).DescribeApplications),
		"DescribeConfigurationOptions":            of((*platform.Platform).DescribeConfigurationOptions),
		"DescribeConfigurationSettings":           of((*platform.Platform).DescribeConfigurationSettings, "ApplicationName"),
		"DescribeEnvironmentHealth":               of((*platform.Platform).DescribeEnvironmentHealth),
		"DescribeEnvironmentManagedActionHistory": of((*platform.Platform).DescribeEnvironmentManagedActionHistory),
		"DescribeEnvironmentManagedActions":       of((*platform.Platform).DescribeEnvironmentManagedActions),
		"DescribeEnvironmentResources":            of((*platform.Platform).DescribeEnvironmentResources),
		"DescribeEnvironments":                    of((*platform.Platform).DescribeEnvironments),
		"DescribeEvents":                          of((*platform.Platform).DescribeEvents),
		"DescribeInstancesHealth":                 of((*platform.Platform).DescribeInstancesHealth),
		"DescribePlatformVersion":                 of((*platform.Platform).DescribePlatformVersion),
		"DisassociateEnvironmentOperationsRole":   silent(of((*platform.Platform).DisassociateEnvironmentOperationsRole, "EnvironmentName")),
		"ListAvailableSolutionStacks":             of((*platform.Platform).ListAvailableSolutionStacks),
		"ListPlatformBranches":                    of((*platform.Platform).ListPlatformBranches),
		"ListPlatformVersions":                    of((*platform.Platform).ListPlatformVersions),
		"ListTagsForResource":                     of((*platform.Platform).ListTagsForResource, "ResourceArn"),
		"RebuildEnvironment":                      silent(of((*platform.Platform).RebuildEnvironment)),
		"RequestEnvironmentInfo":                  silent(of((*platform.Platform).RequestEnvironmentInfo, "InfoType")),
		"RestartAppServer":                        silent(of((*platform.Platform).RestartAppServer)),
		"RetrieveEnvironmentInfo":                 of((*platform.Platform).RetrieveEnvironmentInfo, "InfoType"),
		"SwapEnvironmentCNAMEs":                   silent(of((*platform.Platform).SwapEnvironmentCNAMEs)),
		"TerminateEnvironment":                    of((*platform.Platform).TerminateEnvironment),
		"UpdateApplication":                       of((*platform.Platform).UpdateApplication, "ApplicationName"),
		"UpdateApplicationResourceLifecycle":      of((*platform.Platform).UpdateApplicationResourceLifecycle, "ApplicationName", "ResourceLifecycleConfig"),
		"UpdateApplicationVersion":                of((*platform.Platform).UpdateApplicationVersion, "ApplicationName", "VersionLabel"),
		"UpdateConfigurationTemplate":             of((*platform.Platform).UpdateConfigurationTemplate, "ApplicationName", "TemplateName"),
		"UpdateEnvironment":                       of((*platform.Platform).UpdateEnvironment),
		"UpdateTagsForResource":                   silent(of((*platform.Platform).UpdateTagsForResource, "ResourceArn")),
		"ValidateConfigurationSettings":           of((*platform.Platform).ValidateConfigurationSettings, "ApplicationName", "OptionSettings"),
	}
}

func badRequest(code, format string, arguments ...any) *platform.Fault {
	return &platform.Fault{Code: code, Message: fmt.Sprintf(format, arguments...), Status: http.StatusBadRequest}
}

func malformed(format string, arguments ...any) *platform.Fault {
	return badRequest("MalformedQueryString", format, arguments...)
}
