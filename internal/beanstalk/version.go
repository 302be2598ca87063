package beanstalk

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go/middleware"

	"gravity/internal/delivery"
)

// maxDescription is the API's own limit for descriptions, in characters.
const maxDescription = 200

// Version finds an application version that can be deployed, by its label: VersionNotFound when there
// is none, Unavailable while Beanstalk still looks into its bundle.
func (c *Client) Version(ctx context.Context, application, label string) (delivery.Version, error) {
	found, err := c.version(ctx, application, label)
	if err != nil {
		return delivery.Version{}, err
	}
	switch processingOf(found) {
	case failed:
		return delivery.Version{}, delivery.Errorf(delivery.VersionNotFound,
			"version %s of %s exists, but Beanstalk could not process its bundle; delete it, and build again", label, application)
	case underWay:
		return delivery.Version{}, delivery.Errorf(delivery.Unavailable, "Beanstalk still processes the bundle of version %s of %s", label, application)
	case processed:
	}
	version := delivery.Version{Application: application, Label: label, Digest: digestOf(found)}
	if found.SourceBundle != nil {
		version.Bucket, version.Key = aws.ToString(found.SourceBundle.S3Bucket), aws.ToString(found.SourceBundle.S3Key)
	}
	return version, nil
}

// Existing reports which versions of an application exist and can be deployed.
func (c *Client) Existing(ctx context.Context, application string, labels []string) (map[string]bool, error) {
	there := map[string]bool{}
	for batch := range slices.Chunk(labels, maxNames) {
		out, err := c.api.DescribeApplicationVersions(ctx, &elasticbeanstalk.DescribeApplicationVersionsInput{
			ApplicationName: aws.String(application), VersionLabels: batch,
		})
		if err != nil {
			return nil, classify(err, "looking for versions of "+application)
		}
		for _, found := range out.ApplicationVersions {
			there[aws.ToString(found.VersionLabel)] = processingOf(found) == processed
		}
	}
	return there, nil
}

func (c *Client) version(ctx context.Context, application, label string) (types.ApplicationVersionDescription, error) {
	out, err := c.api.DescribeApplicationVersions(ctx, &elasticbeanstalk.DescribeApplicationVersionsInput{
		ApplicationName: aws.String(application), VersionLabels: []string{label},
	})
	if err != nil {
		return types.ApplicationVersionDescription{}, classify(err, "looking for version "+label)
	}
	for _, v := range out.ApplicationVersions {
		if aws.ToString(v.VersionLabel) == label {
			return v, nil
		}
	}
	return types.ApplicationVersionDescription{}, delivery.Errorf(delivery.VersionNotFound,
		"application %s has no version %s: it was never made, or was deleted", application, label)
}

// Register makes the application version of an uploaded bundle, and waits until Beanstalk has
// looked into it. Registering again finds the first, if it stands for the same bundle.
func (c *Client) Register(ctx context.Context, version delivery.Version) error {
	_, err := c.api.CreateApplicationVersion(ctx, &elasticbeanstalk.CreateApplicationVersionInput{
		ApplicationName: aws.String(version.Application),
		VersionLabel:    aws.String(version.Label),
		Description:     aws.String(describe(version)),
		SourceBundle:    &types.S3Location{S3Bucket: aws.String(version.Bucket), S3Key: aws.String(version.Key)},
		// Process checks .ebextensions now, rather than in the middle of the first deployment.
		Process: aws.Bool(true),
	}, once)
	err = classify(err, "registering version "+version.Label)
	if err != nil && delivery.TypeOf(err) != delivery.VersionConflict {
		return err
	}
	return c.awaitProcessed(ctx, version)
}

// awaitProcessed also tells whether a version that was there before is ours.
func (c *Client) awaitProcessed(ctx context.Context, version delivery.Version) error {
	for {
		found, err := c.version(ctx, version.Application, version.Label)
		if delivery.TypeOf(err) == delivery.VersionNotFound {
			// It is there, by the platform's own word: the answer lags behind.
			return delivery.Errorf(delivery.Unavailable, "version %s is registered, but not to be found yet", version.Label)
		}
		if err != nil {
			return err
		}
		if at := found.SourceBundle; at == nil || aws.ToString(at.S3Bucket) != version.Bucket || aws.ToString(at.S3Key) != version.Key {
			return delivery.Errorf(delivery.VersionConflict,
				"version %s of %s exists already and stands for another bundle; delete it, or commit anew", version.Label, version.Application)
		}
		if known := digestOf(found); known != "" && version.Digest != "" && known != version.Digest {
			return delivery.Errorf(delivery.VersionConflict,
				"version %s of %s exists already for a bundle with another digest (%s, wanted %s); delete it, or commit anew",
				version.Label, version.Application, known, version.Digest)
		}
		switch processingOf(found) {
		case failed:
			return delivery.Errorf(delivery.BundleRejected,
				"Beanstalk could not process the bundle of version %s; look at its .ebextensions", version.Label)
		case processed:
			return nil
		case underWay:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.pace.Fast):
		}
	}
}

// processing is how far Beanstalk is with a version's bundle.
type processing int

const (
	// processed bundles can be deployed, and so can those that Beanstalk was not asked to look into.
	processed processing = iota
	underWay
	failed
)

// processingOf reads a version's status; the API model and the wire disagree on the case of it.
func processingOf(version types.ApplicationVersionDescription) processing {
	switch strings.ToLower(string(version.Status)) {
	case "processing", "building":
		return underWay
	case "failed":
		return failed
	default:
		return processed
	}
}

// digestMark precedes the bundle's digest in a version's description, where everybody can compare it.
const digestMark = " sha256:"

// describe is what the Beanstalk console shows beside the version.
func describe(version delivery.Version) string {
	text, digest := fmt.Sprintf("%s %s (%s)", version.Revision.Short(), version.Revision.Message, version.Revision.Author), ""
	if version.Digest != "" {
		digest = digestMark + version.Digest
	}
	return delivery.Clip(text, maxDescription-len(digest)) + digest
}

// sha256Digest is how a digest is written.
var sha256Digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// digestOf is the digest with which a version was registered, or "" for one that was made otherwise.
func digestOf(version types.ApplicationVersionDescription) string {
	description := aws.ToString(version.Description)
	if _, digest, marked := strings.Cut(description[max(strings.LastIndex(description, digestMark), 0):], digestMark); marked && sha256Digest.MatchString(digest) {
		return digest
	}
	return ""
}

// Bucket is the storage bucket that Beanstalk keeps in the region for this account; it is made at
// the first call.
func (c *Client) Bucket(ctx context.Context) (string, error) {
	out, err := c.api.CreateStorageLocation(ctx, &elasticbeanstalk.CreateStorageLocationInput{})
	if err != nil {
		return "", classify(err, "asking for Beanstalk's storage bucket")
	}
	return aws.ToString(out.S3Bucket), nil
}

func requestIDOf(metadata middleware.Metadata) string {
	id, _ := awsmiddleware.GetRequestIDMetadata(metadata)
	return id
}
