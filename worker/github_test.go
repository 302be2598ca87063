package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheWorkerSpeaksWithGitHubAsOneOfTwoOrNobody(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("ghp_x\n"), 0o600))
	none := func(string) (string, bool) { return "", false }
	s, err := parse([]string{"--github-token-file", token}, none)
	require.NoError(t, err)
	client, err := s.github.client()
	require.NoError(t, err)
	require.False(t, client.IsApp())
	for repository, want := range map[string]string{
		"https://github.com/example/site": "ghp_x", "https://gitlab.com/example/site": "", "git@github.com:example/site.git": "",
	} {
		_, shown, err := gitCredentials(client)(t.Context(), repository)
		require.NoError(t, err)
		require.Equal(t, want, shown, repository)
	}
	s, err = parse(nil, none)
	require.NoError(t, err)
	client, err = s.github.client()
	require.NoError(t, err)
	require.Nil(t, client)
	require.Nil(t, gitCredentials(client))
	for says, arguments := range map[string][]string{
		"belong together": {"--github-app", "7"},
		"not both":        {"--github-app", "7", "--github-app-key-file", token, "--github-token-file", token},
		"cannot be used":  {"--github-app", "7", "--github-app-key-file", token},
		"GitHub token":    {"--github-token-file", token + "x"},
		"Slack token":     {"--slack-token-file", token + "x"},
		"secret for":      {"--notify-secret-file", token + "x"},
		"is an address":   {"--web-ui", "temporal"},
		"is not one like": {"--github-token-file", token, "--github-url", "github"},
	} {
		_, err := parse(arguments, none)
		require.ErrorContains(t, err, says)
	}
}

func TestLinksLeadToTheRunInItsNamespace(t *testing.T) {
	notices, err := (&noticeSettings{webUI: "https://temporal.example.com/"}).read("team a")
	require.NoError(t, err)
	require.Equal(t, "https://temporal.example.com/namespaces/team%20a/workflows/run%2Fsite%2Fx", notices.RunURL("run/site/x"))
}
