package bundle

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// How long a bucket keeps what can be done without, in days.
const (
	LogDays   = 30
	CacheDays = 14
)

// expiries are the rules of a bucket's lifecycle that belong to Gravity, by their names.
var expiries = []struct {
	id, prefix string
	days       int32
}{
	{"gravity-logs", LogPrefix, LogDays},
	{"gravity-caches", "gravity/caches/", CacheDays},
}

// EnsureLifecycle makes sure that a bucket removes old logs and caches, and what interrupted uploads
// of bundles left. Rules of others stay as they are, and so does one of ours that somebody changed.
func (s *Store) EnsureLifecycle(ctx context.Context, bucket string) error {
	var rules []types.LifecycleRule
	found, err := s.S3.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String(bucket)})
	var api smithy.APIError
	switch {
	case err == nil:
		rules = found.Rules
	case errors.As(err, &api) && api.ErrorCode() == "NoSuchLifecycleConfiguration":
	default:
		return lifecycleError(err, bucket)
	}
	before := len(rules)
	for _, expiry := range expiries {
		if !has(rules, expiry.id) {
			rules = append(rules, types.LifecycleRule{
				ID: aws.String(expiry.id), Status: types.ExpirationStatusEnabled,
				Filter:     &types.LifecycleRuleFilter{Prefix: aws.String(expiry.prefix)},
				Expiration: &types.LifecycleExpiration{Days: aws.Int32(expiry.days)},
			})
		}
	}
	const uploads = "gravity-unfinished-uploads"
	if !has(rules, uploads) {
		rules = append(rules, types.LifecycleRule{
			ID: aws.String(uploads), Status: types.ExpirationStatusEnabled,
			Filter:                         &types.LifecycleRuleFilter{Prefix: aws.String("gravity/")},
			AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(2)},
		})
	}
	if len(rules) == before {
		return nil
	}
	_, err = s.S3.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: aws.String(bucket), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
	})
	return lifecycleError(err, bucket)
}

func has(rules []types.LifecycleRule, id string) bool {
	return slices.ContainsFunc(rules, func(rule types.LifecycleRule) bool { return aws.ToString(rule.ID) == id })
}

// lifecycleError says what a person can do instead.
func lifecycleError(err error, bucket string) error {
	if err == nil {
		return nil
	}
	explained := explain(err, "set the lifecycle of", bucket, "")
	return delivery.Errorf(delivery.TypeOf(explained),
		"bucket %s keeps logs and caches forever: allow the worker s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration, or add rules that expire %s after %d days and %s after %d: %w",
		bucket, expiries[0].prefix, LogDays, expiries[1].prefix, CacheDays, explained)
}
