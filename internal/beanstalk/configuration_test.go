package beanstalk

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
)

func option(namespace, name, value string) types.ConfigurationOptionSetting {
	return types.ConfigurationOptionSetting{Namespace: aws.String(namespace), OptionName: aws.String(name), Value: aws.String(value)}
}

func configured(change func([]types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting) Configuration {
	options := []types.ConfigurationOptionSetting{
		option("aws:autoscaling:asg", "MinSize", "2"),
		option("aws:autoscaling:asg", "MaxSize", "4"),
		option("aws:autoscaling:launchconfiguration", "ImageId", "ami-1"),
		option("aws:autoscaling:launchconfiguration", "InstanceType", "t3.small"),
		option("aws:cloudformation:template:parameter", "AppSource", "https://s3/v1.zip"),
		option("aws:elasticbeanstalk:application:environment", "PASSWORD", "hunter2"),
	}
	if change != nil {
		options = change(options)
	}
	return configuration(options)
}

func TestAChangedConfigurationIsToldByItsNamespaces(t *testing.T) {
	before := configured(nil).Digest
	set := func(i int, value string) func([]types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting {
		return func(options []types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting {
			options[i].Value = aws.String(value)
			return options
		}
	}
	cases := []struct {
		name   string
		before string
		change func([]types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting
		want   []string
	}{
		{name: "nothing was changed", before: before},
		{name: "nothing is known of before", change: set(0, "3")},
		{name: "what was kept by something else tells nothing", before: "abc", change: set(0, "3")},
		{name: "an option has another value", before: before, change: set(0, "3"), want: []string{"aws:autoscaling:asg"}},
		{name: "a secret has another value", before: before, change: set(5, "hunter3"), want: []string{"aws:elasticbeanstalk:application:environment"}},
		{name: "the order does not matter", before: before, change: func(o []types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting {
			o[0], o[1] = o[1], o[0]
			return o
		}},
		{name: "the place of the bundle moves by itself", before: before, change: set(4, "https://s3/v2.zip")},
		{name: "the image of the instances moves by itself", before: before, change: set(2, "ami-2")},
		{name: "their type does not", before: before, change: set(3, "t3.large"), want: []string{"aws:autoscaling:launchconfiguration"}},
		{name: "an option was added", before: before, change: func(o []types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting {
			return append(o, option("aws:elbv2:listener:443", "SSLPolicy", "modern"))
		}, want: []string{"aws:elbv2:listener:443"}},
		{name: "a namespace was removed", before: before, change: func(o []types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting { return o[:5] }, want: []string{"1 namespaces that are no longer set"}},
		{name: "a value moved to another option", before: before, change: func(o []types.ConfigurationOptionSetting) []types.ConfigurationOptionSetting {
			o[0].Value, o[1].Value = o[1].Value, o[0].Value
			return o
		}, want: []string{"aws:autoscaling:asg"}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, configured(test.change).Changed(test.before))
		})
	}
}

func TestADigestOfAConfigurationIsSmallAndKeepsNoValue(t *testing.T) {
	var options []types.ConfigurationOptionSetting
	for i := range 30 {
		for j := range 20 {
			options = append(options, option(fmt.Sprintf("aws:namespace:%d", i), fmt.Sprintf("Option%d", j), "a value of some length"))
		}
	}
	digest := configuration(options).Digest
	assert.LessOrEqual(t, len(digest), 500)
	assert.NotContains(t, digest, "value")
}
