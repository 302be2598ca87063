package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// fakeS3 is an S3 in memory that remembers what it was asked.
type fakeS3 struct {
	client *s3.Client
	mutex  sync.Mutex
	seen   []*http.Request
	// answer, when set, replaces the answer to requests that it accepts.
	answer func(http.ResponseWriter, *http.Request) bool
}

func newFakeS3(t *testing.T) *fakeS3 {
	t.Helper()
	fake := &fakeS3{}
	memory := s3mem.New()
	require.NoError(t, memory.CreateBucket("bundles"))
	handler := gofakes3.New(memory).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fake.mutex.Lock()
		fake.seen = append(fake.seen, r.Clone(context.Background()))
		fake.mutex.Unlock()
		if fake.answer == nil || !fake.answer(w, r) {
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	fake.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""), RetryMaxAttempts: 1,
	})
	return fake
}

// asked counts the requests with a method whose address contains a text.
func (f *fakeS3) asked(method, contains string) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	count := 0
	for _, r := range f.seen {
		if r.Method == method && strings.Contains(r.URL.String(), contains) {
			count++
		}
	}
	return count
}

func opener(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func (f *fakeS3) get(t *testing.T, key string) ([]byte, map[string]string) {
	t.Helper()
	object, err := f.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bundles"), Key: aws.String(key)})
	require.NoError(t, err)
	content, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	require.NoError(t, object.Body.Close())
	return content, object.Metadata
}

func TestABundleIsUploadedOnceWithItsDigest(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	content := []byte("a bundle")
	digest := digestOf(content)
	require.NoError(t, store.Put(t.Context(), "bundles", "site/v1.zip", digest, opener(content)))
	got, metadata := fake.get(t, "site/v1.zip")
	require.Equal(t, content, got)
	require.Equal(t, digest, metadata[digestMetadata])
	sum := sha256.Sum256(content)
	for _, r := range fake.seen {
		if r.Method == http.MethodPut {
			require.Equal(t, base64.StdEncoding.EncodeToString(sum[:]), r.Header.Get("X-Amz-Checksum-Sha256"), "S3 checks the digest itself")
			require.Equal(t, "*", r.Header.Get("If-None-Match"))
		}
	}

	closed := func() (io.ReadCloser, error) { t.Fatal("it is there already"); return nil, nil }
	require.NoError(t, store.Put(t.Context(), "bundles", "site/v1.zip", digest, closed))
	require.Equal(t, 1, fake.asked(http.MethodPut, "site/v1.zip"))
}

func TestABundleThatIsGoneIsToldFromOneThatMayNotBeLookedAt(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	_, err := fake.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bundles"), Key: aws.String("there.zip"), Body: strings.NewReader("x")})
	require.NoError(t, err)
	for key, want := range map[string]bool{"there.zip": true, "gone.zip": false} {
		there, err := store.Exists(t.Context(), "bundles", key)
		require.NoError(t, err)
		require.Equal(t, want, there, key)
	}
	fake.answer = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true }
	_, err = store.Exists(t.Context(), "bundles", "there.zip")
	require.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
}

func TestABundleWithAnotherDigestIsNeverOverwritten(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	first, second := []byte("first"), []byte("second")
	require.NoError(t, store.Put(t.Context(), "bundles", "v1.zip", digestOf(first), opener(first)))
	err := store.Put(t.Context(), "bundles", "v1.zip", digestOf(second), opener(second))
	require.Equal(t, delivery.VersionConflict, delivery.TypeOf(err))
	require.ErrorContains(t, err, digestOf(first))
	got, _ := fake.get(t, "v1.zip")
	require.Equal(t, first, got)
}

func TestALargeBundleGoesUpInParts(t *testing.T) {
	fake := newFakeS3(t)
	content := make([]byte, 2*partSize+12345)
	_, err := rand.NewChaCha8([32]byte{}).Read(content)
	require.NoError(t, err)
	require.NoError(t, (&Store{S3: fake.client}).Put(t.Context(), "bundles", "large.zip", digestOf(content), opener(content)))
	got, metadata := fake.get(t, "large.zip")
	require.True(t, bytes.Equal(content, got))
	require.Equal(t, digestOf(content), metadata[digestMetadata])
	require.Equal(t, 3, fake.asked(http.MethodPut, "partNumber="))
}

func TestABundleThatChangedOnDiskIsNotStored(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	for name, size := range map[string]int{"small": 100, "large": partSize + 100} {
		err := store.Put(t.Context(), "bundles", name, digestOf([]byte("what was bundled")), opener(make([]byte, size)))
		require.Equal(t, delivery.BundleRejected, delivery.TypeOf(err), "%v", err)
		_, err = fake.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bundles"), Key: aws.String(name)})
		require.Error(t, err)
	}
}

func TestOfTwoUploadsAtOnceTheFirstWins(t *testing.T) {
	for name, test := range map[string]struct {
		other []byte
		want  delivery.ErrorType
	}{
		"of the same bundle": {[]byte("mine"), ""},
		"of another bundle":  {[]byte("other"), delivery.VersionConflict},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFakeS3(t)
			store := &Store{S3: fake.client}
			mine := []byte("mine")
			// Between the look and the upload, somebody else is faster.
			err := store.Put(t.Context(), "bundles", "v1.zip", digestOf(mine), func() (io.ReadCloser, error) {
				require.NoError(t, store.Put(t.Context(), "bundles", "v1.zip", digestOf(test.other), opener(test.other)))
				return opener(mine)()
			})
			require.Equal(t, test.want, delivery.TypeOf(err), "%v", err)
			got, _ := fake.get(t, "v1.zip")
			require.Equal(t, test.other, got)
		})
	}
}

func TestErrorsOfS3HaveTheTypeThatDecides(t *testing.T) {
	answer := func(status int, code string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>no</Message></Error>")
			return true
		}
	}
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   delivery.ErrorType
	}{
		"slow down":         {answer(503, "SlowDown"), delivery.Throttled},
		"too many requests": {answer(429, "Whatever"), delivery.Throttled},
		"their fault":       {answer(500, "InternalError"), delivery.Unavailable},
		"not allowed":       {answer(403, "AccessDenied"), delivery.AccessDenied},
		"expired":           {answer(400, "ExpiredToken"), delivery.AccessDenied},
		"no bucket":         {answer(404, "NoSuchBucket"), delivery.InvalidInput},
		"other checksum":    {answer(400, "BadDigest"), delivery.InvalidInput},
		"never complete":    {answer(409, "ConditionalRequestConflict"), delivery.Unavailable},
		"a look that is not allowed": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}, delivery.AccessDenied},
		"no answer": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, delivery.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFakeS3(t)
			fake.answer = test.answer
			err := (&Store{S3: fake.client}).Put(t.Context(), "bundles", "v1.zip", digestOf([]byte("x")), opener([]byte("x")))
			require.Equal(t, test.want, delivery.TypeOf(err), "%v", err)
			require.ErrorContains(t, err, "s3://bundles/v1.zip")
		})
	}
	err := (&Store{}).Put(t.Context(), "bundles", "v1.zip", "abc", opener(nil))
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}
