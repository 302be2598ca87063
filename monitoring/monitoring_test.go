// Package monitoring has no code: its tests prove the rules, the dashboard and the runbook beside it.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rule is an alert as Prometheus reads it.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	require.NoError(t, yaml.UnmarshalWithOptions(text, &file, yaml.Strict()))
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

// panels are the queries of the dashboard by the title of their panel, with Grafana's variables filled in.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	filled := strings.NewReplacer("$__rate_interval", "1m", "$pipeline", ".*", "$environment", ".*")
	queries := map[string][]string{}
	for _, panel := range dashboard.Panels {
		if panel.Type == "row" {
			continue
		}
		require.NotEmpty(t, panel.Targets, panel.Title)
		require.NotContains(t, queries, panel.Title, "a title is used once")
		for _, target := range panel.Targets {
			queries[panel.Title] = append(queries[panel.Title], filled.Replace(target.Expr))
		}
	}
	require.NotEmpty(t, queries)
	return queries
}

func TestEveryAlertSaysHowBadItIsAndLeadsToItsPageOfTheRunbook(t *testing.T) {
	text, err := os.ReadFile("../docs/runbook.md")
	require.NoError(t, err)
	pages := map[string]string{}
	for _, page := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(page, "\n")
		pages[title] = body
	}
	known := map[string]bool{}
	for _, alert := range alerts(t) {
		known[alert.Alert] = true
		assert.Contains(t, []string{"critical", "warning"}, alert.Labels["severity"], alert.Alert)
		assert.NotEmpty(t, alert.Annotations["summary"], alert.Alert)
		assert.NotEmpty(t, alert.Annotations["description"], alert.Alert)
		assert.Equal(t, "docs/runbook.md#"+strings.ToLower(alert.Alert), alert.Annotations["runbook_url"])
		body, ok := pages[alert.Alert]
		if assert.True(t, ok, "%s has no page in the runbook", alert.Alert) {
			for _, part := range []string{"**Means.**", "**Look.**", "**Do.**", "**Ends**"} {
				assert.Contains(t, body, part, alert.Alert)
			}
		}
	}
	for title := range pages {
		assert.True(t, known[title], "the runbook has a page for %s, which is no alert", title)
	}
}

func TestEveryAlertIsTriedBothWays(t *testing.T) {
	text, err := os.ReadFile("alerts_test.yml")
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Rules []struct {
				Alert    string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, rule := range test.Rules {
			if len(rule.Expected) > 0 {
				fires[rule.Alert] = true
			} else {
				quiet[rule.Alert] = true
			}
		}
	}
	for _, alert := range alerts(t) {
		assert.True(t, fires[alert.Alert], "no test in which %s fires", alert.Alert)
		assert.True(t, quiet[alert.Alert], "no test in which %s stays quiet", alert.Alert)
	}
}

// promtool is Prometheus's own checker; without it a test skips.
func promtool(t *testing.T, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not there; Debian's package prometheus has it")
	}
	output, err := exec.CommandContext(t.Context(), path, arguments...).CombinedOutput()
	require.NoError(t, err, "promtool %s: %s", strings.Join(arguments, " "), output)
	return string(output)
}

func TestPrometheusTakesTheRulesAndTheyFireWhenTheyShould(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "check", "rules", "alerts.yml")
	promtool(t, "test", "rules", "alerts_test.yml")
}

func TestPrometheusUnderstandsEveryQueryOfTheDashboard(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	number := 0
	for _, queries := range panels(t) {
		for _, query := range queries {
			fmt.Fprintf(&rules, "  - {record: panel_%d, expr: %q}\n", number, query)
			number++
		}
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	require.NoError(t, os.WriteFile(path, []byte(rules.String()), 0o600))
	assert.Contains(t, promtool(t, "check", "rules", path), fmt.Sprintf("%d rules found", number))
}

// metric finds the names of metrics in a query: those of Gravity's own, and of the SDK.
var metric = regexp.MustCompile(`\b(?:gravity|temporal)_[a-z0-9_]+`)

// used are the metrics that rules and dashboard ask for, each with who asks.
func used(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	take := func(query, who string) {
		for _, name := range metric.FindAllString(query, -1) {
			names[name] = who
		}
	}
	for _, alert := range alerts(t) {
		take(alert.Expr, alert.Alert)
	}
	for title, queries := range panels(t) {
		take(strings.Join(queries, " "), title)
	}
	return names
}
