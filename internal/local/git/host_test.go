package git

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

const site = "example/site"

var secret = []byte("a secret of the tests alone")

// arrival is a webhook request as a receiver got it.
type arrival struct {
	id    string
	event *github.PushEvent
	body  string
}

// receiver takes webhooks the way GitHub's own library checks and reads them.
type receiver struct {
	server   *httptest.Server
	arrivals chan arrival
	status   chan int // what to answer; empty: 202
}

func newReceiver(t *testing.T, secret []byte) *receiver {
	t.Helper()
	r := &receiver{arrivals: make(chan arrival, 50), status: make(chan int, 10)}
	r.server = httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		body, err := github.ValidatePayload(request, secret)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusUnauthorized)
			return
		}
		event, err := github.ParseWebHook(github.WebHookType(request), body)
		if push, ok := event.(*github.PushEvent); assert.NoError(t, err) && assert.True(t, ok) {
			r.arrivals <- arrival{github.DeliveryID(request), push, string(body)}
		}
		select {
		case status := <-r.status:
			writer.WriteHeader(status)
		default:
			writer.WriteHeader(http.StatusAccepted)
		}
	}))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) next(t *testing.T) arrival {
	t.Helper()
	select {
	case got := <-r.arrivals:
		return got
	case <-time.After(time.Minute):
		t.Fatal("no webhook came")
		return arrival{}
	}
}

func start(t *testing.T, options Options) *Host {
	t.Helper()
	if options.DataDir == "" {
		options.DataDir = t.TempDir()
	}
	host, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, host.Close()) })
	return host
}

// filled is a host with one repository that holds page.html and secret.txt is ignored in.
func filled(t *testing.T, options Options) (host *Host, first string) {
	t.Helper()
	host = start(t, options)
	require.NoError(t, host.Create(t.Context(), site))
	first, err := host.Fill(t.Context(), site, tree(t), "The site as it begins")
	require.NoError(t, err)
	return host, first
}

func tree(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range map[string]string{
		"page.html": "hello\n", "notes/ü b.txt": "text\n", ".gitignore": "*.bin\n", "big.bin": "left out\n", ".git/config": "not a repository\n",
	} {
		path := filepath.Join(directory, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return directory
}

func clone(t *testing.T, host *Host) *Working {
	t.Helper()
	working, err := Clone(t.Context(), host.CloneURL(site), filepath.Join(t.TempDir(), "site"))
	require.NoError(t, err)
	return working
}

func commit(t *testing.T, working *Working, path, content, message string) string {
	t.Helper()
	require.NoError(t, working.Write(path, content))
	sha, err := working.Commit(t.Context(), message)
	require.NoError(t, err)
	return sha
}

func TestAFilledRepositoryIsClonedWithoutWhatGitIgnores(t *testing.T) {
	t.Parallel()
	host, first := filled(t, Options{})
	working := clone(t, host)
	head, err := working.git.run(t.Context(), "log", "-1", "--format=%H %an <%ae> %s")
	require.NoError(t, err)
	assert.Equal(t, first+" Gravity <gravity@localhost> The site as it begins", head)
	files, err := working.git.run(t.Context(), "-c", "core.quotePath=false", "ls-files")
	require.NoError(t, err)
	assert.Equal(t, ".gitignore\nnotes/ü b.txt\npage.html", files)

	again, err := host.Fill(t.Context(), site, t.TempDir(), "Another beginning")
	require.NoError(t, err)
	assert.Equal(t, first, again, "a repository that has commits is kept")
}

func TestFillRefusesWhatWouldBeNoCompleteTree(t *testing.T) {
	t.Parallel()
	host := start(t, Options{})
	_, err := host.Fill(t.Context(), site, tree(t), "x")
	require.ErrorContains(t, err, `no repository "example/site"`)
	require.NoError(t, host.Create(t.Context(), site))
	_, err = host.Fill(t.Context(), site, t.TempDir(), "x")
	require.ErrorContains(t, err, "there are no files")

	nested := tree(t)
	inner := filepath.Join(nested, "inner")
	require.NoError(t, os.CopyFS(inner, os.DirFS(tree(t))))
	require.NoError(t, os.RemoveAll(filepath.Join(inner, ".git")))
	for _, arguments := range [][]string{{"init", "-q"}, {"add", "page.html"},
		{"-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"}} {
		_, err = git{directory: inner}.run(t.Context(), arguments...)
		require.NoError(t, err)
	}
	_, err = host.Fill(t.Context(), site, nested, "x")
	require.ErrorContains(t, err, "inner is a git repository of its own")
	assert.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestAPushTellsTheWebhookWhatGitHubWouldTell(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t, secret)
	host, first := filled(t, Options{WebhookURL: receiver.server.URL, Secret: secret})
	working := clone(t, host)
	require.NoError(t, working.Replace("page.html", "hello", "good day"))
	second, err := working.Commit(t.Context(), "A better greeting\n\nWith a reason.")
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(working.Directory(), "page.html")))
	third := commit(t, working, "new/ü x.html", "new", "Moved")
	require.NoError(t, working.Push(t.Context(), "main"))

	got := receiver.next(t)
	event := got.event
	assert.Equal(t, "refs/heads/main", event.GetRef())
	assert.Equal(t, first, event.GetBefore())
	assert.Equal(t, third, event.GetAfter())
	assert.False(t, event.GetCreated() || event.GetDeleted() || event.GetForced())
	assert.Equal(t, site, event.GetRepo().GetFullName())
	assert.Equal(t, host.CloneURL(site), event.GetRepo().GetCloneURL())
	assert.Equal(t, "main", event.GetRepo().GetDefaultBranch())
	assert.WithinDuration(t, time.Now(), event.GetRepo().GetPushedAt().Time, time.Minute)
	assert.Equal(t, "gravity", event.GetPusher().GetName())
	assert.Equal(t, "gravity", event.GetSender().GetLogin())
	require.Len(t, event.Commits, 2)
	assert.Equal(t, second, event.Commits[0].GetID())
	assert.Equal(t, "A better greeting\n\nWith a reason.", event.Commits[0].GetMessage())
	assert.Equal(t, []string{"page.html"}, event.Commits[0].Modified)
	head := event.GetHeadCommit()
	assert.Equal(t, third, head.GetID())
	assert.Equal(t, "Moved", head.GetMessage())
	assert.Equal(t, "Gravity", head.GetAuthor().GetName())
	assert.Equal(t, []string{"new/ü x.html"}, head.Added)
	assert.Equal(t, []string{"page.html"}, head.Removed)
	assert.WithinDuration(t, time.Now(), head.GetTimestamp().Time, time.Minute)
	assert.Contains(t, got.body, `"forced":false`, "GitHub sends what is false too")

	deliveries := host.Deliveries()
	require.Len(t, deliveries, 1, "Fill told nobody")
	assert.Equal(t, got.id, deliveries[0].ID)
}

func TestCreatedForcedAndDeletedRefsEachHaveTheirEvent(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t, secret)
	host, first := filled(t, Options{WebhookURL: receiver.server.URL, Secret: secret})
	working := clone(t, host)
	sha := commit(t, working, "page.html", "one", "One")
	_, err := working.git.run(t.Context(), "-c", "user.name=a", "-c", "user.email=b", "tag", "-a", "-m", "Tagged", "v1")
	require.NoError(t, err)
	_, err = working.git.run(t.Context(), "push", "--quiet", "origin", "HEAD:refs/heads/feature/a", "HEAD~:refs/heads/b", "v1", "HEAD:refs/notes/c")
	require.NoError(t, err)

	branch := receiver.next(t).event
	assert.Equal(t, "refs/heads/b", branch.GetRef())
	assert.True(t, branch.GetCreated())
	assert.Equal(t, zero, branch.GetBefore())
	assert.Equal(t, first, branch.GetHeadCommit().GetID())
	assert.Empty(t, branch.Commits, "main had them already")
	feature := receiver.next(t).event
	assert.Equal(t, "refs/heads/feature/a", feature.GetRef())
	require.Len(t, feature.Commits, 1)
	assert.Equal(t, sha, feature.Commits[0].GetID())
	tag := receiver.next(t).event
	assert.Equal(t, "refs/tags/v1", tag.GetRef())
	assert.Equal(t, sha, tag.GetHeadCommit().GetID())
	assert.NotEqual(t, sha, tag.GetAfter(), "an annotated tag is an object of its own")

	_, err = working.git.run(t.Context(), "reset", "--quiet", "--hard", "HEAD~")
	require.NoError(t, err)
	other := commit(t, working, "page.html", "two", "Two")
	_, err = working.git.run(t.Context(), "push", "--quiet", "--force", "origin", "HEAD:refs/heads/feature/a", ":refs/heads/b", ":refs/tags/v1")
	require.NoError(t, err)

	deleted := receiver.next(t)
	assert.Equal(t, "refs/heads/b", deleted.event.GetRef())
	assert.True(t, deleted.event.GetDeleted())
	assert.Equal(t, zero, deleted.event.GetAfter())
	assert.Contains(t, deleted.body, `"head_commit":null`)
	assert.Contains(t, deleted.body, `"commits":[]`)
	forced := receiver.next(t).event
	assert.True(t, forced.GetForced())
	assert.Equal(t, sha, forced.GetBefore())
	assert.Equal(t, other, forced.GetAfter())
	assert.True(t, receiver.next(t).event.GetDeleted())
	assert.Len(t, host.Deliveries(), 6, "notes are no event")
}

func TestAPushLargerThanOneChunkArrivesWhole(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t, secret)
	host, _ := filled(t, Options{WebhookURL: receiver.server.URL, Secret: secret})
	working := clone(t, host)
	noise := make([]byte, 3<<20)
	_, _ = rand.Read(noise)
	sha := commit(t, working, "noise", string(noise), "Three megabytes")
	require.NoError(t, working.Push(t.Context(), "main"))
	assert.Equal(t, sha, receiver.next(t).event.GetAfter())

	back, err := os.ReadFile(filepath.Join(clone(t, host).Directory(), "noise"))
	require.NoError(t, err)
	assert.True(t, string(noise) == string(back))
}

func TestAnyCommitIsFetchedByItsHashAsOnGitHub(t *testing.T) {
	t.Parallel()
	host, first := filled(t, Options{})
	working := clone(t, host)
	commit(t, working, "page.html", "more", "More")
	require.NoError(t, working.Push(t.Context(), "main"))
	here := git{directory: t.TempDir()}
	_, err := here.run(t.Context(), "init", "--quiet", ".")
	require.NoError(t, err)
	_, err = here.run(t.Context(), "-c", "protocol.version=0", "fetch", "--quiet", "--depth=1", "--filter=blob:none", host.CloneURL(site), first)
	require.NoError(t, err)
	fetched, err := here.run(t.Context(), "rev-parse", "FETCH_HEAD")
	require.NoError(t, err)
	assert.Equal(t, first, fetched)
}

func TestAFailedDeliveryIsNotRetriedButCanBeRedelivered(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t, secret)
	receiver.status <- http.StatusServiceUnavailable
	told := make(chan Delivery, 10)
	host, _ := filled(t, Options{WebhookURL: receiver.server.URL, Secret: secret, Delivered: func(d Delivery) { told <- d }})
	working := clone(t, host)
	commit(t, working, "page.html", "one", "One")
	require.NoError(t, working.Push(t.Context(), "main"))
	lost := <-told
	assert.Equal(t, http.StatusServiceUnavailable, lost.Status)
	assert.False(t, lost.OK())
	commit(t, working, "page.html", "two", "Two")
	require.NoError(t, working.Push(t.Context(), "main"))
	assert.True(t, (<-told).OK(), "the next push is told all the same")
	before := receiver.next(t)
	assert.Equal(t, "Two", receiver.next(t).event.GetHeadCommit().GetMessage())

	again, err := host.Redeliver(t.Context(), lost.ID)
	require.NoError(t, err)
	assert.Equal(t, 2, again.Attempts)
	after := receiver.next(t)
	assert.Equal(t, before, after, "the same ID and the same bytes")

	host.SetWebhook(receiver.server.URL, []byte("not what the receiver knows"))
	refused, err := host.Redeliver(t.Context(), lost.ID)
	require.ErrorContains(t, err, "401 Unauthorized")
	assert.Equal(t, http.StatusUnauthorized, refused.Status)
	host.SetWebhook("http://127.0.0.1:1/", secret)
	refused, err = host.Redeliver(t.Context(), lost.ID)
	require.Error(t, err)
	assert.Zero(t, refused.Status)
	assert.NotEmpty(t, refused.Error)
	_, err = host.Redeliver(t.Context(), "no-such-id")
	assert.ErrorContains(t, err, `no delivery "no-such-id"`)
}

func TestRepositoriesSurviveARestartAndOldPushesAreNotToldAgain(t *testing.T) {
	t.Parallel()
	directory, receiver := t.TempDir(), newReceiver(t, secret)
	host, first := filled(t, Options{DataDir: directory, WebhookURL: receiver.server.URL, Secret: secret})
	address := host.Address()
	working := clone(t, host)
	commit(t, working, "page.html", "one", "One")
	require.NoError(t, working.Push(t.Context(), "main"))
	assert.Equal(t, first, receiver.next(t).event.GetBefore())
	require.NoError(t, host.Close())
	require.NoError(t, host.Close(), "closing twice is closing once")

	host = start(t, Options{DataDir: directory, Addr: address, WebhookURL: receiver.server.URL, Secret: secret})
	require.NoError(t, host.Create(t.Context(), site))
	sha := commit(t, working, "page.html", "two", "Two")
	require.NoError(t, working.Push(t.Context(), "main"))
	got := receiver.next(t).event
	assert.Equal(t, sha, got.GetAfter())
	assert.Len(t, host.Deliveries(), 1)
}

func TestNothingOutsideTheRepositoriesCanBeReached(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	directory := filepath.Join(outer, "data")
	for _, bare := range []string{"outside.git", "data/loose.git", "elsewhere/linked.git"} {
		require.NoError(t, os.MkdirAll(filepath.Join(outer, bare), 0o755))
		_, err := git{directory: filepath.Join(outer, bare)}.run(t.Context(), "init", "--quiet", "--bare", ".")
		require.NoError(t, err)
	}
	require.NoError(t, os.Symlink(filepath.Join(outer, "elsewhere"), filepath.Join(directory, "owner")))
	host, _ := filled(t, Options{DataDir: directory})

	for _, path := range []string{
		"/../outside.git/info/refs", "/example/../../outside.git/info/refs", "/example/..%2f..%2foutside.git/info/refs",
		"/%2e%2e/outside.git/info/refs", "/example/site.git/../../../outside.git/info/refs", "//outside.git/info/refs",
		"/./loose.git/info/refs", "/owner/linked.git/info/refs", "/owner/linked/info/refs",
		"/example/site.git/config", "/example/site.git/HEAD", "/example/site.git/objects/info/packs",
		"/example/site.git/info/refs/../../config", "/example/site.git", "/", "/example/other.git/info/refs",
	} {
		status := raw(t, host, path, host.Address())
		assert.Equal(t, "404 Not Found", status, path)
	}
	assert.Equal(t, "200 OK", raw(t, host, "/example/site.git/info/refs?service=git-upload-pack", host.Address()))
	assert.Equal(t, "200 OK", raw(t, host, "/example/site/info/refs?service=git-upload-pack", "localhost"))
	assert.Equal(t, "403 Forbidden", raw(t, host, "/example/site.git/info/refs?service=git-receive-pack", "evil.example"))
}

// raw sends a path as it stands; an HTTP client would clean it first.
func raw(t *testing.T, host *Host, path, name string) string {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host.Address())
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	_, err = fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, name)
	require.NoError(t, err)
	answer, err := io.ReadAll(connection)
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return strings.TrimPrefix(line, "HTTP/1.1 ")
}

func TestWrongUseIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for options, reason := range map[*Options]string{
		{}:                          "needs a data folder",
		{Addr: "0.0.0.0:0"}:         "must be a loopback address",
		{Addr: ":0"}:                "must be a loopback address",
		{Addr: "git.example.com:1"}: "must be a loopback address",
		{Addr: "127.0.0.1"}:         "missing port",
	} {
		if options.Addr != "" {
			options.DataDir = t.TempDir()
		}
		_, err := Start(t.Context(), *options)
		require.ErrorContains(t, err, reason)
		assert.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	}
	host := start(t, Options{})
	_, err := Start(t.Context(), Options{DataDir: t.TempDir(), Addr: host.Address()})
	require.ErrorContains(t, err, "choose another with --git-port")
	for _, name := range []string{"", "site", "../site", "a/..", "a/b/c", "a/-b", "a/b.git", "-a/b", "a/b c", "a/" + strings.Repeat("b", 101)} {
		assert.Error(t, host.Create(t.Context(), name), name)
	}
}

func TestAWorkingCopyKeepsItsWritesInsideAndSaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	host, _ := filled(t, Options{})
	working := clone(t, host)
	require.Error(t, working.Write("../outside", "x"))
	require.ErrorContains(t, working.Replace("page.html", "not in there", "x"), `page.html: it does not contain "not in there"`)
	_, err := working.Commit(t.Context(), "Nothing")
	require.ErrorContains(t, err, "nothing to commit")
	_, err = Clone(t.Context(), host.CloneURL("example/other"), filepath.Join(t.TempDir(), "x"))
	require.ErrorContains(t, err, "not found")

	commit(t, clone(t, host), "page.html", "unrelated to the other clone", "First come")
	first, second := clone(t, host), clone(t, host)
	commit(t, first, "page.html", "one", "One")
	commit(t, second, "page.html", "two", "Two")
	require.NoError(t, first.Push(t.Context(), "main"))
	require.ErrorContains(t, second.Push(t.Context(), "main"), "rejected")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, first.Push(ctx, "main"), context.Canceled)
}
