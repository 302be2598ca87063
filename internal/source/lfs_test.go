package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// serveLFS is a git host that keeps one large file beside its repositories, as git-lfs asks for it.
func serveLFS(t *testing.T, folder, content string, authorized chan<- string) string {
	t.Helper()
	plain := serveGit(t, folder, "")
	target, err := url.Parse(plain.url)
	require.NoError(t, err)
	git := httputil.NewSingleHostReverseProxy(target)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/info/lfs/objects/batch"):
			authorized <- r.Header.Get("Authorization")
			var request struct {
				Objects []struct {
					OID  string `json:"oid"`
					Size int64  `json:"size"`
				} `json:"objects"`
			}
			require.NoError(t, json.NewDecoder(r.Body).Decode(&request))
			w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
			_, _ = fmt.Fprintf(w, `{"transfer":"basic","objects":[{"oid":%q,"size":%d,"authenticated":true,"actions":{"download":{"href":%q}}}]}`,
				request.Objects[0].OID, request.Objects[0].Size, server.URL+"/storage")
		case r.URL.Path == "/storage":
			_, _ = w.Write([]byte(content))
		default:
			git.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestLargeFilesComeInByOption(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git-lfs"); err != nil {
		t.Skip("there is no git-lfs")
	}
	content := strings.Repeat("large ", 1000)
	sum := sha256.Sum256([]byte(content))
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", hex.EncodeToString(sum[:]), len(content))
	o := newOrigin(t)
	// The repository would like the token elsewhere, and a program run.
	o.commit("large", ".gitattributes", "*.bin filter=lfs\n", "a.bin", pointer, "b.txt", "small",
		".lfsconfig", "[lfs]\n\turl = http://127.0.0.1:1/evil\n[lfs \"customtransfer.x\"]\n\tpath = touch\n")
	authorized := make(chan string, 10)
	address := serveLFS(t, filepath.Dir(o.dir), content, authorized) + "/origin"
	cache := newCache(t)
	cache.Credentials = func(context.Context, string) (string, string, error) { return "u", "planted", nil }

	plain := filepath.Join(t.TempDir(), "plain")
	_, err := cache.Checkout(t.Context(), Request{Repository: address, Ref: "main", Into: plain})
	require.NoError(t, err)
	require.Equal(t, pointer, read(t, plain, "a.bin"))
	require.Empty(t, authorized, "nobody asked")

	full := filepath.Join(t.TempDir(), "full")
	_, err = cache.Checkout(t.Context(), Request{Repository: address, Ref: "main", Into: full, LFS: true})
	require.NoError(t, err)
	require.Equal(t, content, read(t, full, "a.bin"))
	require.Equal(t, "small", read(t, full, "b.txt"))
	require.NotEmpty(t, <-authorized, "the token is shown to the repository's own host")

	// The commit has a few hundred bytes, and says nothing of what its pointers stand for.
	cache.MaxTreeSize = int64(len(content)) - 1
	small := filepath.Join(t.TempDir(), "small")
	_, err = cache.Checkout(t.Context(), Request{Repository: address, Ref: "main", Into: small, LFS: true})
	requireRejected(t, err, delivery.InvalidInput, "")
	require.NoDirExists(t, small)
}
