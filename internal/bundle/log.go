package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// LogPrefix is where the logs of commands lie in a bucket.
const LogPrefix = "gravity/logs/"

// While a command runs, its log lies in parts beside the place of the whole, each named by where it
// begins: an object in S3 cannot grow. The parts stay until the bucket's lifecycle removes them.
const (
	partsSuffix = ".parts/"
	partDigits  = 15
)

// plainText is never anything that a browser would run.
const plainText = "text/plain; charset=utf-8"

// PutLog keeps the whole output of a command. A log that is there is replaced: an attempt that was
// interrupted uploaded less.
func (s *Store) PutLog(ctx context.Context, bucket, key string, content io.Reader) error {
	_, err := transfermanager.New(s.S3).UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: content, ContentType: aws.String(plainText),
	})
	return explain(err, "upload of", bucket, key)
}

// PutLogPart keeps what a command printed from a place on, while it runs.
func (s *Store) PutLogPart(ctx context.Context, bucket, key string, place int64, text []byte) error {
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(fmt.Sprintf("%s%s%0*d", key, partsSuffix, partDigits, place)),
		Body: bytes.NewReader(text), ContentType: aws.String(plainText),
	})
	return explain(err, "upload of", bucket, key)
}

// CopyLog writes a log from a place on, and answers with the place it came to, and whether the log
// is whole: of a command that still runs, what was kept so far is written.
func (s *Store) CopyLog(ctx context.Context, bucket, key string, place int64, output io.Writer) (reached int64, whole bool, err error) {
	object, err := s.S3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Range: aws.String("bytes=" + strconv.FormatInt(place, 10) + "-"),
	})
	switch {
	case failedWith(err, http.StatusRequestedRangeNotSatisfiable):
		return place, true, nil // all of it was read before
	case failedWith(err, http.StatusNotFound):
		reached, err = s.copyParts(ctx, bucket, key, place, output)
		return reached, false, err
	case err != nil:
		return place, false, explain(err, "read", bucket, key)
	}
	defer func() { _ = object.Body.Close() }()
	n, err := io.Copy(output, object.Body)
	return place + n, err == nil, explain(err, "read", bucket, key)
}

// copyParts writes the parts that follow each other without a gap.
func (s *Store) copyParts(ctx context.Context, bucket, key string, place int64, output io.Writer) (int64, error) {
	prefix := key + partsSuffix
	pages := s3.NewListObjectsV2Paginator(s.S3, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return place, explain(err, "list", bucket, prefix)
		}
		for _, part := range page.Contents {
			begins, err := strconv.ParseInt(strings.TrimPrefix(aws.ToString(part.Key), prefix), 10, 64)
			if err != nil || begins+aws.ToInt64(part.Size) <= place {
				continue
			}
			if begins > place {
				return place, nil
			}
			if place, err = s.copyPart(ctx, bucket, aws.ToString(part.Key), place, begins, output); err != nil {
				return place, err
			}
		}
	}
	return place, nil
}

func (s *Store) copyPart(ctx context.Context, bucket, key string, place, begins int64, output io.Writer) (int64, error) {
	object, err := s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return place, explain(err, "read", bucket, key)
	}
	defer func() { _ = object.Body.Close() }()
	if _, err := io.CopyN(io.Discard, object.Body, place-begins); err != nil && !errors.Is(err, io.EOF) {
		return place, explain(err, "read", bucket, key)
	}
	n, err := io.Copy(output, object.Body)
	return place + n, explain(err, "read", bucket, key)
}
