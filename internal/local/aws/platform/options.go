package platform

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Option names one of an environment's configuration options.
type Option struct {
	Namespace string
	Name      string
}

// MarshalText makes an option a key of a JSON object.
func (o Option) MarshalText() ([]byte, error) { return []byte(o.Namespace + " " + o.Name), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *Option) UnmarshalText(text []byte) error {
	var found bool
	o.Namespace, o.Name, found = strings.Cut(string(text), " ")
	if !found {
		return fmt.Errorf("%q is no configuration option", text)
	}
	return nil
}

// Settings are values of options.
type Settings map[Option]string

// The namespaces that the platform itself reads.
const (
	nsEnvironment = "aws:elasticbeanstalk:environment"
	nsProcess     = "aws:elasticbeanstalk:environment:process:default"
	nsProperties  = "aws:elasticbeanstalk:application:environment"
	nsCommand     = "aws:elasticbeanstalk:command"
	nsHealth      = "aws:elasticbeanstalk:healthreporting:system"
	nsSplitting   = "aws:elasticbeanstalk:trafficsplitting"
	nsGroup       = "aws:autoscaling:asg"
	nsLaunch      = "aws:autoscaling:launchconfiguration"
	nsRolling     = "aws:autoscaling:updatepolicy:rollingupdate"
	nsApplication = "aws:elasticbeanstalk:application"
	nsInstances   = "aws:ec2:instances"
	nsNetwork     = "aws:ec2:vpc"
	nsBalancer    = "aws:elbv2:loadbalancer"
)

// optionRule is what the platform knows of one option: its default, and which values it takes.
type optionRule struct {
	fallback string
	values   []string // one of these, when given
	min, max int      // a whole number between these, when max is not 0
}

// rules is the table of options. An option that is not in it is not one of Beanstalk's, except for
// environment properties, whose names are free.
func rules() map[Option]optionRule {
	return map[Option]optionRule{
		{nsEnvironment, "EnvironmentType"}:                                                 {fallback: "LoadBalanced", values: []string{"LoadBalanced", "SingleInstance"}},
		{nsEnvironment, "ServiceRole"}:                                                     {},
		{nsEnvironment, "LoadBalancerType"}:                                                {fallback: "classic", values: []string{"classic", "application", "network"}},
		{nsEnvironment, "LoadBalancerIsShared"}:                                            {fallback: "false", values: []string{"true", "false"}},
		{nsEnvironment, "ExternalExtensionsS3Bucket"}:                                      {},
		{nsEnvironment, "ExternalExtensionsS3Key"}:                                         {},
		{nsProcess, "HealthCheckPath"}:                                                     {fallback: "/"},
		{nsProcess, "HealthCheckInterval"}:                                                 {fallback: "15", min: 5, max: 300},
		{nsProcess, "HealthCheckTimeout"}:                                                  {fallback: "5", min: 2, max: 120},
		{nsProcess, "HealthyThresholdCount"}:                                               {fallback: "3", min: 2, max: 10},
		{nsProcess, "UnhealthyThresholdCount"}:                                             {fallback: "5", min: 2, max: 10},
		{nsProcess, "MatcherHTTPCode"}:                                                     {fallback: "200"},
		{nsProcess, "Port"}:                                                                {fallback: "80", min: 1, max: 65535},
		{nsProcess, "Protocol"}:                                                            {fallback: "HTTP", values: []string{"HTTP", "HTTPS", "TCP"}},
		{nsProcess, "DeregistrationDelay"}:                                                 {fallback: "20", min: 0, max: 3600},
		{nsProcess, "StickinessEnabled"}:                                                   {fallback: "false", values: []string{"true", "false"}},
		{nsProcess, "StickinessLBCookieDuration"}:                                          {fallback: "86400", min: 1, max: 604800},
		{nsProcess, "StickinessType"}:                                                      {fallback: "lb_cookie", values: []string{"lb_cookie"}},
		{nsCommand, "DeploymentPolicy"}:                                                    {fallback: allAtOnce, values: []string{allAtOnce, rolling, rollingAdditional, immutable, trafficSplitting}},
		{nsCommand, "Timeout"}:                                                             {fallback: "600", min: 1, max: 3600},
		{nsCommand, "BatchSizeType"}:                                                       {fallback: "Percentage", values: []string{"Percentage", "Fixed"}},
		{nsCommand, "BatchSize"}:                                                           {fallback: "100", min: 1, max: 10000},
		{nsCommand, "IgnoreHealthCheck"}:                                                   {fallback: "false", values: []string{"true", "false"}},
		{nsCommand, "HealthCheckSuccessThreshold"}:                                         {fallback: "Ok", values: []string{"Ok", "Warning", "Degraded", "Severe"}},
		{nsHealth, "SystemType"}:                                                           {fallback: "basic", values: []string{"basic", "enhanced"}},
		{nsHealth, "HealthCheckSuccessThreshold"}:                                          {fallback: "Ok", values: []string{"Ok", "Warning", "Degraded", "Severe"}},
		{nsHealth, "ConfigDocument"}:                                                       {},
		{nsHealth, "EnhancedHealthAuthEnabled"}:                                            {fallback: "true", values: []string{"true", "false"}},
		{nsSplitting, "NewVersionPercent"}:                                                 {fallback: "10", min: 1, max: 100},
		{nsSplitting, "EvaluationTime"}:                                                    {fallback: "5", min: 3, max: 600},
		{nsGroup, "MinSize"}:                                                               {fallback: "1", min: 0, max: 10000},
		{nsGroup, "MaxSize"}:                                                               {fallback: "4", min: 0, max: 10000},
		{nsGroup, "Cooldown"}:                                                              {fallback: "360", min: 0, max: 10000},
		{nsGroup, "Availability Zones"}:                                                    {fallback: "Any"},
		{nsGroup, "Custom Availability Zones"}:                                             {},
		{nsGroup, "EnableCapacityRebalancing"}:                                             {fallback: "false", values: []string{"true", "false"}},
		{nsRolling, "RollingUpdateEnabled"}:                                                {fallback: "false", values: []string{"true", "false"}},
		{nsRolling, "RollingUpdateType"}:                                                   {fallback: "Time", values: []string{"Time", "Health", "Immutable"}},
		{nsRolling, "Timeout"}:                                                             {fallback: "PT30M"},
		{nsRolling, "PauseTime"}:                                                           {},
		{nsRolling, "MaxBatchSize"}:                                                        {fallback: "1", min: 1, max: 10000},
		{nsRolling, "MinInstancesInService"}:                                               {fallback: "0", min: 0, max: 9999},
		{nsLaunch, "ImageId"}:                                                              {},
		{nsLaunch, "InstanceType"}:                                                         {fallback: "t3.micro"},
		{nsLaunch, "IamInstanceProfile"}:                                                   {},
		{nsLaunch, "EC2KeyName"}:                                                           {},
		{nsLaunch, "SecurityGroups"}:                                                       {},
		{nsLaunch, "SSHSourceRestriction"}:                                                 {fallback: "tcp,22,22,0.0.0.0/0"},
		{nsLaunch, "DisableDefaultEC2SecurityGroup"}:                                       {fallback: "false", values: []string{"true", "false"}},
		{nsLaunch, "DisableIMDSv1"}:                                                        {fallback: "true", values: []string{"true", "false"}},
		{nsLaunch, "MonitoringInterval"}:                                                   {fallback: "5 minute", values: []string{"1 minute", "5 minute"}},
		{nsLaunch, "RootVolumeType"}:                                                       {},
		{nsLaunch, "RootVolumeSize"}:                                                       {},
		{nsLaunch, "RootVolumeIOPS"}:                                                       {},
		{nsLaunch, "BlockDeviceMappings"}:                                                  {},
		{nsApplication, "Application Healthcheck URL"}:                                     {},
		{nsInstances, "InstanceTypes"}:                                                     {fallback: "t3.micro"},
		{nsInstances, "EnableSpot"}:                                                        {fallback: "false", values: []string{"true", "false"}},
		{nsInstances, "SupportedArchitectures"}:                                            {fallback: "x86_64"},
		{nsNetwork, "VPCId"}:                                                               {},
		{nsNetwork, "Subnets"}:                                                             {},
		{nsNetwork, "ELBSubnets"}:                                                          {},
		{nsNetwork, "ELBScheme"}:                                                           {fallback: "public", values: []string{"public", "internal"}},
		{nsNetwork, "AssociatePublicIpAddress"}:                                            {values: []string{"true", "false"}},
		{nsBalancer, "AccessLogsS3Enabled"}:                                                {fallback: "false", values: []string{"true", "false"}},
		{nsBalancer, "AccessLogsS3Bucket"}:                                                 {},
		{nsBalancer, "AccessLogsS3Prefix"}:                                                 {},
		{nsBalancer, "IdleTimeout"}:                                                        {fallback: "60", min: 1, max: 4000},
		{nsBalancer, "SecurityGroups"}:                                                     {},
		{nsBalancer, "ManagedSecurityGroup"}:                                               {},
		{"aws:elbv2:listener:default", "ListenerEnabled"}:                                  {fallback: "true", values: []string{"true", "false"}},
		{"aws:elbv2:listener:default", "Protocol"}:                                         {fallback: "HTTP", values: []string{"HTTP", "HTTPS", "TCP"}},
		{"aws:elbv2:listener:default", "Rules"}:                                            {},
		{"aws:elbv2:listener:default", "SSLCertificateArns"}:                               {},
		{"aws:elbv2:listener:default", "SSLPolicy"}:                                        {},
		{"aws:elbv2:listener:default", "DefaultProcess"}:                                   {fallback: "default"},
		{"aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs"}:                             {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:cloudwatch:logs", "RetentionInDays"}:                        {fallback: "7", min: 1, max: 3653},
		{"aws:elasticbeanstalk:cloudwatch:logs", "DeleteOnTerminate"}:                      {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:cloudwatch:logs:health", "HealthStreamingEnabled"}:          {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:cloudwatch:logs:health", "RetentionInDays"}:                 {fallback: "7", min: 1, max: 3653},
		{"aws:elasticbeanstalk:cloudwatch:logs:health", "DeleteOnTerminate"}:               {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:managedactions", "ManagedActionsEnabled"}:                   {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:managedactions", "PreferredStartTime"}:                      {},
		{"aws:elasticbeanstalk:managedactions", "ServiceRoleForManagedUpdates"}:            {},
		{"aws:elasticbeanstalk:managedactions:platformupdate", "UpdateLevel"}:              {values: []string{"patch", "minor"}},
		{"aws:elasticbeanstalk:managedactions:platformupdate", "InstanceRefreshEnabled"}:   {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:hostmanager", "LogPublicationControl"}:                      {fallback: "false", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:monitoring", "Automatically Terminate Unhealthy Instances"}: {fallback: "true", values: []string{"true", "false"}},
		{"aws:elasticbeanstalk:environment:proxy", "ProxyServer"}:                          {fallback: "nginx", values: []string{"nginx", "apache", "none"}},
		{"aws:elasticbeanstalk:sns:topics", "Notification Endpoint"}:                       {},
		{"aws:elasticbeanstalk:sns:topics", "Notification Protocol"}:                       {fallback: "email"},
		{"aws:elasticbeanstalk:sns:topics", "Notification Topic ARN"}:                      {},
		{"aws:elasticbeanstalk:xray", "XRayEnabled"}:                                       {fallback: "false", values: []string{"true", "false"}},
		{"aws:autoscaling:trigger", "MeasureName"}:                                         {fallback: "NetworkOut"},
		{"aws:autoscaling:trigger", "Statistic"}:                                           {fallback: "Average"},
		{"aws:autoscaling:trigger", "Unit"}:                                                {fallback: "Bytes"},
		{"aws:autoscaling:trigger", "LowerThreshold"}:                                      {fallback: "2000000"},
		{"aws:autoscaling:trigger", "UpperThreshold"}:                                      {fallback: "6000000"},
		{"aws:autoscaling:trigger", "LowerBreachScaleIncrement"}:                           {fallback: "-1"},
		{"aws:autoscaling:trigger", "UpperBreachScaleIncrement"}:                           {fallback: "1"},
		{"aws:autoscaling:trigger", "Period"}:                                              {fallback: "5"},
		{"aws:autoscaling:trigger", "BreachDuration"}:                                      {fallback: "5"},
		{"aws:autoscaling:trigger", "EvaluationPeriods"}:                                   {fallback: "1"},
	}
}

// check returns what is wrong with a value, or nothing.
func (r optionRule) check(value string) string {
	if len(r.values) > 0 {
		for _, allowed := range r.values {
			if value == allowed {
				return ""
			}
		}
		return fmt.Sprintf("Valid values: %s", strings.Join(r.values, ", "))
	}
	if r.max == 0 {
		return ""
	}
	number, err := strconv.Atoi(value)
	if err != nil || number < r.min || number > r.max {
		return fmt.Sprintf("Value should be a whole number between %d and %d", r.min, r.max)
	}
	return ""
}

// rule finds the rule of an option. Namespaces that carry a name of the user's (of a process, a
// listener) have the rules of the default one; those of what the stand-in does not have are let
// through and do nothing.
func (p *Platform) rule(option Option) (rule optionRule, known bool) {
	if rule, known = p.rules[option]; known {
		return rule, true
	}
	for _, family := range []string{"aws:elasticbeanstalk:environment:process:", "aws:elbv2:listener:"} {
		if strings.HasPrefix(option.Namespace, family) {
			rule, known = p.rules[Option{family + "default", option.Name}]
			return rule, known
		}
	}
	for _, family := range []string{
		"aws:autoscaling:scheduledaction", "aws:cloudformation:template:", "aws:elasticbeanstalk:container:",
		"aws:elasticbeanstalk:environment:proxy:", "aws:elasticbeanstalk:sqsd", "aws:elb:", "aws:elbv2:listenerrule:", "aws:rds:",
	} {
		if strings.HasPrefix(option.Namespace, family) {
			return optionRule{}, true
		}
	}
	return optionRule{}, false
}

// problem says what is wrong with a setting, in AWS's words, or nothing.
func (p *Platform) problem(option Option, value string) string {
	if option.Namespace == nsProperties {
		return ""
	}
	rule, known := p.rule(option)
	if !known {
		return fmt.Sprintf("Invalid option specification (Namespace: '%s', OptionName: '%s'): Unknown configuration setting.",
			option.Namespace, option.Name)
	}
	if wrong := rule.check(value); wrong != "" {
		return fmt.Sprintf("Invalid option value: '%s' (Namespace: '%s', OptionName: '%s'): %s",
			value, option.Namespace, option.Name, wrong)
	}
	return ""
}

// with returns these settings with others laid over them.
func (s Settings) with(others Settings) Settings {
	merged := make(Settings, len(s)+len(others))
	for option, value := range s {
		merged[option] = value
	}
	for option, value := range others {
		merged[option] = value
	}
	return merged
}

// sorted are the options in a steady order.
func (s Settings) sorted() []Option {
	options := make([]Option, 0, len(s))
	for option := range s {
		options = append(options, option)
	}
	sort.Slice(options, func(i, j int) bool {
		if options[i].Namespace != options[j].Namespace {
			return options[i].Namespace < options[j].Namespace
		}
		return options[i].Name < options[j].Name
	})
	return options
}

// value is an option's value in an environment: what was set by call, else what the deployed
// version's .ebextensions say, else the default.
func (p *Platform) value(e *Environment, option Option) string {
	if value, set := e.Settings[option]; set {
		return value
	}
	if value, set := e.Extensions[option]; set {
		return value
	}
	return p.rules[option].fallback
}

func (p *Platform) number(e *Environment, option Option) int {
	number, err := strconv.Atoi(p.value(e, option))
	if err != nil {
		number, _ = strconv.Atoi(p.rules[option].fallback) // of our own table
	}
	return number
}

// properties are the variables that instances of the environment get to see.
func (p *Platform) properties(e *Environment) map[string]string {
	properties := map[string]string{}
	for option, value := range e.Extensions.with(e.Settings) {
		if option.Namespace == nsProperties {
			properties[option.Name] = value
		}
	}
	return properties
}
