package aws

import "gravity/internal/local/aws/query"

// limits is the table of limited parameters. A name means the same in every operation that has it,
// but for AttributeNames and Status, whose values depend on the operation.
func limits() map[string]query.Limit {
	name := query.Limit{Least: 1, Most: 100}
	environment := query.Limit{Least: 4, Most: 40}
	return map[string]query.Limit{
		"ApplicationName":            name,
		"ApplicationNames":           name,
		"CNAMEPrefix":                {Least: 4, Most: 63},
		"Description":                {Most: 200},
		"DestinationEnvironmentName": environment,
		"EnvironmentName":            environment,
		"EnvironmentNames":           environment,
		"GroupName":                  {Least: 1, Most: 19},
		"InfoType":                   {Values: []string{"tail", "bundle", "analyze"}},
		"MaxItems":                   {Least: 1, Most: 100, Number: true},
		"MaxRecords":                 {Least: 1, Most: 1000, Number: true},
		"OperationsRole":             {Least: 1, Most: 256},
		"Severity":                   {Values: []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}},
		"SourceEnvironmentName":      environment,
		"TagsToRemove":               {Least: 1, Most: 128},
		"TemplateName":               name,
		"VersionLabel":               name,
		"VersionLabels":              name,

		"DescribeEnvironmentHealth.AttributeNames": {Values: []string{"Status", "Color", "Causes", "ApplicationMetrics",
			"InstancesHealth", "All", "HealthStatus", "RefreshedAt"}},
		"DescribeInstancesHealth.AttributeNames": {Values: []string{"HealthStatus", "Color", "Causes", "ApplicationMetrics",
			"RefreshedAt", "LaunchedAt", "System", "Deployment", "AvailabilityZone", "InstanceType", "All"}},
		"DescribeEnvironmentManagedActions.Status": {Values: []string{"Scheduled", "Pending", "Running", "Unknown"}},
		"DescribeInstancesHealth.NextToken":        {Least: 1, Most: 100},
	}
}
