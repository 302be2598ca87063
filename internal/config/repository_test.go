package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestARepositoryIsTheSameInEveryForm(t *testing.T) {
	for _, same := range [][]string{
		{"https://github.com/o/r", "https://github.com/o/r.git", "https://GitHub.com/O/R/", "https://github.com:443/o/r", "git://github.com/o/r.git",
			"git@github.com:o/r.git", "git@github.com:/o/r", "ssh://git@github.com/o/r", "ssh://git@github.com:22/o/r.git", "ssh://git@ssh.github.com:443/o/r.git"},
		{"http://127.0.0.1:8080/site.git", "http://127.0.0.1:8080/site"},
		{"/srv/git/Site.git", "file:///srv/git/Site", "/srv/git/Site/"},
	} {
		file := File{Pipelines: []delivery.Pipeline{{Repository: same[0]}}}
		for _, form := range same {
			require.Len(t, file.Matching(form), 1, form)
		}
	}
}

func TestAnotherRepositoryIsAnother(t *testing.T) {
	file := File{Pipelines: []delivery.Pipeline{{Repository: "https://github.com/o/r"}}}
	for _, other := range []string{"", "https://github.com/o/r2", "https://github.com/o", "https://gitlab.com/o/r", "https://github.com:8443/o/r",
		"https://github.com.example.com/o/r", "o/r", "ftp://github.com/o/r", "https://", "https://github.com/o/r/x", "github.com/o/r", "\x00"} {
		require.Empty(t, file.Matching(other), other)
	}
}

func TestSeveralPipelinesOfOneRepositoryAllMatchInOrder(t *testing.T) {
	file := File{Pipelines: []delivery.Pipeline{
		{Name: "web", Repository: "https://github.com/o/r", Path: "web"},
		{Name: "other", Repository: "https://github.com/o/x"},
		{Name: "api", Repository: "git@github.com:o/r.git", Path: "api"},
	}}
	matching := file.Matching("https://github.com/o/r.git")
	require.Len(t, matching, 2)
	require.Equal(t, "web", matching[0].Name)
	require.Equal(t, "api", matching[1].Name)
}

func TestACloneURLIsTakenOrRefusedByItsForm(t *testing.T) {
	for _, right := range []string{"https://github.com/o/r", "https://git.example.com:8443/team/sub/r.git", "ssh://git@host/o/r", "ssh://git@host:2222/o/r",
		"git@github.com:o/r.git", "http://127.0.0.1:3000/site.git", "http://localhost/site", "http://[::1]:80/site"} {
		require.Empty(t, checkRepository(right, false), right)
	}
	for wrong, says := range map[string]string{
		"https://user:secret@github.com/o/r": "carries credentials",
		"https://token@github.com/o/r":       "carries credentials",
		"ssh://git:secret@host/o/r":          "carries credentials",
		"ssh://-oProxyCommand=x@host/o/r":    "carries credentials",
		"ssh://-oProxyCommand=x/o/r":         "no clone URL",
		"-oProxyCommand=x:o/r":               "no clone URL",
		"git@-oProxyCommand=x:o/r":           "no clone URL",
		"http://example.com/o/r":             "not encrypted",
		"http://localhost.example.com/o/r":   "not encrypted",
		"git://github.com/o/r":               "in no form",
		"ext::sh -c x":                       "contains a space",
		"ext::sh":                            "no clone URL",
		"/srv/git/site":                      "path of this machine",
		"file:///srv/git/site":               "path of this machine",
		"../site":                            "no clone URL",
		"github.com/o/r":                     "no clone URL",
		"https://github.com":                 "no clone URL",
		"https://github.com/o/r?token=x":     "has a ? or # part",
	} {
		said := checkRepository(wrong, false)
		require.Contains(t, said, says, wrong)
		require.NotContains(t, said, "secret")
	}
}
