package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// digestMetadata is the object metadata that holds a bundle's SHA-256, hexadecimal.
const digestMetadata = "gravity-sha256"

// Bundles above multipartThreshold bytes go up in parts of partSize bytes, uploadsAtOnce at a time:
// as small as S3 takes them, because the memory of all of them counts.
const (
	multipartThreshold = 5 << 20
	partSize           = 5 << 20
	uploadsAtOnce      = 2
)

// API is what is used of S3.
type API interface {
	transfermanager.S3APIClient
	GetBucketLifecycleConfiguration(context.Context, *s3.GetBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketLifecycleConfigurationOutput, error)
	PutBucketLifecycleConfiguration(context.Context, *s3.PutBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.PutBucketLifecycleConfigurationOutput, error)
}

// Store keeps bundles in S3, and with them their provenance, the logs of the commands that made
// them, and the caches of those commands.
type Store struct {
	S3 API
}

// Put uploads a bundle under a key, once: an object there with the same digest is left as it is,
// and one with another digest is a *delivery.Error of type VersionConflict. S3 checks what arrives:
// a bundle in one piece against the digest, one in parts by a SHA-256 of every part. The content
// is read at most once, in order; open is not called when there is nothing to upload.
// Errors of S3 have the type Throttled, Unavailable, AccessDenied or InvalidInput.
func (s *Store) Put(ctx context.Context, bucket, key, digest string, open func() (io.ReadCloser, error)) error {
	sum, err := hex.DecodeString(digest)
	if err != nil || len(sum) != sha256.Size {
		return delivery.Errorf(delivery.InvalidInput, "upload of s3://%s/%s: %q is not a SHA-256 digest", bucket, key, digest)
	}
	there, err := s.compare(ctx, bucket, key, digest)
	if there || err != nil {
		return err
	}
	content, err := open()
	if err != nil {
		return delivery.Errorf(delivery.WorkspaceLost, "upload of s3://%s/%s: the bundle cannot be read: %w", bucket, key, err)
	}
	defer func() { _ = content.Close() }()
	err = s.upload(ctx, bucket, key, digest, sum, content)
	if failedWith(err, http.StatusPreconditionFailed) || failedWith(err, http.StatusConflict) {
		// Somebody else's upload was faster; what matters is whether it is the same bundle.
		there, compareErr := s.compare(ctx, bucket, key, digest)
		switch {
		case compareErr != nil:
			return compareErr
		case there:
			return nil
		default:
			return delivery.Errorf(delivery.Unavailable, "upload of s3://%s/%s: another upload is under way: %w", bucket, key, err)
		}
	}
	return explain(err, "upload of", bucket, key)
}

// Exists reports whether there is an object under the key.
func (s *Store) Exists(ctx context.Context, bucket, key string) (bool, error) {
	_, err := s.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if failedWith(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, explain(err, "look at", bucket, key)
}

func (s *Store) upload(ctx context.Context, bucket, key, digest string, sum []byte, content io.Reader) error {
	checked := &checkedReader{content: content, sum: sha256.New(), want: digest}
	manager := transfermanager.New(s.S3, func(o *transfermanager.Options) {
		o.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
		o.MultipartUploadThreshold = multipartThreshold
		o.PartSizeBytes = partSize
		o.Concurrency = uploadsAtOnce
	})
	first, err := checked.peek(multipartThreshold)
	if err != nil {
		return err
	}
	input := &transfermanager.UploadObjectInput{
		Bucket:      aws.String(bucket),
		Key:         aws.String(key),
		Body:        first,
		ContentType: aws.String("application/zip"),
		Metadata:    map[string]string{digestMetadata: digest},
		// Two uploads at once must not overwrite each other: S3 lets the first one win.
		IfNoneMatch:       aws.String("*"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	}
	if checked.ended {
		input.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	_, err = manager.UploadObject(ctx, input)
	return err
}

// compare reports whether the object is there with the same digest.
func (s *Store) compare(ctx context.Context, bucket, key, digest string) (bool, error) {
	head, err := s.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	switch {
	case failedWith(err, http.StatusNotFound):
		return false, nil
	case err != nil:
		return false, explain(err, "look at", bucket, key)
	case head.Metadata[digestMetadata] == digest:
		return true, nil
	}
	found := head.Metadata[digestMetadata]
	if found == "" {
		found = "none"
	}
	return false, delivery.Errorf(delivery.VersionConflict,
		"s3://%s/%s holds another bundle (digest %s, wanted %s): a version is never overwritten; if the object is not wanted, delete it and run again",
		bucket, key, found, digest)
}

// checkedReader ends the upload when the file is not what was hashed when it was bundled.
type checkedReader struct {
	content io.Reader
	sum     hash.Hash
	want    string
	ended   bool
}

func (c *checkedReader) Read(into []byte) (int, error) {
	n, err := c.content.Read(into)
	c.sum.Write(into[:n])
	if errors.Is(err, io.EOF) {
		c.ended = true
		if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want {
			return n, delivery.Errorf(delivery.BundleRejected, "the bundle changed after it was made (digest %s, was %s): run again", got, c.want)
		}
	}
	return n, err
}

// peek reads up to limit bytes ahead, to know whether the whole bundle fits in one request.
func (c *checkedReader) peek(limit int64) (io.Reader, error) {
	first := bytes.NewBuffer(make([]byte, 0, limit+bytes.MinRead))
	if _, err := io.CopyN(first, c, limit); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return io.MultiReader(first, c), nil
}

// explain gives an error of S3 the type by which somebody decides.
func explain(err error, doing, bucket, key string) error {
	if err == nil || delivery.TypeOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	object := "s3://" + bucket + "/" + key
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket" {
		return delivery.Errorf(delivery.InvalidInput, "%s %s: there is no such bucket: check the pipeline's bucket: %w", doing, object, err)
	}
	switch kind := refusal.TypeOf(err, nil); kind {
	case delivery.Throttled:
		return delivery.Errorf(kind, "%s %s: S3 asks for fewer calls: %w", doing, object, err)
	case delivery.AccessDenied:
		return delivery.Errorf(kind,
			"%s %s: not allowed: the worker needs s3:PutObject and s3:GetObject on the object and s3:ListBucket on the bucket: %w", doing, object, err)
	case delivery.InvalidInput:
		return delivery.Errorf(kind, "%s %s: S3 refuses the request: %w", doing, object, err)
	default:
		return delivery.Errorf(kind, "%s %s: %w", doing, object, err)
	}
}

func failedWith(err error, status int) bool { return err != nil && refusal.Status(err) == status }
