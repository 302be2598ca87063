package stacks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// buckets are S3's, made for real. What their properties say of encryption and the like is a record.
type buckets struct{ client *s3.Client }

func (b buckets) make(ctx context.Context, r *resource, again bool) error {
	_, err := b.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(r.Physical)})
	if again && codeOf(err) != "" && codeOf(err) == "BucketAlreadyExists" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %s (Service: S3)", r.Physical, codeOf(err))
	}
	return nil
}

func (b buckets) change(context.Context, *resource, map[string]any) error { return nil }

func (b buckets) remove(ctx context.Context, r *resource) error {
	_, err := b.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(r.Physical)})
	switch codeOf(err) {
	case "":
		return err
	case "NoSuchBucket":
		return nil
	case "BucketNotEmpty":
		return errors.New("the bucket you tried to delete is not empty (Service: S3, Status Code: 409)")
	}
	return fmt.Errorf("%s: %s (Service: S3)", r.Physical, codeOf(err))
}

func (b buckets) settled(context.Context, *resource, string, time.Time) (bool, error) {
	return true, nil
}

func (b buckets) actual(ctx context.Context, r *resource) (map[string]any, bool, error) {
	_, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(r.Physical)})
	if code := codeOf(err); code == "NotFound" || code == "NoSuchBucket" {
		return nil, true, nil
	}
	return map[string]any{}, true, err
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
