package source

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// gitHub is the part of GitHub's API that an app asks for tokens.
type gitHub struct {
	url string
	// asked are the bodies of the requests for a token.
	asked []map[string]any
	// installed says for which repository the app is installed, as owner/name.
	installed string
}

// serveGitHub gives the token to whoever signs with the key of app 7.
func serveGitHub(t *testing.T, key *rsa.PrivateKey, installed, token string) *gitHub {
	t.Helper()
	g := &gitHub{installed: installed}
	signed := func(r *http.Request) bool {
		text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var claims jwt.RegisteredClaims
		_, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, jwt.WithValidMethods([]string{"RS256"}))
		return bearer && err == nil && claims.Issuer == "7"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/{owner}/{name}/installation", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !signed(r):
			w.WriteHeader(http.StatusUnauthorized)
		case r.PathValue("owner")+"/"+r.PathValue("name") != g.installed:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprint(w, `{"id": 42}`)
		}
	})
	mux.HandleFunc("POST /app/installations/42/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if !signed(r) || json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.asked = append(g.asked, body)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token": %q, "expires_at": %q}`, token, time.Now().Add(time.Hour).Format(time.RFC3339))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func appKey(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func TestAGitHubAppReadsTheOneRepositoryThatIsAskedFor(t *testing.T) {
	t.Parallel()
	const token = "planted-installation-token-771"
	key, encoded := appKey(t)
	o := newOrigin(t)
	sha := o.commit("one", "file", "1")
	owner := filepath.Base(filepath.Dir(o.dir))
	host := serveGit(t, filepath.Dir(filepath.Dir(o.dir)), token)
	api := serveGitHub(t, key, owner+"/origin", token)
	app := &GitHubApp{Host: strings.TrimPrefix(host.url, "http://"), API: api.url, ID: 7, Key: encoded}
	cache := newCache(t)
	cache.Credentials = app.Credentials
	address := host.url + "/" + owner + "/origin"
	for i := range 3 {
		o.commit("more", "file", fmt.Sprint(i, sha))
		_, err := cache.Checkout(t.Context(), Request{Repository: address, Ref: "main", Into: filepath.Join(t.TempDir(), "x")})
		require.NoError(t, err)
	}
	require.Len(t, api.asked, 1, "one token is good for an hour")
	require.Equal(t, []any{"origin"}, api.asked[0]["repositories"])
	require.Equal(t, map[string]any{"contents": "read"}, api.asked[0]["permissions"])

	// What is not the app's gets nothing.
	for _, address := range []string{"https://example.com/owner/name", "git@github.com:owner/name", "ssh://git@" + app.Host + "/owner/name", host.url + "/one", host.url + "/a/b/c"} {
		username, shown, err := app.Credentials(t.Context(), address)
		require.NoError(t, err)
		require.Empty(t, username+shown, address)
	}
	_, err := cache.Resolve(t.Context(), host.url+"/other/repository", "main")
	requireRejected(t, err, delivery.AccessDenied, "GitHub App 7 is not installed for other/repository")
}

func TestAGitHubAppThatIsRefusedSaysSoWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	key, _ := appKey(t)
	_, another := appKey(t)
	api := serveGitHub(t, key, "owner/name", "x")
	app := &GitHubApp{API: api.url, ID: 7, Key: another}
	_, _, err := app.Credentials(t.Context(), "https://github.com/owner/name")
	require.ErrorContains(t, err, "GitHub App 7 for owner/name")
	require.NotContains(t, err.Error(), "Bearer")
	require.NotContains(t, err.Error(), "eyJ")

	app = &GitHubApp{ID: 7, Key: []byte("no key")}
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(app.Check()))
	require.Equal(t, "https://api.github.com", (&GitHubApp{}).api())
	require.Equal(t, "https://github.example.com/api/v3", (&GitHubApp{Host: "github.example.com"}).api())
}
