package bundle

import (
	"context"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Download writes an object into a file, several parts at a time, or answers false when there is none.
func (s *Store) Download(ctx context.Context, bucket, key string, into io.WriterAt) (bool, error) {
	_, err := transfermanager.New(s.S3).DownloadObject(ctx, &transfermanager.DownloadObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), WriterAt: into,
	})
	if failedWith(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, explain(err, "read", bucket, key)
}

// Upload writes an object unless it is there.
func (s *Store) Upload(ctx context.Context, bucket, key string, content io.Reader) error {
	_, err := s.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err == nil {
		return nil
	}
	if !failedWith(err, http.StatusNotFound) {
		return explain(err, "look at", bucket, key)
	}
	_, err = transfermanager.New(s.S3).UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: content, IfNoneMatch: aws.String("*"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	if failedWith(err, http.StatusPreconditionFailed) || failedWith(err, http.StatusConflict) {
		return nil // another worker was faster
	}
	return explain(err, "upload of", bucket, key)
}
