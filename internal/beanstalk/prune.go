package beanstalk

import (
	"context"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
)

// maxPruned bounds what one call of Prune removes: a release waits for it.
const maxPruned = 25

// Prune removes a pipeline's oldest versions with their bundles, until no more than keep are left. It never removes
// one that an environment of the application is on, nor one that the caller needs: those count, but stay.
// It answers with the labels that were removed, also beside an error.
func (c *Client) Prune(ctx context.Context, application, pipeline string, keep int, needed func(label string) bool) ([]string, error) {
	labels, err := c.labels(ctx, application, pipeline)
	if err != nil {
		return nil, err
	}
	if len(labels) <= keep {
		return nil, nil
	}
	deployed, err := c.deployed(ctx, application)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, label := range labels[:len(labels)-keep] {
		if deployed[label] || needed(label) {
			continue
		}
		// Beanstalk itself refuses to remove a version that is deployed, whatever was seen here.
		_, err := c.api.DeleteApplicationVersion(ctx, &elasticbeanstalk.DeleteApplicationVersionInput{
			ApplicationName: aws.String(application), VersionLabel: aws.String(label), DeleteSourceBundle: aws.Bool(true),
		})
		if err != nil {
			return removed, classify(err, "removing version "+label)
		}
		if removed = append(removed, label); len(removed) == maxPruned {
			break
		}
	}
	return removed, nil
}

// labels lists a pipeline's own versions, oldest first. Versions that others made are not ours to remove.
func (c *Client) labels(ctx context.Context, application, pipeline string) ([]string, error) {
	// As delivery.VersionLabel writes it; the time in it sorts.
	ours := regexp.MustCompile(`^` + regexp.QuoteMeta(pipeline) + `-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7,12}$`)
	var labels []string
	pages := &elasticbeanstalk.DescribeApplicationVersionsInput{ApplicationName: aws.String(application), MaxRecords: aws.Int32(1000)}
	for {
		out, err := c.api.DescribeApplicationVersions(ctx, pages)
		if err != nil {
			return nil, classify(err, "listing the versions of "+application)
		}
		for _, version := range out.ApplicationVersions {
			if label := aws.ToString(version.VersionLabel); ours.MatchString(label) {
				labels = append(labels, label)
			}
		}
		if pages.NextToken = out.NextToken; aws.ToString(out.NextToken) == "" {
			slices.Sort(labels)
			return labels, nil
		}
	}
}

// deployed holds the versions that the application's environments are on.
func (c *Client) deployed(ctx context.Context, application string) (map[string]bool, error) {
	out, err := c.api.DescribeEnvironments(ctx, &elasticbeanstalk.DescribeEnvironmentsInput{
		ApplicationName: aws.String(application), IncludeDeleted: aws.Bool(false),
	})
	if err != nil {
		return nil, classify(err, "listing the environments of "+application)
	}
	labels := map[string]bool{}
	for _, environment := range out.Environments {
		labels[aws.ToString(environment.VersionLabel)] = true
	}
	return labels, nil
}
