package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// createEnvironments creates the application and the environments that the pipeline names, where
// they are not there yet, as an operator would on AWS.
func (s *stack) createEnvironments(ctx context.Context) error {
	if s.options.Bare {
		return nil
	}
	api := elasticbeanstalk.NewFromConfig(s.platform.Config())
	platform := beanstalk.New(s.platform.Config(), s.options.Worker)
	for _, pipeline := range s.config.Pipelines {
		if err := createApplication(ctx, api, pipeline.Application); err != nil {
			return err
		}
		for _, stage := range pipeline.Stages {
			_, err := platform.OfStage(ctx, pipeline.Application, stage)
			if delivery.TypeOf(err) == delivery.EnvironmentNotFound {
				s.options.Progress("creating environment " + stage.Environment + " with two instances")
				err = createEnvironment(ctx, api, pipeline.Application, stage)
			}
			if err != nil {
				return err
			}
		}
		for _, stage := range pipeline.Stages {
			// An update that was under way when the last start ended goes on first.
			s.options.Progress("waiting until " + stage.Environment + " is Ready")
			live, err := platform.OfStage(ctx, pipeline.Application, stage)
			if err == nil {
				_, err = platform.AwaitReady(ctx, pipeline.Application, live.Name, time.Now().Add(10*time.Minute), func(beanstalk.Progress) {})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func createApplication(ctx context.Context, api *elasticbeanstalk.Client, name string) error {
	existing, err := api.DescribeApplications(ctx, &elasticbeanstalk.DescribeApplicationsInput{ApplicationNames: []string{name}})
	if err != nil {
		return fmt.Errorf("looking for application %s: %w", name, err)
	}
	if len(existing.Applications) > 0 {
		return nil
	}
	_, err = api.CreateApplication(ctx, &elasticbeanstalk.CreateApplicationInput{ApplicationName: sdk.String(name)})
	if err != nil {
		return fmt.Errorf("creating application %s: %w", name, err)
	}
	return nil
}

// environmentOptions are what a production environment should have: two instances behind an
// application load balancer, and enhanced health.
var environmentOptions = [][3]string{
	{"aws:elasticbeanstalk:environment", "EnvironmentType", "LoadBalanced"},
	{"aws:elasticbeanstalk:environment", "LoadBalancerType", "application"},
	{"aws:autoscaling:asg", "MinSize", "2"},
	{"aws:autoscaling:asg", "MaxSize", "4"},
	{"aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"},
}

func createEnvironment(ctx context.Context, api *elasticbeanstalk.Client, application string, stage delivery.Stage) error {
	stacks, err := api.ListAvailableSolutionStacks(ctx, &elasticbeanstalk.ListAvailableSolutionStacksInput{})
	if err != nil {
		return fmt.Errorf("listing solution stacks: %w", err)
	}
	var settings []types.ConfigurationOptionSetting
	options := environmentOptions[:len(environmentOptions):len(environmentOptions)]
	if policy := stage.Strategy.Policy(); policy != "" {
		options = append(options, [3]string{"aws:elasticbeanstalk:command", "DeploymentPolicy", policy})
	}
	for _, option := range options {
		settings = append(settings, types.ConfigurationOptionSetting{
			Namespace: sdk.String(option[0]), OptionName: sdk.String(option[1]), Value: sdk.String(option[2]),
		})
	}
	_, err = api.CreateEnvironment(ctx, &elasticbeanstalk.CreateEnvironmentInput{
		ApplicationName: sdk.String(application), EnvironmentName: sdk.String(stage.Environment), CNAMEPrefix: sdk.String(stage.CNAME),
		SolutionStackName: sdk.String(goStack(stacks.SolutionStacks)), OptionSettings: settings,
	})
	if err != nil {
		return fmt.Errorf("creating environment %s: %w", stage.Environment, err)
	}
	return nil
}

// goStack picks the platform for Go; their names carry versions and are never hard-coded.
func goStack(stacks []string) string {
	for _, stack := range stacks {
		if strings.Contains(stack, "running Go") {
			return stack
		}
	}
	return ""
}
