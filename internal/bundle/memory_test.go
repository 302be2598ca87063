package bundle

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

// bundleThis names the tree that the test binary, called by itself, bundles instead of testing; and
// uploadTo the S3 to which it streams the bundle, if it does.
const bundleThis, uploadTo = "GRAVITY_TEST_BUNDLE", "GRAVITY_TEST_UPLOAD"

func TestMain(m *testing.M) {
	tree := os.Getenv(bundleThis)
	if tree == "" {
		os.Exit(m.Run())
	}
	if err := bundleAlone(tree, os.Getenv(uploadTo)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// What the system tells about a process that has ended counts its parent's memory, too.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		os.Exit(0)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Print(strings.Fields(peak)[0])
	os.Exit(0)
}

// bundleAlone finds out what the bundle is, and uploads it when there is an S3.
func bundleAlone(tree, endpoint string) error {
	options := Options{Workers: 16}
	manifest, err := WriteWith(context.Background(), tree, io.Discard, options)
	if err != nil || endpoint == "" {
		return err
	}
	store := &Store{S3: s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint), UsePathStyle: true, Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	})}
	return store.Put(context.Background(), "bundles", "v1.zip", manifest.Digest, func() (io.ReadCloser, error) {
		return Stream(context.Background(), tree, options), nil
	})
}

// forgetfulS3 takes uploads in parts, counts their bytes and keeps nothing.
func forgetfulS3(t *testing.T) (url string, taken *atomic.Int64) {
	t.Helper()
	taken = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodPut:
			taken.Add(n)
			w.Header().Set("ETag", `"x"`)
		case r.URL.Query().Has("uploads"):
			fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
		default:
			fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, taken
}

func TestMemoryStaysSmallHoweverLargeTheTree(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies memory, and says nothing about ours")
	}
	tree := largeTree(t)
	require.Less(t, peakOf(t, tree, ""), int64(64<<20))
	t.Run("and its upload", func(t *testing.T) {
		endpoint, taken := forgetfulS3(t)
		require.Less(t, peakOf(t, tree, endpoint), int64(uploadPeak))
		require.Greater(t, taken.Load(), int64(80<<20), "all of it was sent")
	})
}

// uploadPeak is what making a bundle and sending it at the same time may take: the parts that are
// under way, twice, come on top.
const uploadPeak = 96 << 20

// peakOf is the most memory that a process of its own takes for a bundle.
func peakOf(t *testing.T, tree, endpoint string) int64 {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), bundleThis+"="+tree, uploadTo+"="+endpoint, "GOMAXPROCS=16")
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	if len(output) == 0 {
		t.Skip("this system does not tell the peak")
	}
	kilobytes, err := strconv.ParseInt(string(output), 10, 64)
	require.NoError(t, err)
	peak := kilobytes << 10
	t.Logf("peak memory of the whole process: %d MB", peak>>20)
	return peak
}

func largeTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	// A quarter of a gigabyte that compresses, and what does not.
	huge, err := os.Create(filepath.Join(tree, "huge"))
	require.NoError(t, err)
	require.NoError(t, huge.Truncate(256<<20))
	require.NoError(t, huge.Close())
	noise, err := os.Create(filepath.Join(tree, "noise"))
	require.NoError(t, err)
	_, err = io.CopyN(noise, rand.NewChaCha8([32]byte{1}), 80<<20)
	require.NoError(t, err)
	require.NoError(t, noise.Close())
	for i := range 2000 {
		require.NoError(t, os.WriteFile(filepath.Join(tree, fmt.Sprintf("file%d", i)), []byte(fmt.Sprintf("content %d", i)), 0o600))
	}
	return tree
}
