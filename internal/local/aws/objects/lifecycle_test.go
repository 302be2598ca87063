package objects

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

func TestALifecycleIsKeptAndRemovesWhatIsOld(t *testing.T) {
	root := t.TempDir()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	open := func() (*Store, *s3.Client) {
		store, err := Open(root, func() time.Time { return now })
		require.NoError(t, err)
		server := httptest.NewServer(store.Handler(slog.New(slog.DiscardHandler)))
		t.Cleanup(server.Close)
		return store, s3.New(s3.Options{
			BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Region: "eu-central-1", RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
		})
	}
	store, client := open()
	require.NoError(t, store.EnsureBucket("bundles"))
	for _, key := range []string{"gravity/logs/old", "gravity/site/v1.zip"} {
		require.NoError(t, store.Put("bundles", key, nil, strings.NewReader(key)))
	}
	bucket := aws.String("bundles")
	_, err := client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, "NoSuchLifecycleConfiguration", api.ErrorCode())
	rule := types.LifecycleRule{
		ID: aws.String("logs"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("gravity/logs/")},
		Expiration: &types.LifecycleExpiration{Days: aws.Int32(30)},
	}
	_, err = client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{rule}},
	})
	require.NoError(t, err)

	now = now.Add(31 * 24 * time.Hour)
	require.NoError(t, store.Put("bundles", "gravity/logs/new", nil, strings.NewReader("x")))
	_, err = store.Size("bundles", "gravity/logs/old")
	require.NoError(t, err, "S3 looks once a day, the stand-in when it starts")
	store, client = open()
	kept, err := client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	require.NoError(t, err)
	require.Len(t, kept.Rules, 1)
	require.EqualValues(t, 30, aws.ToInt32(kept.Rules[0].Expiration.Days))
	_, err = store.Size("bundles", "gravity/logs/old")
	require.ErrorIs(t, err, ErrNotFound)
	for _, key := range []string{"gravity/logs/new", "gravity/site/v1.zip"} {
		_, err = store.Size("bundles", key)
		require.NoError(t, err, key)
	}

	response, err := http.Get(*client.Options().BaseEndpoint + "/nowhere?lifecycle")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}
