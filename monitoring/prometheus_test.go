package monitoring

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prometheus is a real one that scrapes the installation every second, and evaluates the rules.
type prometheus struct {
	*testing.T
	url string
}

// watched starts Prometheus where it is installed; nil where it is not.
func (i *installation) watched() *prometheus {
	i.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		i.Log("prometheus is not there: no query is tried on real values; Debian's package prometheus has it")
		return nil
	}
	rules, err := filepath.Abs("alerts.yml")
	require.NoError(i, err)
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - {job_name: gravity-worker, static_configs: [{targets: [%q]}]}
  - {job_name: gravity-receiver, static_configs: [{targets: [%q]}]}
`, rules, i.worker, i.receiver)
	require.NoError(i, os.WriteFile(i.path("prometheus.yml"), []byte(config), 0o600))
	address := freeAddress(i.T)
	command := exec.Command(program, "--config.file="+i.path("prometheus.yml"), "--storage.tsdb.path="+i.path("prometheus"),
		"--web.listen-address="+address, "--log.level=error")
	require.NoError(i, command.Start())
	i.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	return &prometheus{T: i.T, url: "http://" + address}
}

// ask gives the data of an answer of Prometheus's API; nil while there is none.
func (p *prometheus) ask(path string, parameters url.Values) json.RawMessage {
	response, err := http.Get(p.url + "/api/v1/" + path + "?" + parameters.Encode())
	if err != nil {
		return nil // it starts
	}
	defer response.Body.Close()
	var answer struct {
		Status string          `json:"status"`
		Data   json.RawMessage `json:"data"`
	}
	if json.NewDecoder(response.Body).Decode(&answer) != nil || answer.Status != "success" {
		return nil
	}
	return answer.Data
}

// has reports whether a query gives a value now.
func (p *prometheus) has(query string) bool {
	var data struct {
		Result []any `json:"result"`
	}
	return json.Unmarshal(p.ask("query", url.Values{"query": {query}}), &data) == nil && len(data.Result) > 0
}

// givesValues waits until every query of the dashboard has a value.
func (p *prometheus) givesValues() {
	p.Helper()
	empty := func() []string {
		var titles []string
		for title, queries := range panels(p.T) {
			if !slices.ContainsFunc(queries, p.has) {
				titles = append(titles, title)
			}
		}
		slices.Sort(titles)
		return titles
	}
	assert.Eventually(p, func() bool { return len(empty()) == 0 }, 90*time.Second, time.Second)
	assert.Empty(p, empty(), "panels without a value")
}

// fires waits until an alert is pending or fires: most are so only after a while.
func (p *prometheus) fires(alert string) {
	p.Helper()
	assert.Eventually(p, func() bool {
		var data struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		}
		if json.Unmarshal(p.ask("alerts", nil), &data) != nil {
			return false
		}
		for _, each := range data.Alerts {
			if each.Labels["alertname"] == alert {
				return true
			}
		}
		return false
	}, time.Minute, time.Second, "%s fires", alert)
}
