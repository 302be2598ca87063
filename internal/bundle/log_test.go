package bundle

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestAWholeLogIsKeptAndReplacedByTheNextAttempts(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	require.NoError(t, store.PutLog(t.Context(), "bundles", "logs/run/test.log", strings.NewReader("half")))
	whole := strings.Repeat("line\n", 4<<20)
	require.NoError(t, store.PutLog(t.Context(), "bundles", "logs/run/test.log", strings.NewReader(whole)))
	content, _ := fake.get(t, "logs/run/test.log")
	require.Equal(t, len(whole), len(content))
	require.True(t, whole == string(content))
	err := store.PutLog(t.Context(), "nowhere", "x", strings.NewReader("x"))
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err), "%v", err)
}

func TestALogIsReadFromAnyPlaceWhileItGrowsAndWhenItIsWhole(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	const key = LogPrefix + "run/1.log"
	read := func(place int64) (string, int64, bool) {
		t.Helper()
		var output bytes.Buffer
		reached, whole, err := store.CopyLog(t.Context(), "bundles", key, place, &output)
		require.NoError(t, err)
		return output.String(), reached, whole
	}
	text, reached, whole := read(0)
	require.Empty(t, text)
	require.Zero(t, reached)
	require.False(t, whole, "nothing is there yet")

	require.NoError(t, store.PutLogPart(t.Context(), "bundles", key, 0, []byte("one\ntwo\n")))
	require.NoError(t, store.PutLogPart(t.Context(), "bundles", key, 8, []byte("three\n")))
	require.NoError(t, store.PutLogPart(t.Context(), "bundles", key, 99, []byte("after a part that is not there yet\n")))
	for place, want := range map[int64]string{0: "one\ntwo\nthree\n", 4: "two\nthree\n", 8: "three\n", 10: "ree\n", 14: ""} {
		text, reached, whole = read(place)
		require.Equal(t, want, text, "from %d", place)
		require.EqualValues(t, 14, reached)
		require.False(t, whole)
	}

	require.NoError(t, store.PutLog(t.Context(), "bundles", key, strings.NewReader("one\ntwo\nthree\nfour\n")))
	for place, want := range map[int64]string{0: "one\ntwo\nthree\nfour\n", 14: "four\n", 19: ""} {
		text, reached, whole = read(place)
		require.Equal(t, want, text, "from %d", place)
		require.EqualValues(t, 19, reached)
		require.True(t, whole)
	}
}

func TestABucketRemovesOldLogsAndKeepsItsOwnRules(t *testing.T) {
	fake := newFakeS3(t)
	var stored []byte // what a bucket keeps of its lifecycle: gofakes3 has none
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("lifecycle") {
			return false
		}
		switch {
		case r.Method == http.MethodPut:
			var body bytes.Buffer
			_, _ = body.ReadFrom(r.Body)
			stored = body.Bytes()
		case stored == nil:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<Error><Code>NoSuchLifecycleConfiguration</Code><Message>none</Message></Error>`)
		default:
			_, _ = w.Write(stored)
		}
		return true
	}
	store := &Store{S3: fake.client}
	require.NoError(t, store.EnsureLifecycle(t.Context(), "bundles"))
	rules := func() map[string]types.LifecycleRule {
		found, err := fake.client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String("bundles")})
		require.NoError(t, err)
		byName := map[string]types.LifecycleRule{}
		for _, rule := range found.Rules {
			byName[aws.ToString(rule.ID)] = rule
		}
		return byName
	}
	made := rules()
	require.Len(t, made, 3)
	require.Equal(t, LogPrefix, aws.ToString(made["gravity-logs"].Filter.Prefix))
	require.EqualValues(t, LogDays, aws.ToInt32(made["gravity-logs"].Expiration.Days))
	require.EqualValues(t, CacheDays, aws.ToInt32(made["gravity-caches"].Expiration.Days))
	require.NotNil(t, made["gravity-unfinished-uploads"].AbortIncompleteMultipartUpload)

	// Somebody keeps logs longer, has a rule of their own, and lost one of ours.
	theirs := types.LifecycleRule{
		ID: aws.String("theirs"), Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{Prefix: aws.String("x/")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
	}
	longer := made["gravity-logs"]
	longer.Expiration = &types.LifecycleExpiration{Days: aws.Int32(365)}
	_, err := fake.client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: aws.String("bundles"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{theirs, longer}},
	})
	require.NoError(t, err)
	require.NoError(t, store.EnsureLifecycle(t.Context(), "bundles"))
	made = rules()
	require.Len(t, made, 4)
	require.EqualValues(t, 365, aws.ToInt32(made["gravity-logs"].Expiration.Days))
	require.Contains(t, made, "theirs")

	written := fake.asked(http.MethodPut, "lifecycle")
	require.NoError(t, store.EnsureLifecycle(t.Context(), "bundles"))
	require.Equal(t, written, fake.asked(http.MethodPut, "lifecycle"), "nothing is written when all rules are there")

	fake.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>no</Message></Error>`)
		return true
	}
	err = store.EnsureLifecycle(t.Context(), "bundles")
	require.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
	require.ErrorContains(t, err, "s3:PutLifecycleConfiguration")
}

func TestACacheGoesUpOnceAndComesDownWhole(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	content := bytes.Repeat([]byte("0123456789"), 2<<20) // several parts
	require.NoError(t, store.Upload(t.Context(), "bundles", "gravity/caches/x", bytes.NewReader(content)))
	require.NoError(t, store.Upload(t.Context(), "bundles", "gravity/caches/x", strings.NewReader("later")))
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer file.Close()
	found, err := store.Download(t.Context(), "bundles", "gravity/caches/x", file)
	require.NoError(t, err)
	require.True(t, found)
	read, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, read))
	found, err = store.Download(t.Context(), "bundles", "gravity/caches/none", file)
	require.NoError(t, err)
	require.False(t, found)
	_, err = store.Download(t.Context(), "nowhere", "gravity/caches/none", file)
	require.NoError(t, err)
}
