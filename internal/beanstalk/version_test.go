package beanstalk

import (
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

var v2 = delivery.Version{
	Application: "shop", Label: "v2", Bucket: "bundles", Key: "gravity/shop/v2.zip", Digest: strings.Repeat("0a", 32),
	Revision: delivery.Revision{SHA: "5f5cf5a1b2c3d4e5f60718293a4b5c6d7e8f9012", Author: "Ada", Message: "Prices are rounded"},
}

// registered is v2 as the platform has it.
func registered(status, bucket string) types.ApplicationVersionDescription {
	return types.ApplicationVersionDescription{
		ApplicationName: aws.String("shop"), VersionLabel: aws.String("v2"), Status: types.ApplicationVersionStatus(status),
		SourceBundle: &types.S3Location{S3Bucket: aws.String(bucket), S3Key: aws.String("gravity/shop/v2.zip")},
	}
}

// digested is v2 as it was registered for a bundle with a digest.
func digested(digest string) types.ApplicationVersionDescription {
	version := registered("PROCESSED", "bundles")
	version.Description = aws.String("5f5cf5a1b2c3 Prices are rounded (Ada) sha256:" + digest)
	return version
}

// answers gives the platform's answers to questions for a version, one after the other.
func answers(versions ...types.ApplicationVersionDescription) func(*elasticbeanstalk.DescribeApplicationVersionsInput) ([]types.ApplicationVersionDescription, error) {
	var next atomic.Int32
	return func(*elasticbeanstalk.DescribeApplicationVersionsInput) ([]types.ApplicationVersionDescription, error) {
		if len(versions) == 0 {
			return nil, nil
		}
		return versions[min(int(next.Add(1)), len(versions))-1:][:1], nil
	}
}

func TestRegister(t *testing.T) {
	exists := refused("InvalidParameterValue", "Application Version v2 already exists.")
	cases := []struct {
		name   string
		create error
		found  []types.ApplicationVersionDescription
		fails  delivery.ErrorType
	}{
		{name: "a new version is registered", found: []types.ApplicationVersionDescription{registered("PROCESSED", "bundles")}},
		{
			name:  "it waits until Beanstalk has processed the bundle",
			found: []types.ApplicationVersionDescription{registered("PROCESSING", "bundles"), registered("Building", "bundles"), registered("PROCESSED", "bundles")},
		},
		{name: "a version that Beanstalk does not look into is fine", found: []types.ApplicationVersionDescription{registered("Unprocessed", "bundles")}},
		{name: "a version of the same bundle that exists is ours", create: exists, found: []types.ApplicationVersionDescription{registered("PROCESSED", "bundles")}},
		{
			name: "a version of another bundle is never taken for ours", create: exists,
			found: []types.ApplicationVersionDescription{registered("PROCESSED", "somebody-elses")}, fails: delivery.VersionConflict,
		},
		{name: "a version of the same digest that exists is ours", create: exists, found: []types.ApplicationVersionDescription{digested(v2.Digest)}},
		{
			name: "a version of another digest is never taken for ours", create: exists,
			found: []types.ApplicationVersionDescription{digested(strings.Repeat("ff", 32))}, fails: delivery.VersionConflict,
		},
		{
			name: "a version without a bundle is never taken for ours", create: exists,
			found: []types.ApplicationVersionDescription{{VersionLabel: aws.String("v2")}}, fails: delivery.VersionConflict,
		},
		{
			name:  "a bundle that Beanstalk cannot process is rejected",
			found: []types.ApplicationVersionDescription{registered("PROCESSING", "bundles"), registered("FAILED", "bundles")}, fails: delivery.BundleRejected,
		},
		{name: "the same in the model's spelling", found: []types.ApplicationVersionDescription{registered("Failed", "bundles")}, fails: delivery.BundleRejected},
		{name: "a version that does not show yet is asked for again later", fails: delivery.Unavailable},
		{name: "throttling is told", create: errThrottled, fails: delivery.Throttled},
		{name: "a lost answer is told, so that the next attempt finds what was made", create: errLost, fails: delivery.Unavailable},
		{
			name: "a full region is told", create: refused("TooManyApplicationVersionsException", "You cannot have more than 1000 Application Versions."),
			fails: delivery.InvalidInput,
		},
	}
	for _, test := range cases {
		runInBubble(t, test.name, func(t *testing.T) {
			api := &fakeAPI{versions: answers(test.found...)}
			api.createVersion = func(in *elasticbeanstalk.CreateApplicationVersionInput) error {
				assert.Equal(t, "shop", aws.ToString(in.ApplicationName))
				assert.Equal(t, "v2", aws.ToString(in.VersionLabel))
				assert.Equal(t, "bundles", aws.ToString(in.SourceBundle.S3Bucket))
				assert.Equal(t, "gravity/shop/v2.zip", aws.ToString(in.SourceBundle.S3Key))
				assert.True(t, aws.ToBool(in.Process), "a broken .ebextensions is found now")
				assert.Equal(t, "5f5cf5a1b2c3 Prices are rounded (Ada) sha256:"+v2.Digest, aws.ToString(in.Description))
				return test.create
			}
			err := NewFromAPI(api, quick).Register(limited(t), v2)
			assert.Equal(t, test.fails, delivery.TypeOf(err), "%v", err)
			if test.fails == "" {
				require.NoError(t, err)
			}
			assert.Equal(t, 1, api.count("CreateApplicationVersion"))
		})
	}
}

func TestALongCommitMessageFitsIntoADescription(t *testing.T) {
	long := v2
	for len(long.Revision.Message) < 500 {
		long.Revision.Message += "größer "
	}
	description := describe(long)
	assert.LessOrEqual(t, len(description), maxDescription)
	assert.True(t, utf8.ValidString(description))
	assert.Equal(t, long.Digest, digestOf(types.ApplicationVersionDescription{Description: &description}), "the digest is never cut")
	for _, other := range []string{"", "made by hand", "sha256:abc", " sha256:" + strings.Repeat("x", 64)} {
		assert.Empty(t, digestOf(types.ApplicationVersionDescription{Description: &other}), other)
	}
}

func TestVersion(t *testing.T) {
	other := registered("PROCESSED", "bundles")
	other.VersionLabel = aws.String("v22")
	cases := []struct {
		name  string
		found []types.ApplicationVersionDescription
		fails delivery.ErrorType
	}{
		{name: "a processed version can be deployed", found: []types.ApplicationVersionDescription{registered("PROCESSED", "bundles")}},
		{name: "an unprocessed version can be deployed", found: []types.ApplicationVersionDescription{registered("UNPROCESSED", "bundles")}},
		{name: "a version that is being processed has to be waited for", found: []types.ApplicationVersionDescription{registered("PROCESSING", "bundles")}, fails: delivery.Unavailable},
		{name: "a version that failed is as good as none", found: []types.ApplicationVersionDescription{registered("FAILED", "bundles")}, fails: delivery.VersionNotFound},
		{name: "a version that was never made is not there", fails: delivery.VersionNotFound},
		{name: "a version with a similar label is another one", found: []types.ApplicationVersionDescription{other}, fails: delivery.VersionNotFound},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			found, err := NewFromAPI(&fakeAPI{versions: answers(test.found...)}, quick).Version(t.Context(), "shop", "v2")
			assert.Equal(t, test.fails, delivery.TypeOf(err), "%v", err)
			if test.fails == "" {
				require.NoError(t, err)
				assert.Equal(t, delivery.Version{Application: "shop", Label: "v2", Bucket: "bundles", Key: "gravity/shop/v2.zip"}, found)
			}
		})
	}
}

func TestBeanstalksOwnBucketIsAskedFor(t *testing.T) {
	client := NewFromAPI(&fakeAPI{storage: func() (string, error) { return "elasticbeanstalk-eu-west-1-1", nil }}, quick)
	bucket, err := client.Bucket(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "elasticbeanstalk-eu-west-1-1", bucket)

	_, err = NewFromAPI(&fakeAPI{}, quick).Bucket(t.Context())
	assert.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
}
