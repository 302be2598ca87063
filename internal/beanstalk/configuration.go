package beanstalk

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/delivery"
)

// Configuration is what an environment is set to.
type Configuration struct {
	// Policy is the deployment policy, in AWS's spelling.
	Policy string
	// Database is true when the environment has a database that lives and dies with it.
	Database bool
	// Digest stands for all settings; see Changed.
	Digest string
	// Namespaces are those that Digest covers, sorted.
	Namespaces []string
}

// Configuration reads the settings that are in force in an environment.
func (c *Client) Configuration(ctx context.Context, application, name string) (Configuration, error) {
	out, err := c.api.DescribeConfigurationSettings(ctx, &elasticbeanstalk.DescribeConfigurationSettingsInput{
		ApplicationName: aws.String(application), EnvironmentName: aws.String(name),
	})
	if err != nil {
		return Configuration{}, classify(err, "reading the configuration of "+name)
	}
	for _, settings := range out.ConfigurationSettings {
		// After a failed change there are two sets; the deployed one is what holds.
		if settings.DeploymentStatus != types.ConfigurationDeploymentStatusFailed && settings.DeploymentStatus != types.ConfigurationDeploymentStatusPending {
			return configuration(settings.OptionSettings), nil
		}
	}
	return Configuration{}, delivery.Errorf(delivery.Unavailable, "no configuration of %s is in force yet", name)
}

func configuration(options []types.ConfigurationOptionSetting) Configuration {
	read := Configuration{Policy: "AllAtOnce"} // the documented default
	settings := map[string][]string{}
	for _, option := range options {
		namespace, name, value := aws.ToString(option.Namespace), aws.ToString(option.OptionName), aws.ToString(option.Value)
		if namespace == "aws:elasticbeanstalk:command" && name == "DeploymentPolicy" && value != "" {
			read.Policy = value
		}
		read.Database = read.Database || namespace == "aws:rds:dbinstance" && name == "HasCoupledDatabase" && value == "true"
		if !movesByItself(namespace, name) {
			settings[namespace] = append(settings[namespace], fmt.Sprintf("%q %q %q", aws.ToString(option.ResourceName), name, value))
		}
	}
	read.Namespaces = slices.Sorted(maps.Keys(settings))
	var digest strings.Builder
	for _, namespace := range read.Namespaces {
		slices.Sort(settings[namespace])
		digest.WriteString(mark(namespace, markName))
		digest.WriteString(mark(strings.Join(settings[namespace], "\n"), markValue))
	}
	read.Digest = digest.String()
	return read
}

// movesByItself tells the settings that change with every deployment, or with an update of the platform, though
// nobody has set them: the place of the bundle, and the image of the instances.
func movesByItself(namespace, name string) bool {
	return namespace == "aws:cloudformation:template:parameter" || namespace == "aws:autoscaling:launchconfiguration" && name == "ImageId"
}

// A digest has one entry a namespace, since a namespace is what people can be told to look at: its
// name and its settings, hashed and cut. Values may be secrets, so nothing of them is kept; and a
// workflow keeps a digest for every deployment that it remembers, so it has to be small.
const (
	markName  = 3 // bytes, of which each three become four characters
	markValue = 9

	markNameWidth = markName / 3 * 4
	markWidth     = markNameWidth + markValue/3*4
)

func mark(text string, size int) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:size])
}

// Changed names the namespaces in which the configuration is not as it was when the digest was
// taken; nil when nothing was changed, or nothing is known of before.
func (c Configuration) Changed(before string) []string {
	if before == "" || before == c.Digest || len(before)%markWidth != 0 {
		return nil
	}
	earlier := map[string]string{} // by the mark of the namespace
	for entry := range slices.Chunk([]byte(before), markWidth) {
		earlier[string(entry[:markNameWidth])] = string(entry[markNameWidth:])
	}
	var changed []string
	for i, namespace := range c.Namespaces {
		entry := c.Digest[i*markWidth : (i+1)*markWidth]
		if value, known := earlier[entry[:markNameWidth]]; !known || value != entry[markNameWidth:] {
			changed = append(changed, namespace)
		}
		delete(earlier, entry[:markNameWidth])
	}
	if len(earlier) > 0 {
		changed = append(changed, fmt.Sprintf("%d namespaces that are no longer set", len(earlier))) // their names were not kept
	}
	return changed
}
