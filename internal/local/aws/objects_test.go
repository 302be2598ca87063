package aws_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
)

func TestObjectsAreUploadedInPartsAndReadAgainAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	inFolder := func(o *aws.Options) { o.DataDir = folder }
	s := start(t, inFolder)
	s.application()
	content := make([]byte, 20<<20+3)
	_, err := rand.Read(content)
	require.NoError(t, err)
	_, err = transfermanager.New(s.s3).UploadObject(t.Context(), &transfermanager.UploadObjectInput{
		Bucket: sdk.String(bucket), Key: sdk.String("folder/large key+ü.bin"), Body: bytes.NewReader(content), Metadata: map[string]string{"digest": "abc"}})
	require.NoError(t, err)
	require.NoError(t, s.server.Close())

	again := start(t, inFolder)
	out, err := again.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("folder/large key+ü.bin")})
	require.NoError(t, err)
	read, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, read))
	assert.Equal(t, "abc", out.Metadata["digest"])
	part, err := again.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("folder/large key+ü.bin"), Range: sdk.String("bytes=10-19")})
	require.NoError(t, err)
	read, err = io.ReadAll(part.Body)
	require.NoError(t, err)
	assert.Equal(t, content[10:20], read)
}

func TestObjectsAreListedByPrefixInPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	for _, key := range []string{"a/1", "a/2", "b/1", "c", "d"} {
		_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String(bucket), Key: sdk.String(key), Body: bytes.NewReader([]byte(key))})
		require.NoError(t, err)
	}
	list := func(in s3.ListObjectsV2Input) (keys []string) {
		in.Bucket = sdk.String(bucket)
		pages := s3.NewListObjectsV2Paginator(s.s3, &in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			for _, object := range page.Contents {
				keys = append(keys, *object.Key)
			}
			for _, prefix := range page.CommonPrefixes {
				keys = append(keys, *prefix.Prefix)
			}
		}
		return keys
	}
	assert.Equal(t, []string{"a/1", "a/2", "b/1", "c", "d"}, list(s3.ListObjectsV2Input{MaxKeys: sdk.Int32(2)}))
	assert.Equal(t, []string{"a/1", "a/2"}, list(s3.ListObjectsV2Input{Prefix: sdk.String("a/")}))
	assert.ElementsMatch(t, []string{"a/", "b/", "c", "d"}, list(s3.ListObjectsV2Input{Delimiter: sdk.String("/")}))
	_, err := s.s3.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: sdk.String(bucket), Delete: &s3types.Delete{
		Objects: []s3types.ObjectIdentifier{{Key: sdk.String("a/1")}, {Key: sdk.String("a/2")}, {Key: sdk.String("b/1")}, {Key: sdk.String("c")}, {Key: sdk.String("d")}}}})
	require.NoError(t, err)
	_, err = s.s3.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: sdk.String(bucket)})
	require.NoError(t, err)
	_, err = s.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("c")})
	assert.ErrorContains(t, err, "NoSuchBucket")
}

func TestAnObjectThatIsThereIsNotOverwrittenWhenThatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	put := func() error {
		_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("key"),
			Body: bytes.NewReader([]byte("x")), IfNoneMatch: sdk.String("*")})
		return err
	}
	require.NoError(t, put())
	assert.ErrorContains(t, put(), "PreconditionFailed")
}

func TestAnEnvironmentWithoutAVersionRunsTheSampleApplication(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	_, err := s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName),
		EnvironmentName: sdk.String("staging"), SolutionStackName: sdk.String(stack)})
	require.NoError(t, err)
	e := s.until("staging", func(e types.EnvironmentDescription) bool {
		return e.Status == types.EnvironmentStatusReady && e.Health == types.EnvironmentHealthGreen
	})
	_, body := s.get(e, "/")
	assert.Contains(t, body, "Congratulations")
}
